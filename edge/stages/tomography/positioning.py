"""Positioning: is the whole of both lungs on the series, held still, and free of metal?

A lung that is cut measures too small a volume, and its share of opacity is that of the rest. What is measured stands
in the values; the limits are far above what three public series show (docs/result.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from edge.stages.stage import Outcome, Stage
from edge.stages.tomography import bases, planes
from edge.stages.tomography.scan import Bits, Scan
from edge.types import N_, Remark, Severity, Volume

CUT_OFF_ABOVE = Remark(
    code="cut_off_above",
    text=N_("The lungs reach the first slice: their top is not on the series, and volumes are too small."),
    severity=Severity.WARN,
    advice=N_("Start the scan above the top of the lungs."),
)
CUT_OFF_BELOW = Remark(
    code="cut_off_below",
    text=N_("The lungs reach the last slice: their bases are not on the series, and volumes are too small."),
    severity=Severity.WARN,
    advice=N_("End the scan below the bases of the lungs."),
)
CUT_OFF_AT_SIDE = Remark(
    code="cut_off_at_side",
    text=N_("A lung reaches the edge of the field of view: what lies outside of it is not measured."),
    severity=Severity.WARN,
    advice=N_("Reconstruct the series with a larger field of view."),
)
METAL = Remark(
    code="metal",
    text=N_("There is metal in the chest (%(volume)s ml): its streaks can look like opacity."),
    severity=Severity.WARN,
    advice=N_("Look at the slices with metal before you trust the measured opacity there."),
)
MOVED = Remark(
    code="moved",
    text=N_("The outline of the lungs jumps between slices: the patient may have moved or breathed."),
    severity=Severity.WARN,
    advice=N_("If the patient can hold the breath, repeat."),
)
BASES = Remark(
    code="unusual_bases",
    text=N_("A lung ends below as lungs seldom do: flat, steep, or higher than the other. Dense lung may be left out."),
    severity=Severity.WARN,
    advice=N_("Look at the slices around the diaphragm: dense lung there is not measured."),
)

_MOST_END_PERCENT = 12.0
_METAL_FROM_HU = 2500
"""Above all bone; scanners without an extended scale end at 3071."""


@dataclass(frozen=True, slots=True)
class _Rule:
    measure: str
    most: float
    remark: Remark


_RULES = (
    _Rule("first_slice_percent", _MOST_END_PERCENT, CUT_OFF_ABOVE),
    _Rule("last_slice_percent", _MOST_END_PERCENT, CUT_OFF_BELOW),
    _Rule("side_cm2", 5.0, CUT_OFF_AT_SIDE),
    _Rule("metal_ml", 0.3, METAL),
    _Rule("jump_mm", 3.0, MOVED),
    _Rule("base_percent", 12.0, BASES),
    _Rule("base_step_cm2", 15.0, BASES),
    _Rule("base_back_mm", 30.0, BASES),
    _Rule("bases_apart_mm", 35.0, BASES),
)


def unaided(scan: Scan) -> Outcome[Scan]:
    """Measure how the lungs lie on the series; without lungs there is nothing to measure."""
    if scan.lungs is None:
        return Outcome(case=scan, is_skipped=True)
    lungs = scan.lungs.labels > 0
    first, last = ends(lungs)
    measures = {
        "first_slice_percent": first,
        "last_slice_percent": last,
        "side_cm2": _side_cm2(lungs, scan.volume),
        "metal_ml": _metal_ml(lungs, scan.volume),
        "jump_mm": _jump_mm(lungs, scan.volume.spacing_mm),
        **bases.measures(scan.lungs.labels, scan.volume),
    }
    values = {name: round(value, 2) for name, value in measures.items()}
    remarks = _remarks(measures)
    return Outcome(case=scan.noting(remarks), values=values, remarks=remarks)


def _remarks(measures: Mapping[str, float]) -> tuple[Remark, ...]:
    filled = replace(METAL, values={"volume": f"{measures['metal_ml']:.1f}"})
    made = {rule.remark.code: rule.remark for rule in _RULES if measures[rule.measure] > rule.most}
    return tuple(filled if remark is METAL else remark for remark in made.values())


def is_cut(lungs: Bits) -> bool:
    """Whether lungs reach the first or the last slice."""
    return max(ends(lungs)) > _MOST_END_PERCENT


def ends(lungs: Bits) -> tuple[float, float]:
    """Area of the lungs on the first and on the last slice, in percent of the largest."""
    areas = lungs.sum((1, 2))
    return 100 * float(areas[0]) / float(areas.max()), 100 * float(areas[-1]) / float(areas.max())


def _side_cm2(lungs: Bits, volume: Volume) -> float:
    """Area of the lungs' surface that lies at the edge of the image, or of the circle that was reconstructed."""
    deep, high, wide = volume.spacing_mm
    length = sum(float((plane & _edge(hu)).sum()) for plane, hu in zip(lungs, volume.hu, strict=True))
    return length * (high + wide) / 2 * deep / 100


def _edge(hu: npt.NDArray[np.int16]) -> Bits:
    """The outermost voxels of what was reconstructed: beside the border, or beside padding in the corners."""
    edge = np.ones(hu.shape, bool)
    edge[1:-1, 1:-1] = False
    lowest = (hu <= hu[0, 0]).astype(np.uint8)
    if lowest[1:-1, 1:-1].any():
        _, pieces = cv2.connectedComponents(lowest, connectivity=4)
        corners = {int(pieces[row, column]) for row in (0, -1) for column in (0, -1)} - {0}
        edge |= cv2.dilate(np.isin(pieces, list(corners)).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    return edge


def _metal_ml(lungs: Bits, volume: Volume) -> float:
    """Metal within the rectangle of the lungs, on slices that show them."""
    rows, columns = (np.flatnonzero(lungs.any(axes)) for axes in ((0, 2), (0, 1)))
    box = (lungs.any((1, 2)), slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    return float((volume.hu[box] >= _METAL_FROM_HU).sum()) * float(np.prod(volume.spacing_mm)) / 1000


def _jump_mm(lungs: Bits, spacing_mm: planes.SpacingMm) -> float:
    """The greatest step of the hull of both lungs from a slice to the next, beyond the steps before and after it.

    Where a chest grows wider, all steps are alike; a breath between two slices makes one that is not. Upper and lower
    fifth are left out: there the lungs begin and end.
    """
    shown = np.flatnonzero(lungs.any((1, 2)))
    fifth = len(shown) // 5
    hulls = [planes.hull(lungs[number]) for number in shown[fifth : len(shown) - fifth]]
    steps = np.array([_step_mm(*pair, spacing_mm) for pair in zip(hulls, hulls[1:], strict=False)])
    beyond = [step - max(steps[i - 1], steps[i + 1]) for i, step in enumerate(steps[1:-1], 1)]
    return max([0.0, *map(float, beyond)])


def _step_mm(one: Bits, other: Bits, spacing_mm: planes.SpacingMm) -> float:
    """Area between two outlines by their length: how far they lie apart on average."""
    contours, _ = cv2.findContours((one | other).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    length = max(sum(cv2.arcLength(contour, True) for contour in contours), 1.0)
    return float((one ^ other).sum()) / length * spacing_mm[1]


STAGE = Stage(name="positioning", unaided=unaided)
