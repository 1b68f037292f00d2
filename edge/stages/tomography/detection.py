"""Detection: ground glass and consolidation of a CT in millilitres, where they lie, and the largest lesions.

How a voxel is judged stands in ``densitometry``. What is measured is opacity, whatever its cause: lung that is
compressed below (dependent atelectasis), fluid in a fissure, a scar and a tumour count as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from edge.stages.stage import Outcome, Stage
from edge.stages.tomography.densitometry import tissue
from edge.stages.tomography.lungs import LEFT, RIGHT, components
from edge.stages.tomography.scan import Bits, Labels, Scan
from edge.stages.tomography.zones import AFFECTED_FROM, CONSOLIDATED_FROM, LOWER, SIDES, by_lung, by_zone, peripheral
from edge.types import N_, Lesion, Mask, Remark, Severity, Tissue, Zone

POORLY_AERATED = Remark(
    code="poorly_aerated",
    text=N_("The lungs hold little air (%(density)s HU in the middle): breathed out, their opacity is overestimated."),
    severity=Severity.WARN,
    advice=N_("If the patient can, repeat while a deep breath is held."),
)

KINDS = (
    ("ground_glass_opacity", Tissue.RIGHT_GROUND_GLASS),
    ("consolidation", Tissue.RIGHT_CONSOLIDATION),
)
NAMES = {int(label): label.name.lower().replace("_", " ") for label in Tissue}
METHOD = 2
"""Of measuring; one more wherever the same scan would measure otherwise, from its lungs to its zones and limits.
Only what was measured alike is compared: a change of the box would be told as one of the patient."""
_MOST_LESIONS, _LEAST_LESION_ML = 12, 0.2
_BILATERAL_FROM_PERCENT = 0.5
"""Of each lung; above what blur and noise make of the normal series (docs/result.md)."""
_MOST_MEDIAN_HU = -760.0


def unaided(scan: Scan) -> Outcome[Scan]:
    """Measure the opacity of the lungs; without lungs there is nothing to measure."""
    if scan.lungs is None or scan.airways is None or scan.zones is None:
        return Outcome(case=scan, is_skipped=True)
    found = tissue(scan.volume, scan.lungs.labels, scan.airways)
    read = replace(scan, tissue=found)
    median = float(np.median(scan.volume.hu[(found > 0) & (found < AFFECTED_FROM)]))
    remarks = (replace(POORLY_AERATED, values={"density": f"{median:.0f}"}),) if median > _MOST_MEDIAN_HU else ()
    return Outcome(
        case=read,
        values=_values(read, found, scan.lungs.labels, scan.zones),
        remarks=remarks,
        masks={"tissue": Mask(labels=found, names=NAMES)},
        findings=lesions(read, found, scan.zones),
    )


def _values(scan: Scan, found: Labels, lungs: Labels, zones: Labels) -> dict[str, Any]:
    affected, solid = found >= AFFECTED_FROM, found >= CONSOLIDATED_FROM
    percent = by_lung(affected, lungs)
    voxel_ml = float(np.prod(scan.volume.spacing_mm)) / 1000
    counts = {label: float(np.count_nonzero(found == label)) * voxel_ml for label in Tissue}
    return {
        "method": METHOD,
        "percent": _rounded(percent),
        "zones": _rounded(by_zone(affected, zones)),
        "ground_glass_percent": round(by_lung(affected & ~solid, lungs)["both"], 2),
        "consolidation_percent": round(by_lung(solid, lungs)["both"], 2),
        "ground_glass_ml": _both(counts[Tissue.RIGHT_GROUND_GLASS], counts[Tissue.LEFT_GROUND_GLASS]),
        "consolidation_ml": _both(counts[Tissue.RIGHT_CONSOLIDATION], counts[Tissue.LEFT_CONSOLIDATION]),
        "mean_hu": _means(scan.volume.hu, lungs),
        "distribution": _distribution(affected, lungs, zones, percent),
    }


def _rounded(values: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 2) for name, value in values.items()}


def _both(right: float, left: float) -> dict[str, float]:
    return _rounded({"right_lung": right, "left_lung": left, "both": right + left})


def _means(hu: npt.NDArray[np.int16], lungs: Labels) -> dict[str, int]:
    parts = {"right_lung": lungs == RIGHT, "left_lung": lungs == LEFT, "both": lungs > 0}
    return {name: round(float(hu[part].mean())) for name, part in parts.items()}


def _distribution(affected: Bits, lungs: Labels, zones: Labels, percent: dict[str, float]) -> dict[str, Any]:
    total = max(int(affected.sum()), 1)
    basal = np.isin(zones[affected], [1 + list(Zone).index(zone) for zone in LOWER])
    return {
        "bilateral": min(percent["right_lung"], percent["left_lung"]) >= _BILATERAL_FROM_PERCENT,
        "peripheral_percent": round(100 * float((affected & peripheral(lungs)).sum()) / total, 1),
        "basal_percent": round(100 * float(basal.sum()) / total, 1),
    }


def lesions(scan: Scan, found: Labels, zones: Labels) -> tuple[Lesion, ...]:
    """The largest connected opacities of either kind in either lung, the largest first."""
    listed = [
        lesion
        for code, label in KINDS
        for offset, side in ((0, RIGHT), (1, LEFT))
        for lesion in _lesions(code, side, found == label + offset, scan, zones)
    ]
    return tuple(sorted(listed, key=lambda lesion: -lesion.volume_ml)[:_MOST_LESIONS])


def _lesions(code: str, side: int, where: Bits, scan: Scan, zones: Labels) -> Iterator[Lesion]:
    assert scan.lungs is not None  # noqa: S101 (detection measured them)
    voxel_ml = float(np.prod(scan.volume.spacing_mm)) / 1000
    lung = int((scan.lungs.labels == side).sum())
    pieces, sizes = components(where)
    places = np.flatnonzero(pieces)
    numbers = pieces.ravel()[places]
    for number in range(1, min(len(sizes), _MOST_LESIONS) + 1):
        size = int(sizes[number - 1])
        if size * voxel_ml < _LEAST_LESION_ML:
            break
        own = places[numbers == number]
        areas = np.bincount(own // where[0].size, minlength=len(where))
        shown = np.flatnonzero(areas)
        yield Lesion(
            code=code,
            laterality=SIDES[side],
            zone=list(Zone)[int(np.bincount(zones.ravel()[own]).argmax()) - 1],
            volume_ml=size * voxel_ml,
            lung_percent=100 * size / lung,
            mean_hu=float(scan.volume.hu.ravel()[own].mean()),
            slice_number=int(areas.argmax()) + 1,
            slices=(int(shown[0]) + 1, int(shown[-1]) + 1),
        )


STAGE = Stage(name="detection", unaided=unaided)
