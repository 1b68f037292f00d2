"""Axial slices as the networks see them: one window, one size.

The window reaches from air to dense bone's beginning, so that a lung, an opacity and soft tissue are all
told apart. Rejected: the window in the header, which is what somebody liked to look at.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edge.stages.tomography import planes
from edge.stages.tomography.planes import Bits

LOW_HU, HIGH_HU = -1024.0, 400.0
Pixels = npt.NDArray[np.float32]


def to_unit(hu: npt.NDArray[Any]) -> Pixels:
    """Hounsfield units from ``LOW_HU`` to ``HIGH_HU`` as 0 to 1, of any shape."""
    scaled = (np.asarray(hu, np.float32) - np.float32(LOW_HU)) / np.float32(HIGH_HU - LOW_HU)
    return np.asarray(np.clip(scaled, 0, 1), np.float32)


def tile_of_slice(hu: npt.NDArray[Any], side: int) -> Pixels:
    """One slice, shape (H, W), squashed to (side, side), in [0, 1]."""
    return squashed(to_unit(hu), side)


def squashed(pixels: Pixels, side: int) -> Pixels:
    """Pixels of shape (H, W) resized to (side, side)."""
    return np.asarray(cv2.resize(pixels, (side, side), interpolation=cv2.INTER_AREA), np.float32)


LUNG_GREY, TISSUE_GREY = 0.1, 0.9
"""Of aerated lung and soft tissue in crops."""
_AERATED_SHARE = 0.1
"""Quantile of the greys of the lungs that stands for aerated lung: some is left where most is diseased."""
_MARGIN = 0.025
"""How far beyond the lungs their surroundings are looked at, as a share of the side of their box."""
_CLOSED = 0.035
"""Gaps narrower than twice this share of a slice are closed: what is dense at the wall belongs to the lung."""
_SPECK = 0.08
"""Pieces below this share of the largest one are no lung."""
LEAST_LUNG = 0.03
"""Share of a slice that lungs have to cover so that it is classified."""


def lung_crop(pixels: Pixels, labels: npt.NDArray[np.uint8], side: int) -> Pixels:
    """The lungs alone, their box squashed to (side, side), aerated lung and soft tissue at fixed greys.

    What tells one scanner, window or field of view from another is taken away as far as two greys can do it. All
    that lies outside of the lungs is as grey as aerated lung, so that little is seen of their shape: it tells apart
    the sources of public pictures, and with them the labels.

    Parameters
    ----------
    pixels : float32, shape (H, W), in [0, 1], of any window.
    labels : uint8, same shape: 1 and 2 in the lungs.

    Raises
    ------
    ValueError
        Where there are no lungs.
    """
    return lungs_alone(*lung_box(pixels, labels, side))


def lung_box(pixels: Pixels, labels: npt.NDArray[np.uint8], side: int) -> tuple[Pixels, Bits]:
    """The box of the lungs at fixed greys and where the lungs are in it, both of shape (side, side).

    Raises
    ------
    ValueError
        Where there are no lungs.
    """
    if not labels.any():
        raise ValueError("expected a slice with lungs, got one without")
    lungs = _whole(labels)
    rows, columns = np.flatnonzero(lungs.any(1)), np.flatnonzero(lungs.any(0))
    reach = 1 + round(_MARGIN * max(rows[-1] - rows[0], columns[-1] - columns[0]))
    box = tuple(slice(max(0, one[0] - reach), one[-1] + 1 + reach) for one in (rows, columns))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    around = cv2.dilate(lungs[box].astype(np.uint8), kernel) == 0
    levelled = _levelled(pixels[box], labels[box] > 0, around)
    small = cv2.resize(lungs[box].astype(np.uint8), (side, side), interpolation=cv2.INTER_NEAREST)
    return squashed(levelled, side), small > 0


def lungs_alone(levelled: Pixels, lungs: Bits) -> Pixels:
    """A box of ``lung_box`` without its surroundings and the border of the lungs, their median as grey as aerated lung.

    The median is what an opacity is held against: how dark the darkest tenth is depends on noise, emphysema and air
    trapping.
    """
    kernel = np.ones((3, 3), np.uint8)
    inner = cv2.erode(lungs.astype(np.uint8), kernel) > 0
    median = float(np.median(levelled[inner])) if inner.any() else LUNG_GREY
    shown = np.where(inner, levelled - np.float32(median - LUNG_GREY), np.float32(LUNG_GREY))
    return np.clip(shown, 0, 1).astype(np.float32)


def _whole(labels: npt.NDArray[np.uint8]) -> Bits:
    """Either lung without gaps and holes, and no specks."""
    _, pieces, stats, _ = cv2.connectedComponentsWithStats((labels > 0).astype(np.uint8))
    areas = stats[:, cv2.CC_STAT_AREA]
    kept = areas >= _SPECK * areas[1:].max()
    kept[0] = False
    reach = _CLOSED * max(labels.shape)
    lungs = (kept[pieces] & (labels == side) for side in (1, 2))
    right, left = (planes.filled(planes.closed(lung, reach, (1.0, 1.0, 1.0))) for lung in lungs)
    return right | left


def _levelled(seen: Pixels, lungs: Bits, around: Bits) -> Pixels:
    aerated = float(np.quantile(seen[lungs], _AERATED_SHARE))
    brighter = seen[around & (seen > (aerated + float(seen.max())) / 2)]
    tissue = float(np.median(brighter)) if brighter.size else float(seen.max())
    scaled = (seen - aerated) / max(tissue - aerated, 0.05) * (TISSUE_GREY - LUNG_GREY) + LUNG_GREY
    return np.asarray(np.clip(scaled, 0, 1), np.float32)
