"""Scores and decisions out of measured shares."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edge.stages.tomography import classification, detection, severity
from edge.types import Decision
from tests.support.ct_scans import ball, from_head, outlined, painted


@pytest.mark.parametrize(
    ("percent", "largest_ml", "decision"),
    [
        (0.1, 0.5, Decision.NORMAL),
        (0.1, 3.0, Decision.REFER),
        (0.8, 0.5, Decision.REFER),
        (1.5, 9.0, Decision.REFER),
        (1.6, 0.5, Decision.ABNORMAL),
    ],
)
def test_a_claim_needs_one_side_of_both_limits(percent: float, largest_ml: float, decision: Decision) -> None:
    assert classification.decide(percent, largest_ml) is decision


def test_a_healthy_phantom_shows_no_opacity_and_scores_nothing() -> None:
    scan = detection.unaided(outlined(from_head())).case
    outcome = classification.unaided(scan)
    assert outcome.values == {"decision": "normal", "probabilities": {}, "set": [], "measured_percent": 0.0}
    values = severity.unaided(scan).values
    assert values["ct_score"] == 0 and values["grade"] == "none" and values["change"] is None


@pytest.mark.parametrize("code", sorted(classification.REFERRALS - {"between_limits"}))
def test_where_opacity_can_be_missed_nothing_is_ruled_out(code: str) -> None:
    scan = detection.unaided(outlined(from_head((5.0, 3.0, 3.0)))).case
    assert classification.unaided(replace(scan, noted=("thick_slices", "metal"))).values["decision"] == "normal"
    outcome = classification.unaided(replace(scan, noted=("thick_slices", code)))
    assert (outcome.values["decision"], outcome.remarks) == ("refer", ())


def test_what_can_be_missed_does_not_take_a_measured_opacity_away() -> None:
    made = from_head((5.0, 3.0, 3.0))
    ill = detection.unaided(outlined(painted(made, ball(made, (10.0, 30.0, 85.0), 40), -400))).case
    assert classification.unaided(replace(ill, noted=("cut_off_below",))).values["decision"] == "abnormal"


def test_an_abstention_says_why() -> None:
    made = from_head()
    small = painted(made, ball(made, (10.0, 30.0, 85.0), 12), -400)
    outcome = classification.unaided(detection.unaided(outlined(small)).case)
    assert outcome.values["decision"] == "refer"
    assert [remark.code for remark in outcome.remarks] == ["between_limits"]


@pytest.mark.parametrize(("share", "points"), [(0.005, 0), (0.2, 1), (0.3, 2), (0.6, 3), (0.8, 4)])
def test_a_zone_has_points_for_its_share(share: float, points: int) -> None:
    scan = outlined(from_head())
    assert scan.lungs is not None and scan.zones is not None
    places = np.flatnonzero(scan.zones == 1)
    tissue = scan.lungs.labels.copy()
    tissue.ravel()[places[: round(share * len(places))]] = 3
    values = severity.unaided(replace(scan, tissue=tissue)).values
    assert values["zones"]["right_upper"] == points == values["ct_score"]
    assert values["affected_percent"]["right_upper"] == pytest.approx(100 * share, abs=0.1)


@pytest.mark.parametrize(("label", "score", "grade"), [(3, 24, "severe"), (5, 24, "severe")])
def test_wholly_affected_lungs_have_the_full_score(label: int, score: int, grade: str) -> None:
    scan = outlined(from_head())
    assert scan.lungs is not None
    tissue = np.where(scan.lungs.labels > 0, scan.lungs.labels + np.uint8(label - 1), np.uint8(0))
    values = severity.unaided(replace(scan, tissue=tissue)).values
    assert (values["ct_score"], values["grade"], values["ct_score_max"]) == (score, grade, 24)


def test_without_what_was_measured_nothing_is_claimed() -> None:
    scan = outlined(from_head())
    assert classification.unaided(scan).values == {} and severity.unaided(scan).values == {}
