"""How the lungs end below: measures that tell consolidated bases, which an outline leaves out, from a diaphragm.

Dense lung on the diaphragm looks like more of the diaphragm, and no density tells them apart. The shape can: a lung
thins out slowly behind the dome, its back lies at the wall down to its end, right and left end near each other, and
the dome grows by about the same area from slice to slice. Where one of that is not so, nobody may say that the lungs
show nothing. Disease in the shape of a higher dome on both sides is not found.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edge.stages.tomography.lungs import LEFT, RIGHT
from edge.stages.tomography.scan import Bits, Labels
from edge.types import Volume

Areas = npt.NDArray[np.float64]

_END_MM, _LEAST_END_CM2 = 6.0, 0.5
_TISSUE_FROM_HU = -300
_BACK_CM2, _LEAST_SHARE = 1.0, 0.1
"""So much of a lung lies behind what is called its back; slices with less than this share of the largest have none."""


def measures(lungs: Labels, volume: Volume) -> dict[str, float]:
    """``base_percent``, ``base_step_cm2``, ``base_back_mm`` and ``bases_apart_mm``, each of the worse side.

    Parameters
    ----------
    lungs : right 1, left 2, neither empty; the first slice is nearest to the head.
    """
    sides = [lungs == side for side in (RIGHT, LEFT)]
    pixel_cm2 = volume.spacing_mm[1] * volume.spacing_mm[2] / 100
    areas = [side.sum((1, 2)) * pixel_cm2 for side in sides]
    ends = [_end(area) for area in areas]
    steps = [_step_cm2(side, volume) for side in sides]
    backs = [_back_mm(side, area, volume) for side, area in zip(sides, areas, strict=True)]
    return {
        "base_percent": max(_base_percent(area, volume.spacing_mm[0]) for area in areas),
        "base_step_cm2": max(steps),
        "base_back_mm": max(backs),
        "bases_apart_mm": abs(ends[0] - ends[1]) * volume.spacing_mm[0],
    }


def _end(areas: Areas) -> int:
    """The last slice with some of a lung."""
    return int(np.flatnonzero(areas >= min(_LEAST_END_CM2, float(areas.max())))[-1])


def _base_percent(areas: Areas, between_mm: float) -> float:
    """Area of a lung shortly above its end, in percent of its largest."""
    return 100 * float(areas[max(0, _end(areas) + 1 - max(1, round(_END_MM / between_mm)))] / areas.max())


def _step_cm2(lung: Bits, volume: Volume) -> float:
    """Greatest area by which tissue takes the place of lung from a slice to the next, beyond the steps beside it.

    A sphere gains the same area with each slice, however it is cut.
    """
    taken = lung[:-1] & ~lung[1:] & (volume.hu[1:] >= _TISSUE_FROM_HU)
    steps = np.pad(taken.sum((1, 2)) * (volume.spacing_mm[1] * volume.spacing_mm[2] / 100), 1)
    return float(np.max(steps[1:-1] - np.maximum(steps[:-2], steps[2:]), initial=0.0))


def _back_mm(lung: Bits, areas: Areas, volume: Volume) -> float:
    """How far the back of the lower half of a lung comes forward from where it lay further up."""
    shown = np.flatnonzero(areas >= _LEAST_SHARE * areas.max())
    behind = np.cumsum(lung[shown].sum(2)[:, ::-1], axis=1) * (volume.spacing_mm[1] * volume.spacing_mm[2] / 100)
    forward = (behind < _BACK_CM2).sum(1) * volume.spacing_mm[1]
    come = forward - np.minimum.accumulate(forward)
    return float(come[len(shown) // 2 :].max())
