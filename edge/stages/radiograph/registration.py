"""Registration: lays the lungs of an image on the atlas of all lungs.

An affine transform (Evangelidis and Psarakis 2008, OpenCV's ``findTransformECC``) takes
every image into one frame: the classifier and the detector see each lung at the same
place and size, zones are the atlas's zones, and two radiographs of a patient can be
compared zone by zone. Rejected: a deformable transform, which would fit a lung that
disease has made small to the full one.

The atlas is the mean outline of the training lungs, two polygons among the limits of the
segmentation model, since it is of lungs as that model outlines them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edge.engines.engine import Engine
from edge.stages.radiograph.case import Alignment, Case
from edge.stages.radiograph.geometry import (
    WORKING_SIDE,
    Labels,
    Matrix,
    Pixels,
    lung_tile,
    lungs_box,
    squash,
    squash_labels,
    warp_labels,
)
from edge.stages.radiograph.segmentation import LEFT, RIGHT
from edge.stages.radiograph.zones import zone_labels
from edge.stages.stage import Outcome, Stage
from edge.types import N_, Remark, Severity

_SIDE = 128
_BLUR = 5
_STEPS, _ENOUGH = 60, 1e-4
_MOST_TURN_DEG = 35.0

NOT_ALIGNED = Remark(
    code="not_aligned",
    text=N_("The lungs do not lie like those of the atlas; zones are taken from their own extent."),
    severity=Severity.WARN,
    advice=N_("Check that the patient is straight and the whole chest is on the image."),
)


def read(case: Case, engine: Engine) -> Outcome[Case]:
    """Align the lungs; without lungs there is nothing to align."""
    if case.lungs is None:
        return Outcome(case=case)
    alignment = align(case.lungs.labels, engine.card.thresholds)
    values = {
        "aligned": alignment.fits,
        "residual": round(alignment.residual, 4),
        "matrix": np.round(alignment.matrix, 5).tolist(),
    }
    remarks = () if alignment.fits else (NOT_ALIGNED,)
    return Outcome(case=replace(case, alignment=alignment), values=values, remarks=remarks)


def lung_image(case: Case, side: int) -> Pixels:
    """What the networks behind the registration see of an aligned case, float32, shape (side, side)."""
    if case.lungs is None or case.alignment is None:
        raise ValueError("expected a case with lungs that were aligned")
    lungs = squash_labels(case.lungs.labels, WORKING_SIDE)
    return lung_tile(squash(case.pixels, WORKING_SIDE), lungs, case.alignment.matrix, side)


def align(lungs: Labels, limits: Mapping[str, Any]) -> Alignment:
    """How lungs lie on the atlas of these limits.

    Parameters
    ----------
    lungs : uint8, shape (H, W): right 1, left 2, both present.
    limits : of the segmentation model: ``atlas_right``, ``atlas_left``, ``most_residual``.
    """
    atlas = atlas_labels(limits, _SIDE)
    cropped = crop_matrix(lungs, atlas)
    matrix = _refined(lungs, atlas, cropped)
    fits = matrix is not None and misfit(lungs, atlas, matrix) <= limits["most_residual"]
    chosen = matrix if matrix is not None and fits else cropped
    laid = warp_labels(lungs, chosen, _SIDE)
    zones = zone_labels(laid, atlas if fits else laid)
    return Alignment(matrix=chosen, residual=misfit(lungs, atlas, chosen), fits=fits, zones=zones)


def atlas_labels(limits: Mapping[str, Any], side: int) -> Labels:
    """The atlas as a label image, uint8, shape (side, side): right lung 1, left lung 2."""
    return _painted(*(tuple(map(tuple, limits[name])) for name in ("atlas_right", "atlas_left")), side)


@lru_cache(maxsize=8)
def _painted(right: tuple[Any, ...], left: tuple[Any, ...], side: int) -> Labels:
    labels = np.zeros((side, side), np.uint8)
    for label, points in ((RIGHT, right), (LEFT, left)):
        cv2.fillPoly(labels, [np.rint(np.array(points) * side - 0.5).astype(np.int32)], label)
    labels.flags.writeable = False
    return labels


def crop_matrix(lungs: Labels, atlas: Labels) -> Matrix:
    """The matrix that takes the bounding box of lungs to that of the atlas, without a turn."""
    source, target = lungs_box(lungs), lungs_box(atlas)
    scale = (target[1] - target[0]) / (source[1] - source[0])
    return np.column_stack([np.diag(scale), target[0] - scale * source[0]])


def _refined(lungs: Labels, atlas: Labels, start: Matrix) -> Matrix | None:
    """The affine matrix of greatest correlation, or None where none is found or it is no likely one."""
    laid = warp_labels(lungs, start, _SIDE)
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, _STEPS, _ENOUGH)
    first = np.eye(2, 3, dtype=np.float32)
    everywhere = np.full(atlas.shape, 255, np.uint8)
    try:
        _, found = cv2.findTransformECC(
            _picture(atlas), _picture(laid), first, cv2.MOTION_AFFINE, stop, everywhere, _BLUR
        )
    except cv2.error:  # no overlap, or no convergence
        return None
    to_laid = np.vstack([found, [0, 0, 1]])  # atlas pixels to pixels of the cropped lungs
    to_laid[:2, 2] += to_laid[:2, :2] @ [0.5, 0.5] - 0.5
    to_laid[:2, 2] /= _SIDE
    if np.linalg.det(to_laid) <= 0:
        return None
    matrix = (np.linalg.inv(to_laid) @ np.vstack([start, [0, 0, 1]]))[:2]
    return matrix if abs(turn_deg(matrix)) <= _MOST_TURN_DEG else None


def _picture(labels: Labels) -> npt.NDArray[np.float32]:
    """Lungs as grey values that tell right from left."""
    return np.array([0, 1, 0.6], np.float32)[labels]


def turn_deg(matrix: Matrix) -> float:
    """How far a matrix turns the vertical axis, in degrees."""
    return float(np.degrees(np.arctan2(matrix[0, 1], matrix[1, 1])))


def misfit(lungs: Labels, atlas: Labels, matrix: Matrix) -> float:
    """1 minus the Dice overlap of the laid lungs with the atlas, right and left apart."""
    laid = warp_labels(lungs, matrix, atlas.shape[0])
    both = ((laid == atlas) & (atlas > 0)).sum()
    return float(1 - 2 * both / max(1, (laid > 0).sum() + (atlas > 0).sum()))


STAGE = Stage(name="registration", model="lung_field", read=read)
