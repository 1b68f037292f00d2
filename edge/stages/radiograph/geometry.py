"""Geometry and grey scaling shared by the radiograph stages and by the training recipes.

Every network sees an image through these functions and no others, at training
time as on the box, so that a difference between the two cannot arise.

Images are squashed to a square without keeping their aspect ratio. The larger
public sources are only available squashed; keeping the aspect ratio for the
others would tell a network which hospital an image came from.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.float32]
Labels = npt.NDArray[np.uint8]
Box = tuple[int, int, int, int]

CROP_MARGIN = 0.06
"""Margin around the lungs, as a share of the height and width of their box."""

_LOW_PERCENT, _HIGH_PERCENT = 0.5, 99.5


def stretch(pixels: Pixels) -> Pixels:
    """Stretch grey values so that the 0.5th and 99.5th percentile become 0 and 1.

    Parameters
    ----------
    pixels : float32, shape (H, W)

    Returns
    -------
    float32, shape (H, W), in [0, 1]; all zeros for a constant image.
    """
    low, high = np.percentile(pixels, (_LOW_PERCENT, _HIGH_PERCENT))
    if high <= low:
        return np.zeros_like(pixels)
    return np.clip((pixels - low) / (high - low), 0.0, 1.0).astype(np.float32)


def squash(pixels: Pixels, side: int) -> Pixels:
    """Resize to (side, side); area averaging when it shrinks, linear when it grows."""
    shrinks = min(pixels.shape) > side
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(pixels, (side, side), interpolation=how), np.float32)


def tile(pixels: Pixels, side: int) -> Pixels:
    """Squash to (side, side), then stretch: what a whole-image network sees."""
    return stretch(squash(pixels, side))


def mask_box(mask: Labels, margin: float = CROP_MARGIN) -> Box | None:
    """Bounding box of the nonzero part of a mask, widened by a margin and clipped.

    Returns
    -------
    (row0, col0, row1, col1), half open, or None for an empty mask.
    """
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if rows.size == 0:
        return None
    row_margin = round(margin * (rows[-1] - rows[0] + 1))
    col_margin = round(margin * (cols[-1] - cols[0] + 1))
    return (
        max(0, int(rows[0]) - row_margin),
        max(0, int(cols[0]) - col_margin),
        min(mask.shape[0], int(rows[-1]) + 1 + row_margin),
        min(mask.shape[1], int(cols[-1]) + 1 + col_margin),
    )
