"""Logistic regression with weights, and limits that hold in the worst source."""

from __future__ import annotations

import numpy as np
import pytest

from models.evaluation.ct_limits import COVERAGE, Unseen, limits
from models.training.logistic import balanced, logistic


def drawn(seed: int, apart: float, shift: float = 0.0, n: int = 2000) -> Unseen:
    """Logits of two classes that lie so far apart."""
    rng = np.random.default_rng(seed)
    is_covid = rng.random(n) < 0.3
    return Unseen(rng.normal(0, 1, n) + apart * is_covid + shift, is_covid)


def test_the_weights_of_a_known_line_are_found() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(0, 1, (40_000, 2))
    positive = rng.random(len(x)) < 1 / (1 + np.exp(-(x @ [1.5, -0.5] + 0.3)))
    slopes, intercept = logistic(x, positive, np.ones(len(x)), ridge=0.0)
    assert slopes == pytest.approx([1.5, -0.5], abs=0.06) and intercept == pytest.approx(0.3, abs=0.05)
    assert np.abs(logistic(x, positive, np.ones(len(x)), ridge=1e6)[0]).max() < 0.1


def test_every_source_and_label_counts_as_much() -> None:
    sources = ["A"] * 10 + ["B"] * 4
    is_covid = np.array([True] * 8 + [False] * 2 + [True, False, False, False])
    weights = balanced(sources, is_covid)
    sums = [weights[i:j].sum() for i, j in ((0, 8), (8, 10), (10, 11), (11, 14))]
    assert sums == pytest.approx([sums[0]] * 4) and weights.mean() == pytest.approx(1)


def test_the_limits_keep_their_coverage_of_either_class_in_every_source() -> None:
    found = {"good": drawn(1, 3.0), "poor": drawn(2, 0.5), "shifted": drawn(3, 2.0, shift=1.5)}
    made = limits(found)
    for one in found.values():
        p = 1 / (1 + np.exp(-(one.logits * made["slope"] + made["intercept"])))
        assert (p[one.is_covid] >= made["covid19_from"] - 1e-4).mean() >= COVERAGE - 0.002
        assert (p[~one.is_covid] <= made["not_covid19_up_to"] + 1e-4).mean() >= COVERAGE - 0.002


def test_where_the_classes_lie_apart_no_set_is_empty() -> None:
    made = limits({"easy": drawn(1, 30.0)})
    assert made["covid19_from"] <= made["not_covid19_up_to"]


def test_a_poor_source_makes_more_sets_of_both() -> None:
    def both(apart: float) -> float:
        made = limits({"good": drawn(1, 3.0), "other": drawn(2, apart)})
        return made["not_covid19_up_to"] - made["covid19_from"]

    assert both(0.2) > both(3.0)
