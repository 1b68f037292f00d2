"""Calibration error and risk against coverage, counted by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from models.evaluation.reliability import (
    BINS,
    area_under_risk,
    calibration_error,
    calibration_with_interval,
    reliability,
    risk_coverage,
)

Answers = some.lists(some.tuples(some.floats(0, 1), some.booleans()), min_size=1, max_size=40)


def test_the_calibration_error_weighs_the_gap_of_each_bin_by_its_images() -> None:
    """Three in the bin of 0.0 to 0.067: said 0.03, seen 1/3; one in the last: said 0.98, seen 1."""
    probability, outcome = np.array([0.03, 0.03, 0.03, 0.98]), np.array([True, False, False, True])
    expected = 3 / 4 * (1 / 3 - 0.03) + 1 / 4 * (1 - 0.98)
    assert calibration_error(probability, outcome) == pytest.approx(expected)
    assert reliability(probability, outcome) == [
        {"from": 0.0, "n": 3, "predicted": 0.03, "observed": 0.3333},
        {"from": 0.9333, "n": 1, "predicted": 0.98, "observed": 1.0},
    ]


def test_errors_on_both_sides_of_one_half_do_not_hide_each_other() -> None:
    """Said 0.1 and seen never, said 0.9 and seen at 0.8: too high on both sides, yet right on average by confidence."""
    probability = np.repeat([0.1, 0.9], 10)
    outcome = np.arange(20) >= 12
    assert calibration_error(probability, outcome) == pytest.approx(0.1)
    confidence_gap = abs(np.maximum(probability, 1 - probability).mean() - ((probability >= 0.5) == outcome).mean())
    assert confidence_gap == pytest.approx(0.0)


def test_a_probability_too_low_does_not_make_up_for_one_too_high() -> None:
    """Said 0.1 and seen 0.3, said 0.9 and seen 0.7: right on average, and wrong by 0.2 everywhere."""
    probability = np.repeat([0.1, 0.9], 10)
    outcome = np.array([True] * 3 + [False] * 7 + [True] * 7 + [False] * 3)
    assert calibration_error(probability, outcome) == pytest.approx(0.2)


def test_a_probability_of_one_falls_into_the_last_bin() -> None:
    assert reliability(np.array([1.0]), np.array([True]))[0]["from"] == round((BINS - 1) / BINS, 4)


def test_the_calibration_error_of_honest_probabilities_vanishes_with_many_images() -> None:
    rng = np.random.default_rng(1)
    probability = rng.random(50_000)
    assert calibration_error(probability, rng.random(50_000) < probability) < 0.01
    assert calibration_error(probability, rng.random(50_000) < probability**3) > 0.1


def test_the_calibration_interval_draws_patients() -> None:
    rng = np.random.default_rng(2)
    probability = rng.random(80)
    outcome = rng.random(80) < probability
    names = [str(i) for i in range(80)]
    once = calibration_with_interval(probability, outcome, names)
    thrice = calibration_with_interval(np.tile(probability, 3), np.tile(outcome, 3), names * 3)
    assert thrice["interval_95"] == once["interval_95"]
    assert (once["n"], thrice["n"]) == (80, 240)


def test_risk_is_the_share_of_errors_among_the_most_confident() -> None:
    """In order of confidence: right, wrong, right, wrong."""
    confidence, correct = np.array([0.6, 0.9, 0.8, 0.7]), np.array([False, True, False, True])
    coverage, risk = risk_coverage(confidence, correct)
    assert coverage.tolist() == [0.25, 0.5, 0.75, 1.0]
    assert risk == pytest.approx([0, 1 / 2, 1 / 3, 2 / 4])
    assert area_under_risk(confidence, correct) == pytest.approx((0 + 1 / 2 + 1 / 3 + 2 / 4) / 4)


def test_images_of_equal_confidence_share_their_errors() -> None:
    _, risk = risk_coverage(np.full(4, 0.7), np.array([True, False, False, True]))
    assert risk == pytest.approx([0.5] * 4)


@given(Answers)
def test_at_full_coverage_the_risk_is_the_error_rate(answers: list[tuple[float, bool]]) -> None:
    correct = np.array([right for _, right in answers])
    _, risk = risk_coverage(np.array([confidence for confidence, _ in answers]), correct)
    assert risk[-1] == pytest.approx(1 - correct.mean())


@given(Answers)
def test_the_order_of_the_images_does_not_matter(answers: list[tuple[float, bool]]) -> None:
    confidence, correct = (np.array(values) for values in zip(*answers, strict=True))
    assert area_under_risk(confidence, correct) == pytest.approx(area_under_risk(confidence[::-1], correct[::-1]))
