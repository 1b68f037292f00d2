"""Zones of the lungs of a CT: thirds of each lung by volume, and how deep a place lies below the chest wall.

Both come from the lungs' own extent, so that a breath more or less moves the borders with the lung. They are no
lobes: fissures are not looked for.
"""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np
import numpy.typing as npt

from edge.stages.tomography import planes
from edge.stages.tomography.lungs import LEFT, RIGHT, components
from edge.types import Tissue, Zone

Bits = npt.NDArray[np.bool_]
Labels = npt.NDArray[np.uint8]

LOWER = (Zone.RIGHT_LOWER, Zone.LEFT_LOWER)
SIDES: Mapping[int, str] = {RIGHT: "right", LEFT: "left"}
AFFECTED_FROM = int(Tissue.RIGHT_GROUND_GLASS)
CONSOLIDATED_FROM = int(Tissue.RIGHT_CONSOLIDATION)
_THIRDS = 3


def thirds(lungs: Labels) -> Labels:
    """Zone of each voxel of the lungs, 1 to 6 in the order of ``Zone``, else 0.

    The border lies between two slices: a third of a lung is as near to a third of its volume as its slices allow.

    Parameters
    ----------
    lungs : shape (D, H, W), right 1, left 2; the first slice is nearest to the head.
    """
    zones = np.zeros_like(lungs)
    for number, side in enumerate((RIGHT, LEFT)):
        lung = lungs == side
        area = lung.sum((1, 2))
        middles = (np.cumsum(area) - area / 2) / max(int(area.sum()), 1)
        third = np.minimum(np.floor(_THIRDS * middles), _THIRDS - 1)
        zones += lung * (_THIRDS * number + 1 + third).astype(np.uint8)[:, None, None]
    return zones


def by_zone(part: Bits, zones: Labels) -> dict[str, float]:
    """Share of each zone that a part takes, in percent."""
    taken, whole = _counts(zones[part], len(Zone)), _counts(zones, len(Zone))
    return {zone.value: 100 * taken[i] / max(whole[i], 1) for i, zone in enumerate(Zone)}


def by_lung(part: Bits, lungs: Labels) -> dict[str, float]:
    """Share of each lung, and of both, that a part takes, in percent."""
    taken, whole = _counts(lungs[part], LEFT), _counts(lungs, LEFT)
    right, left = (100 * taken[i] / max(whole[i], 1) for i in range(LEFT))
    return {"right_lung": right, "left_lung": left, "both": 100 * sum(taken) / max(sum(whole), 1)}


def _counts(labels: Labels, most: int) -> list[int]:
    """Voxels of each label from 1 on; several times as fast as ``bincount``, which takes eight bytes a voxel."""
    return [int(np.count_nonzero(labels == label)) for label in range(1, most + 1)]


def peripheral(lungs: Labels) -> Bits:
    """The outer third of the lungs: by depth below the hull of both, against the greatest depth in lung and slice."""
    return np.stack([_outer_third(plane) for plane in lungs])


def _outer_third(lungs: Labels) -> Bits:
    hull = np.pad(planes.hull(lungs > 0), 1).astype(np.uint8)
    depth = np.asarray(cv2.distanceTransform(hull, cv2.DIST_L2, 3), np.float32)[1:-1, 1:-1]
    outer = np.zeros(lungs.shape, bool)
    for side in (RIGHT, LEFT):
        lung = lungs == side
        if lung.any():
            outer |= lung & (depth < depth[lung].max() / _THIRDS)
    return outer


def largest_ml(part: Bits, spacing_mm: planes.SpacingMm) -> float:
    """Volume of the largest connected piece."""
    _, sizes = components(part)
    return float(sizes[:1].sum()) * float(np.prod(spacing_mm)) / 1000
