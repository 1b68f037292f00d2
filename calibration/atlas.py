"""The atlas of the lungs: the mean outline of training lungs, as the segmentation outlines them.

Lungs of training images that have masks, an equal share from each source, are cropped to
a common box and averaged; then, twice, each is aligned to the mean and averaged again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edge.engines.engine import Engine
from edge.stages.radiograph import registration, segmentation
from edge.stages.radiograph.case import first_case
from edge.stages.radiograph.geometry import Labels, warp_labels
from edge.types import Radiograph
from models.training import lung_field

_SIDE, _PER_SOURCE, _ROUNDS = 256, 60, 2
_MARGIN = 0.06
"""Room around the lungs of the atlas, as a share of its side."""
_TOLERANCE = 0.004
_ACCEPTED = 0.995
"""Share of training lungs that the limit of the residual lets pass."""
_BOX = np.array([[_MARGIN, _MARGIN], [1 - _MARGIN, 1 - _MARGIN]])


def build(root: Path, engine: Engine) -> dict[str, Any]:
    """``atlas_right`` and ``atlas_left``, (column, row) points in shares of the side, and ``most_residual``."""
    found = [lungs for lungs in _training_lungs(root, engine) if lungs is not None]
    corners = np.zeros((_SIDE, _SIDE), np.uint8)
    inner = slice(round(_MARGIN * _SIDE), round((1 - _MARGIN) * _SIDE))
    corners[inner, inner] = 1
    atlas = _polygons([warp_labels(lungs, registration.crop_matrix(lungs, corners), _SIDE) for lungs in found])
    for _ in range(_ROUNDS):
        laid = [registration.align(lungs, atlas) for lungs in found]
        atlas = _polygons([warp_labels(one, a.matrix, _SIDE) for one, a in zip(found, laid, strict=True) if a.fits])
    residuals = [registration.align(lungs, atlas).residual for lungs in found]
    return atlas | {"most_residual": round(float(np.quantile(residuals, _ACCEPTED)), 4)}


def _training_lungs(root: Path, engine: Engine) -> list[Labels | None]:
    cases = (first_case(Radiograph(pixels=image)) for image in lung_field.calibration_tiles(root, _PER_SOURCE * 4))
    read = (segmentation.read(case, engine).case.lungs for case in cases)
    return [None if lungs is None else lungs.labels for lungs in read]


def _polygons(laid: list[Labels]) -> dict[str, Any]:
    """The outline of what half of the lungs cover, stretched to the box of the atlas."""
    right, left = (_outline(np.mean([one == label for one in laid], 0)) for label in (1, 2))
    both = np.concatenate([right, left])
    low, high = both.min(0), both.max(0)
    place = (np.subtract(points, low) / (high - low) * (_BOX[1] - _BOX[0]) + _BOX[0] for points in (right, left))
    names = ("atlas_right", "atlas_left")
    points = {name: np.round(polygon, 4).tolist() for name, polygon in zip(names, place, strict=True)}
    return points | {"most_residual": 1.0}


def _outline(share: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    contours, _ = cv2.findContours((share >= 0.5).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    longest = max(contours, key=len)
    return np.asarray((cv2.approxPolyDP(longest, _TOLERANCE * _SIDE, closed=True)[:, 0] + 0.5) / _SIDE)
