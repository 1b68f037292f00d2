"""The statistics of an evaluation, against counting by hand and published values."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as some

from models.evaluation.figures import auc, auc_with_interval, patient_interval, roc, share, summary

Cases = some.lists(some.tuples(some.integers(0, 5), some.booleans()), min_size=2, max_size=40).filter(
    lambda cases: len({positive for _, positive in cases}) == 2
)


def count_pairs(scores: npt.NDArray[np.float64], positive: npt.NDArray[np.bool_]) -> float:
    """The share of pairs in which the positive scores higher; a tie counts one half."""
    wins = [float(y > n) + 0.5 * float(y == n) for y in scores[positive] for n in scores[~positive]]
    return sum(wins) / len(wins)


@given(Cases)
def test_auc_is_the_share_of_pairs_in_order_with_ties_as_halves(cases: list[tuple[int, bool]]) -> None:
    scores = np.array([score for score, _ in cases], np.float64)
    positive = np.array([is_positive for _, is_positive in cases])
    assert auc(scores, positive) == pytest.approx(count_pairs(scores, positive))


def test_auc_of_perfect_opposite_and_equal_scores() -> None:
    positive = np.array([False, False, True, True])
    assert auc(np.array([0.1, 0.2, 0.3, 0.4]), positive) == 1
    assert auc(np.array([0.4, 0.3, 0.2, 0.1]), positive) == 0
    assert auc(np.full(4, 0.5), positive) == 0.5


def test_auc_does_not_depend_on_the_order_of_the_cases() -> None:
    rng = np.random.default_rng(4)
    scores, positive = rng.integers(0, 9, 200).astype(np.float64), rng.random(200) < 0.3
    order = rng.permutation(200)
    assert auc(scores[order], positive[order]) == pytest.approx(auc(scores, positive))


def test_the_interval_of_an_auc_contains_it_and_narrows_with_more_cases() -> None:
    rng = np.random.default_rng(5)

    def figure(n: int) -> dict[str, object]:
        positive = np.arange(n) % 2 == 0
        return auc_with_interval(rng.normal(positive * 1.0, 1), positive, [str(i) for i in range(n)])

    few, many = figure(40), figure(2000)
    assert (few["positive"], few["negative"]) == (20, 20)
    for found in (few, many):
        low, high = found["interval_95"]  # type: ignore[misc]
        assert low <= found["auc"] <= high
    # Two normal distributions one deviation apart: the normal distribution function of 1 / sqrt(2).
    assert many["auc"] == pytest.approx(0.760, abs=0.04)
    # Its standard error by Hanley and McNeil 1982, times twice 1.96.
    assert _width(many) == pytest.approx(0.0417, rel=0.2)
    assert _width(few) > 3 * _width(many)


def test_an_interval_is_the_same_each_time() -> None:
    scores, positive = np.array([0.1, 0.9, 0.4, 0.6, 0.3]), np.array([False, True, False, True, True])
    assert auc_with_interval(scores, positive, list("abcde")) == auc_with_interval(scores, positive, list("abcde"))


def test_the_interval_counts_a_patient_with_many_images_once() -> None:
    """Four copies of every image tell nothing new, unless the patient is forgotten."""
    rng = np.random.default_rng(6)
    positive = np.arange(60) % 2 == 0
    scores, patients = rng.normal(positive * 1.0, 1), [str(i) for i in range(60)]
    once = auc_with_interval(scores, positive, patients)
    copies = np.tile(scores, 4), np.tile(positive, 4)
    assert auc_with_interval(*copies, patients * 4)["interval_95"] == once["interval_95"]
    assert _width(auc_with_interval(*copies, [str(i) for i in range(240)])) < 0.7 * _width(once)


def test_whole_patients_are_drawn() -> None:
    """Patient a has three images of five: they count 0, 3 or 6 times together, never 1 or 2."""
    draws: list[float] = []

    def first_of_a(weights: npt.NDArray[np.float64]) -> float:
        assert weights[0] == weights[1] == weights[2]
        draws.append(float(weights[0]))
        return float(weights.sum())

    low, high = patient_interval(first_of_a, ["a", "a", "a", "b", "c"])
    assert {0.0, 1.0, 2.0} <= set(draws)
    assert (low, high) == (3.0, 9.0)  # three draws: never a, or always a


def test_a_draw_without_one_of_the_classes_is_left_out() -> None:
    positive = np.array([True, False, False])
    found = auc_with_interval(np.array([0.9, 0.1, 0.2]), positive, ["a", "b", "c"])
    assert found["interval_95"] == [1.0, 1.0]


@given(Cases)
def test_a_weight_of_two_is_the_case_twice(cases: list[tuple[int, bool]]) -> None:
    scores = np.array([score for score, _ in cases], np.float64)
    positive = np.array([is_positive for _, is_positive in cases])
    weights = 1.0 + np.arange(len(cases)) % 2
    times = weights.astype(int)
    assert auc(scores, positive, weights) == pytest.approx(auc(scores.repeat(times), positive.repeat(times)))


@given(Cases)
def test_the_area_below_the_roc_curve_is_the_auc(cases: list[tuple[int, bool]]) -> None:
    scores = np.array([score for score, _ in cases], np.float64)
    positive = np.array([is_positive for _, is_positive in cases])
    false, true = roc(scores, positive)
    assert (false[0], true[0], false[-1], true[-1]) == (0, 0, 1, 1)
    area = float(((true[1:] + true[:-1]) / 2 * np.diff(false)).sum())
    assert area == pytest.approx(auc(scores, positive))


@pytest.mark.parametrize(
    ("found", "n", "interval"),
    [
        (81, 263, [0.255, 0.366]),  # Newcombe 1998, table I: 0.2553 to 0.3662
        (15, 148, [0.062, 0.160]),  # 0.0624 to 0.1605
        (0, 20, [0.0, 0.161]),  # 0.0000 to 0.1611
        (1, 29, [0.006, 0.172]),  # 0.0061 to 0.1718
        (20, 20, [0.839, 1.0]),
    ],
)
def test_the_interval_of_a_share_is_the_published_one(found: int, n: int, interval: list[float]) -> None:
    figure = share([True] * found + [False] * (n - found))
    assert figure["interval_95"] == pytest.approx(interval, abs=0.0011)
    assert (figure["share"], figure["n"]) == (round(found / n, 4), n)


def test_a_summary_counts_and_averages() -> None:
    assert summary([0.5, 1.0, 0.0, 0.7]) == {"n": 4, "mean": 0.55, "median": 0.6, "p5": 0.075}


def _width(figure: dict[str, object]) -> float:
    low, high = figure["interval_95"]  # type: ignore[misc]
    return float(high - low)
