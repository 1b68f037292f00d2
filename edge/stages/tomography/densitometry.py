"""What of the lungs is ground glass or consolidation, by density and by width.

A lung is full of small things that are as dense as disease: vessels, walls of airways, fissures, and the blurred
edge of the lung itself. All of them are narrow, disease that can be measured is not. A voxel counts as affected
where it is dense and where most of the lung around it, within some millimetres, is dense too: that is a median of the
lung alone, which noise does not move, and which needs no model of a vessel. Near the mediastinum, where vessels are
wide, "around" is wider. The thickness of slices enters in millimetres, so that thin and thick slices agree.

Rejected: thresholds alone (12 % of a normal lung lies above -700 HU); an opening by a ball, which noise erodes;
filters for tubes by second derivatives, which take ten times as long and miss where vessels branch.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import numpy.typing as npt

from edge.stages.tomography import planes
from edge.stages.tomography.lungs import AERATED_BELOW_HU
from edge.types import Tissue, Volume

Bits = npt.NDArray[np.bool_]
Labels = npt.NDArray[np.uint8]
Hu = npt.NDArray[np.float32]

GROUND_GLASS_FROM_HU = -700.0
"""Upper end of well-aerated lung (Colombi 2020, Radiology 296:E86)."""
CONSOLIDATION_FROM_HU = -300.0
"""Of eight limits between ground glass and consolidation the one that told best (Lu 2021, BMC Infect Dis 21:836)."""

_TIERS_MM = ((0.0, 8.0, 12.0), (20.0, 6.0, 8.0), (40.0, 5.0, 5.0))
"""From a distance to the mediastinum on, how far around a voxel is looked: for ground glass, for consolidation."""
_MOST, _LEAST_SEEN = 0.5, 0.25
"""Share that has to be dense; share of the surroundings that has to be lung at all."""
_REACH_MM = 4.0
"""How far from a voxel with dense surroundings its lesion may reach: to its corners and thin parts."""
_AIRWAY_WALL_MM, _VESSEL_EDGE_MM, _EDGE_MM, _END_MM = 3.0, 2.0, 3.0, 3.0
_BETWEEN_MM, _LEAST_WIDTH_MM = 45.0, 6.0


def tissue(volume: Volume, lungs: Labels, airways: Bits) -> Labels:
    """Values of ``Tissue``, shape (D, H, W).

    Parameters
    ----------
    lungs : right 1, left 2; not empty.
    airways : trachea and main airways.
    """
    box = planes.box(lungs > 0)
    inside = lungs[box]
    hu = planes.smoothed(volume.hu[box])
    ground_glass, consolidated = _affected(hu, inside, airways[box], volume.spacing_mm)
    found = inside.copy()
    found[ground_glass] += np.uint8(Tissue.RIGHT_GROUND_GLASS - Tissue.RIGHT_LUNG)
    found[consolidated] += np.uint8(Tissue.RIGHT_CONSOLIDATION - Tissue.RIGHT_LUNG)
    labels = np.zeros_like(lungs)
    labels[box] = found
    return labels


def _affected(hu: Hu, lungs: Labels, airways: Bits, spacing_mm: planes.SpacingMm) -> tuple[Bits, Bits]:
    """Ground glass and consolidation, both within the lungs and apart."""
    counted = (lungs > 0) & ~planes.grown(airways, _AIRWAY_WALL_MM, spacing_mm)
    tiers = _tiers(lungs, spacing_mm)
    dense = (hu >= GROUND_GLASS_FROM_HU) & counted
    solid = (hu >= CONSOLIDATION_FROM_HU) & counted
    # Where a slice cuts the dome of the diaphragm, half of a voxel is lung and looks like ground glass.
    counted &= _goes_on(lungs > 0, spacing_mm) | solid
    seeds = _surrounded(solid, counted, tiers, 2, spacing_mm)
    consolidated = solid & planes.grown(seeds & solid, _REACH_MM, spacing_mm)
    vessels = planes.grown(solid & ~consolidated & (tiers < len(_TIERS_MM) - 1), _VESSEL_EDGE_MM, spacing_mm)
    # A blurred edge passes through all densities: it ends half way, and what is below is no ground glass.
    edges = planes.grown(consolidated, _EDGE_MM, spacing_mm) & (lungs > 0)
    consolidated |= edges & (hu >= AERATED_BELOW_HU)
    counted &= ~vessels & ~edges
    seeds = _surrounded(dense & counted, counted, tiers, 1, spacing_mm)
    ground_glass = dense & planes.grown(seeds & dense & counted, _REACH_MM, spacing_mm) & ~consolidated
    return ground_glass, consolidated


def _tiers(lungs: Labels, spacing_mm: planes.SpacingMm) -> Labels:
    """Index into ``_TIERS_MM`` of each voxel, by its distance to what lies between the lungs."""
    columns = np.flatnonzero((lungs > 0).any((0, 1)))
    off_mm = abs(np.arange(lungs.shape[2]) - float(columns[[0, -1]].mean())) * spacing_mm[2]
    starts = np.array([tier[0] for tier in _TIERS_MM[1:]], np.float32)
    tiers = np.zeros(lungs.shape, np.uint8)
    for plane, into in zip(lungs > 0, tiers, strict=True):
        between = (planes.hull(plane) & ~plane & (off_mm < _BETWEEN_MM)).astype(np.uint8)
        wide = planes.opened(between, _LEAST_WIDTH_MM, spacing_mm)
        if wide.any():
            away = cv2.distanceTransform(1 - wide, cv2.DIST_L2, 3) * np.float32(spacing_mm[1])
            into[:] = np.digitize(away, starts)
        else:
            into[:] = len(starts)
    return tiers


def _goes_on(lungs: Bits, spacing_mm: planes.SpacingMm) -> Bits:
    """What has lung above and below it; at the ends of the volume nobody knows, and it counts."""
    goes_on = lungs.copy()
    for step in range(1, max(1, round(_END_MM / spacing_mm[0])) + 1):
        goes_on[step:] &= lungs[:-step]
        goes_on[:-step] &= lungs[step:]
    return goes_on


def _surrounded(part: Bits, whole: Bits, tiers: Labels, kind: int, spacing_mm: planes.SpacingMm) -> Bits:
    """Where most of the whole around a voxel is part, as far around as its tier says."""
    found = np.zeros(part.shape, bool)
    for tier, radii in enumerate(_TIERS_MM):
        here = tiers == tier
        found |= here & _mostly(part, whole, radii[kind], spacing_mm)
    return found


def _mostly(part: Bits, whole: Bits, radius_mm: float, spacing_mm: planes.SpacingMm) -> Bits:
    """Where more than half of the whole within a radius is part: the median of what lies in the whole."""
    weights = _weights(radius_mm, spacing_mm[0])
    side = 2 * round(radius_mm / spacing_mm[1]) + 1
    counts = [_counts(which, side) for which in (part, whole)]
    least = _LEAST_SEEN * sum(weights) * side * side
    found = np.zeros(part.shape, bool)
    for into, dense, seen in zip(found, *(_weighted(count, weights) for count in counts), strict=True):
        into[:] = dense > _MOST * np.maximum(seen, np.float32(least))
    return found


def _weights(radius_mm: float, spacing_mm: float) -> list[float]:
    """How much of each neighbouring slice, the slice itself in the middle, lies within a radius; in slices."""
    reach = max(0, int(np.ceil(radius_mm / spacing_mm - 0.5)))
    ends = [(max(-radius_mm, (k - 0.5) * spacing_mm), min(radius_mm, (k + 0.5) * spacing_mm)) for k in range(reach + 1)]
    half = [(end - start) / spacing_mm for start, end in ends]
    return [*half[:0:-1], *half]


def _counts(mask: Bits, side: int) -> npt.NDArray[np.uint16]:
    """How many voxels of a square around each one are set, slice by slice."""
    size = (side, side)
    sums = (
        cv2.boxFilter(plane.astype(np.uint8), cv2.CV_16U, size, normalize=False, borderType=cv2.BORDER_CONSTANT)
        for plane in mask
    )
    return np.stack([np.asarray(each, np.uint16) for each in sums])


def _weighted(counts: npt.NDArray[np.uint16], weights: list[float]) -> Iterator[Hu]:
    """Counts of each slice and its neighbours, as far as there are any.

    All weights but the outermost are 1, so that a sum slides along: thin slices have many neighbours within a radius.
    """
    reach = len(weights) // 2
    if not reach:
        yield from (plane * np.float32(weights[0]) for plane in counts)
        return
    none = np.zeros_like(counts[0])
    inner = counts[:reach].sum(0, dtype=np.float32)
    for number in range(len(counts)):
        before = counts[number - reach] if number >= reach else none
        after = counts[number + reach] if number + reach < len(counts) else none
        yield inner + np.float32(weights[0]) * before + np.float32(weights[0]) * after
        inner += after
        inner -= counts[number - reach + 1] if number >= reach - 1 else none
