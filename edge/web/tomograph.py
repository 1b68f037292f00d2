"""What the page of a chest CT shows beside its reading: its slices, and those of an earlier CT at the same level.

The box made the pictures when it read the series (``edge.store.stack``), so that no browser parses DICOM and a slice
costs one small file. Rejected: a canvas that windows raw Hounsfield units, 400 MB of them for 800 slices.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from flask import Blueprint, Response
from PIL import Image

from edge.config import Settings
from edge.errors import PictureError
from edge.store import studies
from edge.store.stack import Layer, Meta, StackFile

_OPEN_STACKS = 8
# Long enough to scroll there and back, and short enough that a deleted study does not stay in the browser.
_KEPT = "private, max-age=3600, immutable"
_TYPES = {"jpg": "image/jpeg", "png": "image/png"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One of two stacks that are shown beside each other.

    Attributes
    ----------
    size_px : width and height of a slice on the page, in pixels that are square.
    taken : when it was taken or read, ISO 8601; None where nothing tells.
    """

    study_key: str
    version: int
    meta: Meta
    size_px: tuple[float, float]
    taken: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What the viewer needs.

    Attributes
    ----------
    middle : the slice that is shown first, counted from 1.
    filled : slices that were missing, and are made of their neighbours.
    overview_px : width and height of the coronal plane.
    prior : the earlier CT, or None.
    matched : for each slice that of the earlier CT at the same level, 0 for none; empty without one.
    """

    current: Side
    middle: int
    filled: tuple[int, ...]
    overview_px: tuple[int, int]
    prior: Side | None
    matched: tuple[int, ...]


class Tomographs:
    """The pictures of CT results, bound to one box."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        # A version of a result never changes; of each only the directory is kept, and no file stays open.
        self._opened = lru_cache(_OPEN_STACKS)(self._open)

    def blueprint(self) -> Blueprint:
        """The addresses of the pictures; their names are those of the members of a stack, by number and kind only."""
        pages = Blueprint("tomographs", __name__)
        place = "/study/<key:key>/<version:version>/stack"
        pages.add_url_rule(f"{place}/<any(lung, mediastinum):kind>/<version:number>.jpg", "grey", self.picture)
        pages.add_url_rule(f"{place}/<any(tissue):kind>/<version:number>.png", "tissue", self.picture)
        pages.add_url_rule(f"{place}/coronal/<any(lung):kind>.jpg", "coronal", self.overview)
        pages.add_url_rule(f"{place}/coronal/<any(tissue):kind>.png", "coronal_tissue", self.overview)
        return pages

    def picture(self, key: str, version: int, kind: str, number: int) -> Response:
        """One slice in one layer, or 404."""
        layer = Layer(kind)
        return _answer(layer, self._opened(key, version).picture(layer, number))

    def overview(self, key: str, version: int, kind: str) -> Response:
        """The coronal plane in one layer, or 404."""
        layer = Layer(kind)
        return _answer(layer, self._opened(key, version).overview(layer))

    def shown(self, found: studies.StudyView, result: Mapping[str, Any]) -> Shown | None:
        """What there is to see of a result; None without pictures."""
        try:
            file = self._opened(found.study_key, found.version)
            with Image.open(io.BytesIO(file.overview(Layer.LUNG)), formats=["JPEG"]) as image:
                overview_px = image.size
        except (PictureError, OSError):
            return None
        taken = found.acquired_at or found.received_at
        current = _side(found.study_key, found.version, file.meta, taken.isoformat())
        prior = self._prior((result.get("severity") or {}).get("change") or {})
        matched = _matched(result, file.meta, prior)
        return Shown(
            current=current,
            middle=(file.meta.slices + 1) // 2,
            filled=tuple(number for number, uid in enumerate(file.meta.slice_uids, 1) if not uid),
            overview_px=overview_px,
            prior=prior if matched else None,
            matched=matched,
        )

    def _prior(self, change: Mapping[str, Any]) -> Side | None:
        """The stack that a change was measured against; the newest of its study where the version is not told."""
        key = change.get("study_key")
        found = studies.study(self._settings.database, key, change.get("version")) if key else None
        if found is None:
            return None
        try:
            meta = self._opened(found.study_key, found.version).meta
        except PictureError:  # it was deleted since
            return None
        return _side(found.study_key, found.version, meta, change.get("acquired_at") or change.get("completed_at"))

    def _open(self, key: str, version: int) -> StackFile:
        return StackFile(studies.stack_path(self._settings, key, version))


def _side(key: str, version: int, meta: Meta, taken: str | None) -> Side:
    (rows, columns), (_, row_mm, column_mm) = meta.size_px, meta.spacing_mm
    size_px = (columns, round(rows * row_mm / column_mm, 2))
    return Side(study_key=key, version=version, meta=meta, size_px=size_px, taken=taken)


def _matched(result: Mapping[str, Any], meta: Meta, prior: Side | None) -> tuple[int, ...]:
    numbers = (result.get("registration") or {}).get("matched") or ()
    if prior is None or len(numbers) != meta.slices:
        return ()
    return tuple(number if number and 1 <= number <= prior.meta.slices else 0 for number in numbers)


def _answer(layer: Layer, content: bytes) -> Response:
    return Response(content, mimetype=_TYPES[layer.suffix], headers={"Cache-Control": _KEPT})
