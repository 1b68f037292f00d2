"""Classification of a CT: whether more opacity was measured than normal lungs show.

The decision hangs on densities alone. Beside it a network says which of COVID-19 and another disease cannot be ruled
out, mostly neither (``covid19``); a probability is told only where one can. Rejected: a class out of densities
alone, which do not tell one pneumonia from another; a probability without a claim, which would be taken for one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from edge.engines.engine import Engine
from edge.stages.stage import Outcome, Stage
from edge.stages.tomography import covid19, zones
from edge.stages.tomography.scan import Scan
from edge.types import N_, Decision, Remark, Severity

BETWEEN_LIMITS = Remark(
    code="between_limits",
    text=N_("A little opacity, within what normal lungs can show: a physician has to read the images."),
    severity=Severity.WARN,
)
_CAN_BE_MISSED = frozenset(
    {
        "cut_off_above",
        "cut_off_below",
        "cut_off_at_side",
        "unusual_bases",
        "large_domes",
        "outside_body",
        "outlined_without_network",
        "network_missed_lung",
        "noisy",
        "moved",
        "coarse_slices",
        "small_gaps",
        "uneven_steps",
        "unreadable_images",
    }
)
"""Codes of remarks that say that opacity can lie where nothing was measured: beside them nothing is ruled out."""
REFERRALS = frozenset({BETWEEN_LIMITS.code}) | _CAN_BE_MISSED
"""Codes of remarks that explain why a study is referred."""

NORMAL_BELOW_PERCENT, ABNORMAL_FROM_PERCENT = 0.8, 1.6
"""Of both lungs. The normal public series shows 0.2 %, and 0.8 % when it is blurred beyond any kernel for the lungs;
the two of pneumonia show 2.5 and 4.2 %. One normal patient proves no upper limit: up to twice that no claim is made."""
NORMAL_BELOW_ML = 3.0
"""One opacity of this size is no chance finding, however large the lungs."""


def unaided(scan: Scan) -> Outcome[Scan]:
    """Compare the measured opacity with the limits."""
    if scan.lungs is None or scan.tissue is None:
        return Outcome(case=scan, is_skipped=True)
    affected = scan.tissue >= zones.AFFECTED_FROM
    percent = zones.by_lung(affected, scan.lungs.labels)["both"]
    decision = decide(percent, zones.largest_ml(affected, scan.volume.spacing_mm))
    remarks = (BETWEEN_LIMITS,) if decision is Decision.REFER else ()
    if decision is Decision.NORMAL and _CAN_BE_MISSED.intersection(scan.noted):
        decision = Decision.REFER
    values: dict[str, Any] = {"decision": decision.value, "probabilities": {}, "set": []}
    values["measured_percent"] = round(percent, 2)
    return Outcome(case=scan, values=values, remarks=remarks)


def read(scan: Scan, engine: Engine) -> Outcome[Scan]:
    """Compare the measured opacity with the limits, and ask the network what it looks like."""
    outcome = unaided(scan)
    # Where no opacity was measured there is nothing that could look like one disease or another.
    has_opacity = outcome.values.get("decision") == Decision.ABNORMAL.value or BETWEEN_LIMITS in outcome.remarks
    if scan.lungs is None or not has_opacity:
        return outcome
    probability = covid19.probability(scan.volume.hu, scan.lungs.labels, engine)
    if probability is None:
        return outcome
    possible = covid19.prediction_set(probability, engine.card)
    told = {"covid19": round(probability, 4)} if len(possible) == 1 else {}
    return replace(outcome, values={**outcome.values, "probabilities": told, "set": list(possible)})


def decide(percent: float, largest_ml: float) -> Decision:
    """``normal`` here means that no more opacity was measured than normal lungs show."""
    if percent >= ABNORMAL_FROM_PERCENT:
        return Decision.ABNORMAL
    is_little = percent < NORMAL_BELOW_PERCENT and largest_ml < NORMAL_BELOW_ML
    return Decision.NORMAL if is_little else Decision.REFER


STAGE = Stage(name="classification", model="ct_covid19", read=read, unaided=unaided)
