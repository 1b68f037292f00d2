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

WORKING_SIDE = 224
"""Side of the image that lungs are cut from: the resolution of the coarsest training source.

A finer one would let a network tell sources apart by their sharpness.
"""

HULL_MARGIN = 0.03
"""How far beyond the lungs their surroundings stay visible, as a share of the image's side."""

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
    return np.asarray(np.clip((pixels - low) / (high - low), 0.0, 1.0), np.float32)


def squash(pixels: Pixels, side: int) -> Pixels:
    """Resize to (side, side); area averaging when it shrinks, linear when it grows."""
    shrinks = min(pixels.shape) > side
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(pixels, (side, side), interpolation=how), np.float32)


def tile(pixels: Pixels, side: int) -> Pixels:
    """Squash to (side, side), then stretch: what a whole-image network sees."""
    return stretch(squash(pixels, side))


def mask_box(mask: Labels) -> Box | None:
    """Bounding box of the nonzero part of a mask.

    Returns
    -------
    (row0, col0, row1, col1), half open, or None for an empty mask.
    """
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if rows.size == 0:
        return None
    return int(rows[0]), int(cols[0]), int(rows[-1]) + 1, int(cols[-1]) + 1


def lung_hulls(lungs: Labels) -> Labels:
    """The convex hull of each lung, widened by ``HULL_MARGIN``.

    A hull keeps what a segmentation leaves out, such as a consolidated lower lobe.

    Parameters
    ----------
    lungs : uint8, shape (S, S); each nonzero value is one lung.

    Returns
    -------
    uint8, shape (S, S), of zeros and ones.
    """
    hulls = np.zeros_like(lungs)
    for label in np.unique(lungs[lungs > 0]):
        points = cv2.findNonZero((lungs == label).astype(np.uint8))
        cv2.fillConvexPoly(hulls, cv2.convexHull(points), 1)
    reach = 2 * round(HULL_MARGIN * lungs.shape[0]) + 1
    return np.asarray(cv2.dilate(hulls, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))), np.uint8)


def lung_tile(pixels: Pixels, lungs: Labels, side: int) -> Pixels:
    """What the classifier sees: the lungs alone, stretched to fill a square.

    Everything outside the hulls of the lungs is grey, and grey values are scaled by mean
    and deviation inside them, so that borders, marks, tubes beside the lungs, exposure and
    zoom, by which a network can recognise a hospital, are gone.

    Parameters
    ----------
    pixels : float32, shape (S, S): the image squashed to ``WORKING_SIDE``.
    lungs : uint8, shape (S, S), not empty.

    Returns
    -------
    float32, shape (side, side), in [0, 1].
    """
    hulls = lung_hulls(lungs)
    box = mask_box(hulls)
    if box is None:
        raise ValueError("expected a mask that holds a lung, got an empty one")
    inside = pixels[hulls > 0]
    scaled = 0.5 + (pixels - inside.mean()) / (5 * inside.std() + 1e-3)
    shown = np.where(hulls > 0, np.clip(scaled, 0, 1), 0.5).astype(np.float32)
    row0, col0, row1, col1 = box
    return np.asarray(cv2.resize(shown[row0:row1, col0:col1], (side, side), interpolation=cv2.INTER_LINEAR), np.float32)
