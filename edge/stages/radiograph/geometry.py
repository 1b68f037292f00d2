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
Matrix = npt.NDArray[np.float64]

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


def squash_labels(labels: Labels, side: int) -> Labels:
    """Nearest sampling of labels onto (side, side)."""
    return np.asarray(cv2.resize(labels, (side, side), interpolation=cv2.INTER_NEAREST), np.uint8)


def tile(pixels: Pixels, side: int) -> Pixels:
    """Squash to (side, side), then stretch: what a whole-image network sees."""
    return stretch(squash(pixels, side))


def mask_box(mask: Labels) -> Box | None:
    """Bounding box of the nonzero part of a mask.

    Returns
    -------
    (row0, col0, row1, col1), half open, or None for an empty mask.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if rows.size == 0:
        return None
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def lungs_box(lungs: Labels) -> npt.NDArray[np.float64]:
    """The same box as ((column0, row0), (column1, row1)), in shares of width and height.

    Raises
    ------
    ValueError
        For an empty mask.
    """
    box = mask_box(lungs)
    if box is None:
        raise ValueError("expected a mask that holds a lung, got an empty one")
    row0, column0, row1, column1 = box
    return np.array([[column0, row0], [column1, row1]]) / np.array(lungs.shape[::-1], np.float64)


def pixel_matrix(matrix: Matrix, shape: tuple[int, ...], side: int) -> Matrix:
    """A matrix between shares of a width and height as one between (column, row) of pixels.

    Parameters
    ----------
    matrix : shape (2, 3): shares of the source's width and height to shares of the target's side.
    shape : (height, width) of the source.
    side : of the target, in pixels.
    """
    size = np.array(shape[1::-1], np.float64)
    linear = side * matrix[:, :2] / size
    # The middle of a pixel lies half a pixel from its corner.
    return np.column_stack([linear, linear @ [0.5, 0.5] + side * matrix[:, 2] - 0.5])


def warp_labels(labels: Labels, matrix: Matrix, side: int) -> Labels:
    """Labels laid into a frame of (side, side) by a matrix of shares, with nearest sampling."""
    by = pixel_matrix(matrix, labels.shape, side)
    return np.asarray(cv2.warpAffine(labels, by, (side, side), flags=cv2.INTER_NEAREST), np.uint8)


def lung_hulls(lungs: Labels) -> Labels:
    """The convex hull of each lung, widened by ``HULL_MARGIN``.

    A hull keeps what a segmentation leaves out, such as a consolidated lower lobe.

    Parameters
    ----------
    lungs : uint8, shape (H, W), not empty; each nonzero value is one lung.

    Returns
    -------
    uint8, shape (H, W), of zeros and ones.
    """
    hulls = np.zeros_like(lungs)
    for label in np.unique(lungs[lungs > 0]):
        points = cv2.findNonZero((lungs == label).astype(np.uint8))
        cv2.fillConvexPoly(hulls, cv2.convexHull(points), 1)
    reach = 2 * round(HULL_MARGIN * lungs.shape[0]) + 1
    return np.asarray(cv2.dilate(hulls, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))), np.uint8)


def lung_tile(pixels: Pixels, lungs: Labels, matrix: Matrix, side: int) -> Pixels:
    """What classifier and detector see: the lungs alone, laid on the atlas.

    Everything outside the hulls of the lungs is grey, and grey values are scaled by mean
    and deviation inside them, so that borders, marks, arms, exposure and zoom, by which a
    network can recognise a hospital, are gone, and with the heart most of what tells an AP
    from a PA view: in public data a view goes with a label.

    Parameters
    ----------
    pixels : float32, shape (S, S): the image squashed to ``WORKING_SIDE``.
    lungs : uint8, shape (S, S), not empty.
    matrix : shape (2, 3), of the registration.

    Returns
    -------
    float32, shape (side, side), in [0, 1].
    """
    by = pixel_matrix(matrix, pixels.shape, side)
    laid = cv2.warpAffine(pixels, by, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    shown = warp_labels(lung_hulls(lungs), matrix, side) > 0
    inside = laid[shown]
    scaled = 0.5 + (laid - inside.mean()) / (5 * inside.std() + 1e-3)
    return np.where(shown, np.clip(scaled, 0, 1), 0.5).astype(np.float32)


def with_mirror(image: Pixels) -> Pixels:
    """An image, shape (H, W), and its mirror image: float32, shape (2, H, W)."""
    return np.stack([image, image[:, ::-1]])
