"""Lungs of training images, outlined by the shipped segmentation as the box would do it.

Outlines of an archive take minutes and are kept under ``build/lungs``, named after the
SHA-256 of the segmentation that made them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from edge.engines import registry
from edge.engines.engine import Engine
from edge.stages.radiograph import segmentation
from edge.stages.radiograph.geometry import WORKING_SIDE, Labels, Pixels, squash
from edge.stages.stage import first_case
from edge.types import Radiograph
from models.training import data

_CACHE = Path("build/lungs")


def outlined(root: Path, rows: Sequence[data.Row]) -> Iterator[tuple[data.Row, data.Grey, Labels]]:
    """Each image squashed to ``WORKING_SIDE`` with its lungs (1 right, 2 left; empty where implausible)."""
    engine = registry.load(registry.cards()["lung_field"], threads=1)
    for row in rows:
        pixels = squash(data.to_unit(data.pixels(root, row)), WORKING_SIDE)
        yield row, np.rint(pixels * 255).astype(np.uint8), _kept(row, pixels, engine)


def _kept(row: data.Row, pixels: Pixels, engine: Engine) -> Labels:
    path = _CACHE / engine.card.sha256[:16] / row.archive / f"{row.file}.png"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".part.png")
        cv2.imwrite(str(partial), _lungs(pixels, engine))
        partial.replace(path)
    return np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), np.uint8)


def _lungs(pixels: Pixels, engine: Engine) -> Labels:
    case = segmentation.read(first_case(Radiograph(pixels=pixels)), engine).case
    return np.zeros(pixels.shape, np.uint8) if case.lungs is None else case.lungs.labels
