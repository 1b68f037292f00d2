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
from edge.stages.tomography.positioning import is_cut
from edge.stages.tomography.scan import Labels, PriorScan, Scan
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
        return Outcome(case=scan, is_skipped=True)
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
        "change": _change(scan, scan.prior, percent) if scan.prior else None,
    }
    return Outcome(case=scan, values=values)


def _change(scan: Scan, prior: PriorScan, percent: Mapping[str, float]) -> dict[str, Any]:
    return change(percent, prior.severity, _prior_shares(scan), is_whole=_is_whole(scan, prior))


def _prior_shares(scan: Scan) -> Mapping[str, float] | None:
    """Affected share of the prior in the zones and lungs of this scan that it shows; None where it lies otherwise."""
    if scan.prior_tissue is None or scan.zones is None or scan.lungs is None:
        return None
    affected, seen = scan.prior_tissue >= AFFECTED_FROM, scan.prior_tissue > 0
    zones: Labels = np.where(seen, scan.zones, np.uint8(0))
    lungs: Labels = np.where(seen, scan.lungs.labels, np.uint8(0))
    return {**by_lung(affected, lungs), **by_zone(affected, zones)}


def _is_whole(scan: Scan, prior: PriorScan) -> bool:
    """Whether both show the lungs from their top to their bases."""
    return scan.lungs is not None and not (is_cut(scan.lungs.labels > 0) or is_cut(prior.tissue > 0))


def change(
    percent: Mapping[str, float], prior: Mapping[str, Any], shares: Mapping[str, float] | None, *, is_whole: bool
) -> dict[str, Any]:
    """How shares differ from those of a prior in what both show, in percent points.

    Parameters
    ----------
    percent : of ``both``, of each lung and of each zone.
    prior : ``severity`` of the earlier result, with ``study_key``, ``version``, ``completed_at`` and ``acquired_at``.
    shares : of the prior, by the same names, within the lungs of this scan; None where it does not lie like this one:
        then nothing is compared.
    is_whole : whether neither is cut off: no verdict comes of parts of lungs.
    """
    points = {name: round(percent[name] - share, 2) for name, share in (shares or {}).items()}
    return {
        "study_key": prior["study_key"],
        "version": prior.get("version"),
        "completed_at": prior["completed_at"],
        "acquired_at": prior.get("acquired_at"),
        "zones": {zone.value: points[zone.value] for zone in Zone if points},
        "lungs": {name: points[name] for name in ("right_lung", "left_lung") if points},
        "percent": points.get("both"),
        "verdict": _verdict(points["both"]) if points and is_whole else None,
    }


def _verdict(points: float) -> str:
    if abs(points) < LEAST_CHANGE_POINTS:
        return "same"
    return "worse" if points > 0 else "better"


STAGE = Stage(name="severity", unaided=unaided)
