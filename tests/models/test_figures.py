"""The statistics of an evaluation, against counting by hand and published values."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as some

from models.evaluation.figures import auc, auc_with_interval, share, summary

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
        return auc_with_interval(rng.normal(positive * 1.0, 1), positive)

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
    assert auc_with_interval(scores, positive) == auc_with_interval(scores, positive)


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
