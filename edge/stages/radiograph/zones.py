"""The six zones of the lungs: thirds of each lung by height, as in the Brixia score (Borghesi 2020).

Brixia draws its lines at the aortic arch and at the right inferior pulmonary vein; on the
atlas they lie close to the thirds of the lungs' height, which need no landmark.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from edge.stages.radiograph.geometry import Labels
from edge.types import Zone

RIGHT_ZONES, LEFT_ZONES = tuple(Zone)[:3], tuple(Zone)[3:]
NUMBERS: Mapping[Zone, int] = {zone: number for number, zone in enumerate(Zone, 1)}


def zone_labels(lungs: Labels, measure: Labels) -> Labels:
    """The zone of each pixel of lungs, 1 to 6 in the order of ``Zone``, else 0.

    Parameters
    ----------
    lungs : uint8, shape (S, S): right lung 1, left lung 2.
    measure : likewise: the lungs whose height is cut in thirds, the atlas or the same lungs.
    """
    zones = np.zeros_like(lungs)
    middles = np.arange(lungs.shape[0]) + 0.5
    for label in (1, 2):
        rows = np.flatnonzero((measure == label).any(1))
        cuts = np.linspace(rows[0], rows[-1] + 1, 4)[1:3]
        third = np.searchsorted(cuts, middles).astype(np.uint8)[:, None]
        zones = np.where(lungs == label, 3 * (label - 1) + 1 + third, zones).astype(np.uint8)
    return zones


def share_of(part: npt.NDArray[np.bool_], whole: npt.NDArray[np.bool_]) -> float:
    """How much of a whole a part covers, 0 to 1; 0 of nothing."""
    return float((part & whole).sum() / max(1, whole.sum()))


def mean_by_zone(values: npt.NDArray[np.floating], zones: Labels) -> dict[Zone, float]:
    """Mean of values, shape (S, S), over each zone; 0 over an empty one."""
    return {
        zone: float(values[zones == number].mean()) if (zones == number).any() else 0.0
        for zone, number in NUMBERS.items()
    }
