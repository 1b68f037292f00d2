"""What tells that the base of a lung may be dense, and is therefore missing from its outline."""

from __future__ import annotations

import numpy as np
import pytest

from edge.stages.tomography import bases
from edge.stages.tomography.scan import Bits, Labels
from edge.types import Volume

QUIET = {"base_percent": 12.0, "base_step_cm2": 15.0, "base_back_mm": 30.0, "bases_apart_mm": 35.0}
"""Limits of the remark."""
SPACING_MM = (3.0, 2.0, 2.0)
Z, Y, X = np.ogrid[0:90, 0:120, 0:160]


def lungs() -> Labels:
    """Two tubes of 120 x 180 mm, a dome below each of them that leaves a thin crescent at the back."""
    labels = np.zeros((90, 120, 160), np.uint8)
    for side, column in ((1, 40), (2, 120)):
        tube = np.hypot((X - column) / 30, (Y - 60) / 45) < 1
        dome = np.hypot(np.hypot((X - column) / 42, (Y - 50) / 49), (Z - 90) / 50) < 1
        labels[tube & ~dome & (Z > 5) & (Z < 84)] = side
    return labels


def measured(lungs: Labels) -> dict[str, float]:
    hu = np.where(lungs > 0, np.int16(-850), np.int16(40))
    return bases.measures(lungs, Volume(hu=hu, affine=np.eye(4), spacing_mm=SPACING_MM))


def unusual(lungs: Labels) -> set[str]:
    return {name for name, value in measured(lungs).items() if value > QUIET[name]}


def right(where: Bits) -> Labels:
    """Lungs of which this part of the right one is dense and was left out."""
    labels = lungs()
    labels[(labels == 1) & where] = 0
    return labels


def test_lungs_over_two_domes_are_quiet() -> None:
    assert unusual(lungs()) == set()


def test_a_base_that_is_cut_flat_is_told() -> None:
    assert {"base_percent", "base_step_cm2"} <= unusual(right(Z > 48))


def test_a_column_on_the_dome_is_told() -> None:
    assert unusual(right((np.hypot(X - 40, Y - 60) < 16) & (Z > 30))) == {"base_step_cm2"}


def test_a_back_that_leaves_the_wall_is_told() -> None:
    assert "base_back_mm" in unusual(right((Z - 50) * 3 + (Y - 60) * 2 > 60))


def test_a_lung_that_ends_far_above_the_other_is_told() -> None:
    labels = np.zeros_like(lungs())
    labels[:75] = np.where(lungs()[15:] == 1, np.uint8(1), labels[:75])
    labels[lungs() == 2] = 2
    assert measured(labels)["bases_apart_mm"] == pytest.approx(45)
