"""Severity: scores of the published scales from the maps, and the change against a prior."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from edge.stages.radiograph import severity
from edge.types import Grade, Zone
from tests.stages.radiograph.test_detection import chest
from tests.support import engines
from tests.support.engines import OPACITY_LIMITS, ScriptedEngine, opacity_logits

PRIOR = {"study_key": "ab" * 16, "completed_at": "2026-01-01T00:00:00+00:00", "zones": {z.value: 1.0 for z in Zone}}


def score(level: float, prior: dict[str, Any] | None = None, **limits: Any) -> dict[str, Any]:
    """The stage's values where the network says this share of the greatest severity everywhere."""
    logit = float(np.log(level / (1 - level)))
    maps = 1 / (1 + np.exp(-opacity_logits(severity=logit)))
    case = replace(chest(), opacity=maps.astype(np.float32), prior=prior)
    card = engines.card("opacity", thresholds=OPACITY_LIMITS | limits)
    return dict(severity.read(case, ScriptedEngine(card, lambda image: maps)).values)


def test_scores_stand_on_their_scales() -> None:
    values = score(0.5)
    assert values["zones"] == {zone.value: 1.5 for zone in Zone}
    assert (values["brixia"], values["percent"]) == (9.0, 0)
    assert (values["extent"], values["opacity"]) == (pytest.approx(3.6, abs=0.1), pytest.approx(2.7, abs=0.1))
    assert list(values) == ["extent", "opacity", "zones", "brixia", "percent", "grade", "change"]


def test_no_score_leaves_its_scale() -> None:
    most = score(0.999, zone_weights=[9, 0, 0], extent_weights=[9, 0, 0], opacity_weights=[9, 0, 0])
    assert (most["extent"], most["opacity"], most["brixia"]) == (8, 6, 18)
    least = score(0.5, zone_weights=[0, 0, -9], extent_weights=[0, 0, -9], opacity_weights=[0, 0, -9])
    assert (least["extent"], least["opacity"], least["brixia"]) == (0, 0, 0)


@pytest.mark.parametrize(
    ("level", "grade"), [(0.01, "none"), (0.2, "mild"), (0.5, "moderate"), (0.9, "severe"), (0.9999, "severe")]
)
def test_the_grade_follows_the_thirds_of_the_scale(level: float, grade: str) -> None:
    assert score(level)["grade"] == grade


@given(some.floats(0, 18))
def test_every_score_has_a_grade(brixia: float) -> None:
    assert severity.grade(brixia, OPACITY_LIMITS) in Grade


@pytest.mark.parametrize(("level", "verdict"), [(0.1, "better"), (1 / 3, "same"), (0.4, "same"), (0.6, "worse")])
def test_a_change_within_the_error_of_the_score_is_none(level: float, verdict: str) -> None:
    change = score(level, prior=PRIOR)["change"]
    assert change["verdict"] == verdict
    assert (change["study_key"], change["completed_at"]) == (PRIOR["study_key"], PRIOR["completed_at"])
    assert change["brixia"] == pytest.approx(sum(change["zones"].values()), abs=0.05)


def test_zones_are_compared_one_by_one() -> None:
    prior = PRIOR | {"zones": {zone.value: 1.5 for zone in Zone} | {"left_lower": 3.0}}
    assert score(0.5, prior=prior)["change"]["zones"]["left_lower"] == -1.5


def test_without_maps_there_is_no_severity() -> None:
    engine = ScriptedEngine(engines.card("opacity", thresholds=OPACITY_LIMITS), lambda image: image)
    assert severity.read(chest(), engine).values == {}
    maps = np.zeros((3, 32, 32), np.float32)
    assert severity.read(replace(chest(), alignment=None, opacity=maps), engine).values == {}


def test_features_are_by_zone_severity_then_opacity() -> None:
    maps, zones = np.zeros((3, 4, 4), np.float32), np.zeros((4, 4), np.uint8)
    zones[0], maps[2, 0], maps[0, 0] = 6, 0.5, 0.25
    found = severity.features(maps, zones)
    assert found.shape == (12,)
    assert (found[5], found[11], found.sum()) == (1.5, 0.25, 1.75)
