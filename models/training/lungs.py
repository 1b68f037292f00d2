"""Lungs of training images, outlined by the shipped segmentation as the box would do it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from edge.engines import registry
from edge.stages.radiograph import segmentation
from edge.stages.radiograph.geometry import WORKING_SIDE, Labels, squash
from edge.stages.stage import first_case
from edge.types import Radiograph
from models.training import data


def outlined(root: Path, rows: Sequence[data.Row]) -> Iterator[tuple[data.Row, data.Grey, Labels]]:
    """Each image squashed to ``WORKING_SIDE`` with its lungs (1 right, 2 left; empty where implausible)."""
    engine = registry.load(registry.cards()["lung_field"], threads=2)
    for row in rows:
        pixels = squash(data.pixels(root, row).astype(np.float32) / 255, WORKING_SIDE)
        case = segmentation.read(first_case(Radiograph(pixels=pixels)), engine).case
        empty = np.zeros((WORKING_SIDE, WORKING_SIDE), np.uint8)
        labels = empty if case.lungs is None else case.lungs.labels
        yield row, np.rint(pixels * 255).astype(np.uint8), labels
