"""Severity: how much of the lungs is affected, as a share and as a score by zone, and how that changed.

The score gives each of six zones 0 to 4 points by the share that is affected: none, below 25, 50, 75 %, and from there
on (Ooi 2004, Radiology 230:836, for SARS). Readers estimate that share by eye, on zones by landmarks; here it is
measured, on thirds by volume, and "none" is what normal lungs show.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from edge.stages.stage import Outcome, Stage
from edge.stages.tomography.classification import NORMAL_BELOW_PERCENT
from edge.stages.tomography.scan import Labels, Scan
from edge.stages.tomography.zones import AFFECTED_FROM, by_lung, by_zone
from edge.types import Grade, Zone

MOST_SCORE = 24
_ENDS_PERCENT = (NORMAL_BELOW_PERCENT, 25.0, 50.0, 75.0)
_GRADES = ((0, Grade.NONE), (8, Grade.MILD), (16, Grade.MODERATE), (MOST_SCORE, Grade.SEVERE))
"""Thirds of the range of the score, as with radiographs."""
LEAST_CHANGE_POINTS = 1.5
"""Of the whole lungs, in percent points: above what another kernel, other noise or other slices make of one patient."""


def unaided(scan: Scan) -> Outcome[Scan]:
    """Score what detection measured; without it no severity is given."""
    if scan.lungs is None or scan.tissue is None or scan.zones is None:
        return Outcome(case=scan)
    affected = scan.tissue >= AFFECTED_FROM
    percent = {**by_lung(affected, scan.lungs.labels), **by_zone(affected, scan.zones)}
    points = {zone.value: int(np.digitize(percent[zone.value], _ENDS_PERCENT)) for zone in Zone}
    score = sum(points.values())
    values = {
        "affected_percent": {name: round(value, 2) for name, value in percent.items()},
        "ct_score": score,
        "ct_score_max": MOST_SCORE,
        "zones": points,
        "grade": next(grade for most, grade in _GRADES if score <= most).value,
        "change": change(percent, scan.prior.severity, _prior_zones(scan)) if scan.prior else None,
    }
    return Outcome(case=scan, values=values)


def _prior_zones(scan: Scan) -> Mapping[str, float] | None:
    """Affected share of the prior within the zones of this scan; None where it does not lie on it."""
    if scan.prior_tissue is None or scan.zones is None:
        return None
    seen: Labels = np.where(scan.prior_tissue > 0, scan.zones, np.uint8(0))
    return by_zone(scan.prior_tissue >= AFFECTED_FROM, seen)


def change(
    percent: Mapping[str, float], prior: Mapping[str, Any], prior_zones: Mapping[str, float] | None
) -> dict[str, Any]:
    """How shares differ from those of a prior, in percent points; ``zones`` is empty where none can be compared.

    Parameters
    ----------
    percent : of ``both``, of each lung and of each zone.
    prior : ``severity`` of the earlier result, with ``study_key``, ``version``, ``completed_at`` and ``acquired_at``.
    """
    before = prior["affected_percent"]
    lungs = {name: round(percent[name] - before[name], 2) for name in ("right_lung", "left_lung")}
    points = round(percent["both"] - before["both"], 2)
    verdict = "same" if abs(points) < LEAST_CHANGE_POINTS else "worse" if points > 0 else "better"
    return {
        "study_key": prior["study_key"],
        "version": prior.get("version"),
        "completed_at": prior["completed_at"],
        "acquired_at": prior.get("acquired_at"),
        "zones": {name: round(percent[name] - share, 2) for name, share in (prior_zones or {}).items()},
        "lungs": lungs,
        "percent": points,
        "verdict": verdict,
    }


STAGE = Stage(name="severity", unaided=unaided)
