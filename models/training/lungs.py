"""Lungs of training images, outlined by the shipped segmentation and laid on its atlas as the box would do it.

Outlines of an archive take minutes and are kept under ``build/lungs``, named after the
SHA-256 of the segmentation that made them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from edge.engines import registry
from edge.engines.engine import Engine
from edge.stages.radiograph import segmentation
from edge.stages.radiograph.case import Alignment, first_case
from edge.stages.radiograph.geometry import WORKING_SIDE, Labels, Pixels, lung_tile, squash
from edge.stages.radiograph.registration import align
from edge.types import Radiograph
from models.training import data

_CACHE = Path("build/lungs")


@dataclass(frozen=True, slots=True)
class Picture:
    """A training image as the stages behind the segmentation get it.

    Attributes
    ----------
    pixels : uint8, shape (S, S), squashed to ``WORKING_SIDE``.
    lungs : uint8, same shape: 1 right, 2 left.
    """

    pixels: data.Grey
    lungs: Labels
    alignment: Alignment

    def tile(self, side: int) -> Pixels:
        """What a network behind the registration sees of it, float32, shape (side, side)."""
        return lung_tile(data.to_unit(self.pixels), self.lungs, self.alignment.matrix, side)


def pictures(images: Iterable[tuple[str, data.Grey]]) -> Iterator[Picture | None]:
    """A picture for each (name, image), None where no plausible lungs were found."""
    engine = registry.load(registry.cards()["lung_field"], threads=1)
    for name, grey in images:
        pixels = squash(data.to_unit(grey), WORKING_SIDE)
        lungs = _kept(name, pixels, engine)
        found = np.rint(pixels * 255).astype(np.uint8)
        yield Picture(found, lungs, align(lungs, engine.card.thresholds)) if lungs.any() else None


def of_rows(root: Path, rows: Sequence[data.Row]) -> Iterator[tuple[data.Row, Picture]]:
    """Every manifest row whose lungs were found, with its picture."""
    images = ((f"{row.archive}/{row.file}", data.pixels(root, row)) for row in rows)
    for row, picture in zip(rows, pictures(images), strict=True):
        if picture is not None:
            yield row, picture


def _kept(name: str, pixels: Pixels, engine: Engine) -> Labels:
    path = _CACHE / engine.card.sha256[:16] / f"{name}.png"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".part.png")
        cv2.imwrite(str(partial), _lungs(pixels, engine))
        partial.replace(path)
    return np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), np.uint8)


def _lungs(pixels: Pixels, engine: Engine) -> Labels:
    case = segmentation.read(first_case(Radiograph(pixels=pixels)), engine).case
    return np.zeros(pixels.shape, np.uint8) if case.lungs is None else case.lungs.labels
