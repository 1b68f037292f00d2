"""The formulas that stages share."""

from __future__ import annotations

import numpy as np
import pytest

from edge.stages.numbers import sigmoid, softmax


def test_softmax_adds_up_to_one_and_keeps_the_order() -> None:
    p = softmax(np.array([2.0, -1.0, 0.5], np.float32))
    assert p.sum() == pytest.approx(1)
    assert p.argsort().tolist() == [1, 2, 0]


def test_softmax_of_known_logits() -> None:
    p = softmax(np.log(np.array([1, 2, 5], np.float32)))
    assert p.tolist() == pytest.approx([1 / 8, 2 / 8, 5 / 8])


def test_softmax_takes_huge_logits() -> None:
    with np.errstate(over="raise", invalid="raise"):
        assert softmax(np.array([3e4, 3e4, -3e4], np.float32)).tolist() == pytest.approx([0.5, 0.5, 0], abs=1e-9)


def test_a_higher_temperature_is_less_sure() -> None:
    logits = np.array([3.0, 0.0], np.float32)
    sure, less, least = (softmax(logits, temperature)[0] for temperature in (0.5, 1, 100))
    assert sure > less > least > 0.5
    assert softmax(logits, 2.0).tolist() == pytest.approx(softmax(logits / 2).tolist())


def test_sigmoid_is_symmetric_and_of_the_shape_that_it_is_given() -> None:
    p = sigmoid(np.array([[0.0, 2.0], [-2.0, np.log(3)]], np.float32))
    assert p.shape == (2, 2)
    assert p[0, 0] == 0.5
    assert p[0, 1] + p[1, 0] == pytest.approx(1)
    assert p[1, 1] == pytest.approx(0.75)
