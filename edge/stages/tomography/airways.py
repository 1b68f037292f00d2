"""Trachea and main airways of a CT volume: a region that grows from the trachea until it leaks into the lung.

The limit of the growth is raised step by step and the last one before the volume jumps is kept
(Mori 2000). Rejected: one fixed limit, which leaks in emphysema and stops at the trachea in noise.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from edge.types import Volume

Bits = npt.NDArray[np.bool_]
Hu = npt.NDArray[np.float32]
Seed = tuple[int, int, int]

_SEED_BELOW_HU = -900
_TRACHEA_MM2 = (60.0, 700.0)
_OFF_CENTRE_MM = 45.0
_LIMITS_HU = range(-940, -820, 20)
_MOST_ML, _MOST_JUMP = 110.0, 1.8
_LEAST_ROUNDNESS = 0.55
"""Area as a share of that of the smallest circle around it."""
_RUN_MM, _MOST_SHIFT_MM = 24.0, 12.0


def grown(hu: Hu, inside: Bits, volume: Volume, seed_below_hu: float = _SEED_BELOW_HU) -> Bits:
    """Trachea and main bronchi, shape as ``hu``; empty where no trachea is found.

    Parameters
    ----------
    hu : smoothed Hounsfield units.
    inside : the body.
    seed_below_hu : how thin the air of the trachea has to be; that of a narrow one looks denser on coarse pixels.
    """
    seed = _trachea(hu, inside, volume, seed_below_hu)
    if seed is None:
        return np.zeros(hu.shape, bool)
    image = sitk.GetImageFromArray(np.where(inside, hu, 0))
    voxel_ml = float(np.prod(volume.spacing_mm)) / 1000
    kept, before = np.zeros(hu.shape, bool), np.inf
    for limit in _LIMITS_HU:
        tree = np.asarray(sitk.GetArrayFromImage(sitk.ConnectedThreshold(image, [seed[::-1]], -3000, limit)), bool)
        size = float(tree.sum()) * voxel_ml
        if size > _MOST_ML or size > _MOST_JUMP * before:
            break
        kept, before = tree, max(size, 5.0)
    return kept


def _trachea(hu: Hu, inside: Bits, volume: Volume, below_hu: float) -> Seed | None:
    """A voxel of a round column of air near the middle, in the upper part of the volume."""
    towards_feet = range(len(hu) - 1, -1, -1) if volume.affine[2, 0] > 0 else range(len(hu))
    need = max(2, round(_RUN_MM / volume.spacing_mm[0]))
    run: list[Seed] = []
    for i in list(towards_feet)[: max(need, len(hu) * 2 // 3)]:
        found = _round_air((hu[i] < below_hu) & inside[i], inside[i], volume)
        goes_on = [place for place in found if not run or _distance_mm(place, run[-1], volume) < _MOST_SHIFT_MM]
        run = [*run, (i, *goes_on[0])] if goes_on else [(i, *place) for place in found[:1]]
        if len(run) >= need:
            return run[need // 2]
    return None


def _distance_mm(place: tuple[int, int], seed: Seed, volume: Volume) -> float:
    return float(np.hypot(place[0] - seed[1], place[1] - seed[2])) * volume.spacing_mm[1]


def _round_air(thin: Bits, inside: Bits, volume: Volume) -> list[tuple[int, int]]:
    """Round pieces of air of the size of a trachea, the most central one first: (row, column) within each."""
    if not inside.any():
        return []
    middle = float(np.flatnonzero(inside.any(0))[[0, -1]].mean())
    pixel_mm2 = volume.spacing_mm[1] * volume.spacing_mm[2]
    air = thin.astype(np.uint8)
    contours, _ = cv2.findContours(air, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    found = []
    for contour in contours:
        (column, row), radius = cv2.minEnclosingCircle(contour)
        area = cv2.contourArea(contour)
        off = abs(column - middle) * volume.spacing_mm[2]
        fits = _TRACHEA_MM2[0] <= area * pixel_mm2 <= _TRACHEA_MM2[1] and off < _OFF_CENTRE_MM
        if fits and area >= _LEAST_ROUNDNESS * np.pi * radius**2 and air[round(row), round(column)]:
            found.append((off, round(row), round(column)))
    return [place[1:] for place in sorted(found)]
