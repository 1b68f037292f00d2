"""Axial slices as the networks see them: one window, one size.

The window reaches from air to dense bone's beginning, so that a lung, an opacity and soft tissue are all
told apart. Rejected: the window in the header, which is what somebody liked to look at.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

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


_LUNG_GREY, _TISSUE_GREY = 0.1, 0.9
_AERATED_SHARE = 0.1
"""Quantile of the greys of the lungs that stands for aerated lung: some is left where most is diseased."""
_MARGIN = 0.025
"""How far beyond the lungs their surroundings stay visible, as a share of the side of their box."""
LEAST_LUNG = 0.03
"""Share of a slice that lungs have to cover so that it is classified."""


def lung_crop(pixels: Pixels, labels: npt.NDArray[np.uint8], side: int) -> Pixels:
    """The lungs alone, their box squashed to (side, side), aerated lung and soft tissue at fixed greys.

    What tells one scanner, window or field of view from another is taken away as far as two greys can do it. All
    that lies outside of the lungs is as grey as soft tissue.

    Parameters
    ----------
    pixels : float32, shape (H, W), in [0, 1], of any window.
    labels : uint8, same shape: nonzero in the lungs.

    Raises
    ------
    ValueError
        Where there are no lungs.
    """
    if not labels.any():
        raise ValueError("expected a slice with lungs, got one without")
    rows, columns = np.flatnonzero(labels.any(1)), np.flatnonzero(labels.any(0))
    reach = 1 + round(_MARGIN * max(rows[-1] - rows[0], columns[-1] - columns[0]))
    box = tuple(slice(max(0, one[0] - reach), one[-1] + 1 + reach) for one in (rows, columns))
    lungs, shown = (labels[box] > 0).astype(np.uint8), pixels[box]
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    wide = np.asarray(cv2.dilate(lungs, kernel), np.uint8)
    levelled = np.where(wide > 0, _levelled(shown, lungs, wide), np.float32(_TISSUE_GREY))
    return np.asarray(cv2.resize(levelled.astype(np.float32), (side, side), interpolation=cv2.INTER_AREA), np.float32)


def _levelled(shown: Pixels, lungs: npt.NDArray[np.uint8], wide: npt.NDArray[np.uint8]) -> Pixels:
    aerated = float(np.quantile(shown[lungs > 0], _AERATED_SHARE))
    around = shown[wide == 0]
    brighter = around[around > (aerated + float(shown.max())) / 2]
    tissue = float(np.median(brighter)) if brighter.size else float(shown.max())
    scaled = (shown - aerated) / max(tissue - aerated, 0.05) * (_TISSUE_GREY - _LUNG_GREY) + _LUNG_GREY
    return np.asarray(np.clip(scaled, 0, 1), np.float32)
