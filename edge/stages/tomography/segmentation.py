"""Right and left lung on every slice of a volume by the network, and the plausibility of what it says.

The network sees slice by slice, at its own size. Its map is enlarged to that of the slice, and where it is in
doubt, at the border of a lung, the voxel decides: air or soft tissue. Well inside, it does not: dense lung stays lung.
Rejected: a network of three dimensions, which two processor cores do not run in seconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import cv2
import numpy as np
import numpy.typing as npt

from edge.engines.engine import Engine
from edge.stages.tomography.lungs import AERATED_BELOW_HU, LEAST_SHARE, LEFT, RIGHT, components
from edge.stages.tomography.slices import HIGH_HU, LOW_HU, Pixels, squashed, to_unit
from edge.types import Volume

Labels = npt.NDArray[np.uint8]
_BATCH = 4
_AERATED = (AERATED_BELOW_HU - LOW_HU) / (HIGH_HU - LOW_HU)
_EDGE = 150 / (HIGH_HU - LOW_HU)
_AIR_SAYS, _TISSUE_SAYS = 0.5, 2.0
"""How much a voxel may add to the logit of the network, and take away from it: there is air outside of lungs too."""


def segment(volume: Volume, engine: Engine) -> Labels:
    """Lungs of every slice, uint8, shape as ``volume.hu``: 1 right, 2 left, of the patient.

    Raises
    ------
    ModelError
        Where the runtime fails.
    """
    labels = _segmented((to_unit(plane) for plane in volume.hu), engine)
    pieces, sizes = components(labels > 0)
    # Gas in the bowel looks like lung on a slice; in the volume it hangs on to none.
    kept = np.concatenate([[False], sizes >= LEAST_SHARE * sizes[:1].sum()])
    return np.where(kept[pieces], labels, np.uint8(0))


def labels_of(pixels: Pixels, engine: Engine) -> Labels:
    """The same of slices that look like Hounsfield units as ``slices.to_unit`` shows them, float32, shape (N, H, W)."""
    return _segmented(iter(pixels), engine)


def _segmented(slices: Iterator[Pixels], engine: Engine) -> Labels:
    found: list[Labels] = []
    while batch := list(islice(slices, _BATCH)):
        logits = engine.run(np.stack([squashed(plane, engine.card.side) for plane in batch]))
        found += [_labels(*pair) for pair in zip(logits, batch, strict=True)]
    return np.stack(found)


def _labels(logits: npt.NDArray[np.float32], pixels: Pixels) -> Labels:
    """Maps of right and left, shape (2, S / 2, S / 2), as labels of their slice, shape (H, W)."""
    size = pixels.shape[::-1]
    right, left = (cv2.resize(plane, size, interpolation=cv2.INTER_LINEAR) for plane in logits)
    smooth = cv2.GaussianBlur(pixels, (0, 0), 0.7)
    says = np.clip((_AERATED - smooth) / _EDGE, -1, 1)
    says *= np.where(says > 0, np.float32(_AIR_SAYS), np.float32(_TISSUE_SAYS))
    labels = np.where(right >= left, np.uint8(RIGHT), np.uint8(LEFT))
    return np.asarray(np.where(np.maximum(right, left) + says > 0, labels, np.uint8(0)), np.uint8)
