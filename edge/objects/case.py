"""A result with all that its objects are made of, which objects it can have, and their making.

Nothing here asks a database, a clock or a network, so that the same case always gives the same
objects. Rejected: random identifiers, with which a second try after a crash would send a second
object of the same result.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydicom.dataset import Dataset

from edge.errors import ObjectError
from edge.objects import capture, document, presentation, segments, structured
from edge.objects.content import Content
from edge.objects.tomography.slices import Slices
from edge.types import Kind, State


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One version of a result, and the image that it is about.

    Attributes
    ----------
    report : ``chest-edge/result/1``.
    study_key, version : under which the box stores it.
    source : header of the image as the box received it, without pixels; its values may be invalid.
        Of a CT, that of its slice nearest to the head.
    view : uint8, shape (h, w): the image as shown, upright, bone bright, at most 1600 px a side.
    box_id : random, of this box; it stands in the objects as Device Serial Number.
    language : ``en`` or ``fr``, of the printable report and of texts that are burnt in.
    paper : ``a4`` or ``letter``, of the printable report.
    receipt : for its QR code (``edge.objects.receipt``), or ``UNSIGNED`` from there; without either there is no
        printable report.
    slices : of a chest CT; None where its pictures are gone.
    """

    report: Mapping[str, Any]
    study_key: str
    version: int
    source: Dataset
    view: npt.NDArray[np.uint8]
    box_id: str
    language: str
    paper: str = "a4"
    receipt: str = ""
    slices: Slices | None = None


def load_view(path: Path) -> npt.NDArray[np.uint8]:
    """The picture of a result that the page shows; one black pixel where there is none."""
    try:
        with Image.open(path, formats=["JPEG"]) as image:
            return np.asarray(image.convert("L"))
    except OSError:
        return np.zeros((1, 1), np.uint8)


_READ = frozenset({State.DONE.value, State.NO_RESULT.value})
_MAKERS: Mapping[Kind, Callable[[Case], Dataset]] = MappingProxyType(
    {
        Kind.SECONDARY_CAPTURE: capture.make,
        Kind.STRUCTURED_REPORT: structured.make,
        Kind.SEGMENTATION: segments.make,
        Kind.PRESENTATION_STATE: presentation.make,
        Kind.PDF: document.make,
    }
)
_OVER_THE_IMAGE = frozenset({Kind.SEGMENTATION, Kind.PRESENTATION_STATE})


def kinds(case: Case) -> tuple[Kind, ...]:
    """Which objects this result can have; none where no stage looked at the image."""
    if case.report["state"] not in _READ or not case.report["stages"]:
        return ()
    left_out = {*_not_over_the_image(case), *(() if case.receipt else (Kind.PDF,))}
    return tuple(kind for kind in _MAKERS if kind not in left_out)


def _not_over_the_image(case: Case) -> frozenset[Kind]:
    """A CT has no presentation state: it would say what the segments say, once more for each of hundreds of slices."""
    content = Content(case.report)
    if not content.is_tomography:
        return frozenset() if content.lungs else _OVER_THE_IMAGE
    has_segments = bool(content.segmentation) and case.slices is not None
    return _OVER_THE_IMAGE - ({Kind.SEGMENTATION} if has_segments else set())


def whole_file(made: Dataset) -> bytes:
    """An object as a file (PS3.10)."""
    content = io.BytesIO()
    made.save_as(content, enforce_file_format=True)
    return content.getvalue()


def make(case: Case, kind: Kind) -> Dataset:
    """One object as a whole file, with the same identifiers at each call.

    Raises
    ------
    ObjectError
        The header of the image or the result allow no valid object of this kind.
    """
    if kind not in kinds(case):
        raise ObjectError("nothing_to_show")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those of pydicom and highdicom name the values of elements
        return _MAKERS[kind](case)
