"""The goals: every one names a figure that exists, and is met by nothing but that figure."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import models.evaluation
from models.evaluation import without
from models.evaluation.goals import GOALS, Goal, table

HOME = Path(models.evaluation.__file__).parent
AT_LEAST = Goal("lungs outlined", "lung_field", "lung Dice", "mean", ">=", 0.96)
AT_MOST = Goal("honest", "pneumonia", "calibration error", "ece", "<=", 0.08)


@pytest.mark.parametrize(
    ("goal", "found", "met"),
    [
        (AT_LEAST, 0.96, True),
        (AT_LEAST, 0.959, False),
        (AT_MOST, 0.08, True),
        (AT_MOST, 0.081, False),
        (AT_LEAST, None, False),
        (AT_MOST, None, False),
    ],
)
def test_a_goal_is_met_at_its_limit_and_never_without_a_figure(goal: Goal, found: float | None, met: bool) -> None:
    assert goal.is_met(found) is met


def test_the_table_takes_each_figure_with_its_interval_from_its_place() -> None:
    report = {
        "lung_field": {"lung Dice": {"mean": 0.97, "n": 9}},
        "pneumonia": {"calibration error": {"ece": 0.12, "interval_95": [0.09, 0.2]}},
    }
    assert table(report, (AT_LEAST, AT_MOST)) == [
        {"figure": "lungs outlined", "found": 0.97, "interval_95": None, "goal": ">= 0.96", "met": True},
        {"figure": "honest", "found": 0.12, "interval_95": [0.09, 0.2], "goal": "<= 0.08", "met": False},
    ]


def test_a_figure_that_was_not_measured_is_said_and_not_met() -> None:
    (row,) = table({}, (AT_LEAST,))
    assert (row["found"], row["met"]) == (None, False)


def test_no_goal_stands_twice() -> None:
    assert len({goal.what for goal in GOALS}) == len(GOALS)


def test_every_goal_names_a_figure_of_the_report() -> None:
    """A misspelt name would look like a figure that was not measured."""
    report = json.loads((HOME / "report.json").read_text(encoding="utf-8"))
    report |= without.kept()
    assert [goal for goal in GOALS if goal.key not in report[goal.model].get(goal.figure, {})] == []
    assert report["goals"] == table(report)
