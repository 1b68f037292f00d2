"""Public pictures of CT slices as the classifier sees them: the box of their lungs, and what is known of them.

The shipped lung network outlines the lungs. That takes minutes and is kept in ``build/ct``, named after the SHA-256 of
that network. Pictures without lungs are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge.engines import registry
from edge.engines.engine import Engine
from edge.stages.tomography.segmentation import labels_of
from edge.stages.tomography.slices import LEAST_LUNG, Pixels, lung_box, lungs_alone
from models.training import data, slice_masks, tomography
from models.training.tomography import SliceRow

_CACHE = Path("build/ct")


@dataclass(frozen=True, slots=True)
class Picture:
    """The box of the lungs of a picture.

    Attributes
    ----------
    levelled : float16, shape (side, side), in the greys of ``lung_box``.
    lungs : bool, same shape.
    """

    row: SliceRow
    levelled: npt.NDArray[np.float16]
    lungs: npt.NDArray[np.bool_]

    def tile(self) -> Pixels:
        """What the network sees of it, as on the box."""
        return lungs_alone(self.levelled.astype(np.float32), self.lungs)


def load(root: Path, side: int) -> list[Picture]:
    """Every picture whose lungs were found."""
    rows = tomography.slice_rows(root)
    engine = registry.load(registry.card("ct_lung"), threads=1)
    path = _CACHE / f"lungs_{side}_{engine.card.sha256[:16]}.npz"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        boxes = list(_boxes(root, rows, engine, side))
        partial = path.with_suffix(".part.npz")
        np.savez(partial, levelled=[box for box, _ in boxes], lungs=[lungs for _, lungs in boxes])
        partial.replace(path)
    with np.load(path) as kept:
        found = zip(rows, kept["levelled"], kept["lungs"], strict=True)
        return [Picture(row, levelled, lungs) for row, levelled, lungs in found if lungs.any()]


def _boxes(
    root: Path, rows: list[SliceRow], engine: Engine, side: int
) -> Iterator[tuple[npt.NDArray[np.float16], npt.NDArray[np.bool_]]]:
    for row in rows:
        grey = tomography.picture(root, row)
        seen = slice_masks.levelled(grey)
        pixels = data.to_unit(grey) if seen is None else seen
        labels = labels_of(pixels[None], engine)[0]
        if (labels > 0).mean() < LEAST_LUNG:
            yield np.zeros((side, side), np.float16), np.zeros((side, side), bool)
        else:
            levelled, lungs = lung_box(pixels, labels, side)
            yield levelled.astype(np.float16), lungs
