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


def percent(part: Bits, whole: Bits) -> float:
    """Share of a whole, 0 to 100; 0 of nothing."""
    return 100 * float((part & whole).sum()) / max(int(whole.sum()), 1)


def by_zone(part: Bits, zones: Labels) -> dict[str, float]:
    """Share of each zone that a part takes, in percent."""
    whole, taken = (np.bincount(which.ravel(), minlength=len(Zone) + 1)[1:] for which in (zones, zones[part]))
    shares = 100 * taken / np.maximum(whole, 1)
    return {zone.value: float(share) for zone, share in zip(Zone, shares, strict=True)}


def by_lung(part: Bits, lungs: Labels) -> dict[str, float]:
    """Share of each lung, and of both, that a part takes, in percent."""
    whole, taken = (np.bincount(which.ravel(), minlength=3)[1:] for which in (lungs, lungs[part]))
    right, left = (float(share) for share in 100 * taken / np.maximum(whole, 1))
    both = 100 * float(taken.sum()) / max(int(whole.sum()), 1)
    return {"right_lung": right, "left_lung": left, "both": both}


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
