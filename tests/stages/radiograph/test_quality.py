"""The gate: what lies wrong is set right and said; what is no frontal chest stops the reading."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from edge.stages.radiograph import quality
from edge.stages.radiograph.case import Case, first_case
from edge.stages.stage import Outcome
from edge.types import Radiograph, Severity
from tests.support import engines
from tests.support.engines import ScriptedEngine, gate_logits

Floats = npt.NDArray[np.float32]

UPRIGHT = np.full((300, 240), 0.2, np.float32)
UPRIGHT[:70, :60] = 1.0
"""Dark, with a bright mark in the upper left corner."""


def ask(pixels: Floats, answer: Callable[[Floats], Any]) -> tuple[Outcome[Case], ScriptedEngine]:
    engine = ScriptedEngine(engines.card(), answer)
    return quality.read(first_case(Radiograph(pixels=pixels)), engine), engine


def looking(image: Floats) -> list[float]:
    """A gate that finds turn and greys by the mark and calls all of it frontal."""
    inverted = bool(np.median(image) > 0.5)
    bright = 1 - image if inverted else image
    corners = [bright[0, 0], bright[-1, 0], bright[-1, -1], bright[0, -1]]  # where the mark goes turn by turn
    return gate_logits(quarter_turns=int(np.argmax(corners)), inverted=inverted)


def codes(outcome: Outcome[Case]) -> list[str]:
    return [remark.code for remark in outcome.remarks]


def test_an_upright_frontal_image_passes_as_it_is() -> None:
    outcome, engine = ask(UPRIGHT, looking)
    assert (codes(outcome), len(engine.seen)) == ([], 1)
    assert outcome.case.pixels is UPRIGHT
    assert outcome.case.turned_deg == outcome.values["turned_deg"] == 0
    assert outcome.values["view"] == pytest.approx({"frontal": 0.995, "lateral": 0.0025, "other": 0.0025}, abs=1e-3)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_turned_image_comes_back_upright(turns: int) -> None:
    outcome, engine = ask(np.rot90(UPRIGHT, turns).copy(), looking)
    np.testing.assert_array_equal(outcome.case.pixels, UPRIGHT)
    assert outcome.case.turned_deg == outcome.values["turned_deg"] == 90 * turns
    assert codes(outcome) == ["turned"]
    assert outcome.remarks[0].text % outcome.remarks[0].values == (
        f"The image lay turned by {90 * turns} degrees; it was turned upright before reading."
    )
    assert len(engine.seen) == 2


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_labels_go_back_to_the_way_the_source_lies(turns: int) -> None:
    source = np.rot90(UPRIGHT, turns).copy()
    case = ask(source, looking)[0].case
    labels = (case.pixels > 0.5).astype(np.uint8)
    np.testing.assert_array_equal(case.to_source(labels), source > 0.5)


def test_inverted_greys_are_set_right() -> None:
    outcome, _ = ask(1 - UPRIGHT, looking)
    np.testing.assert_allclose(outcome.case.pixels, UPRIGHT, atol=1e-6)
    assert codes(outcome) == ["inverted"]
    assert outcome.case.radiograph.pixels[0, 0] == 0, "the source stays as it is"


def test_a_turned_and_inverted_image_is_set_right_in_both() -> None:
    outcome, _ = ask(np.rot90(1 - UPRIGHT, 3).copy(), looking)
    np.testing.assert_allclose(outcome.case.pixels, UPRIGHT, atol=1e-6)
    assert codes(outcome) == ["turned", "inverted"]
    assert {remark.severity for remark in outcome.remarks} == {Severity.WARN}


@pytest.mark.parametrize(("view", "code"), [("lateral", "lateral_view"), ("other", "not_frontal_chest")])
def test_any_other_view_stops_the_reading(view: str, code: str) -> None:
    outcome, _ = ask(UPRIGHT, lambda image: gate_logits(view))
    assert [(remark.code, remark.severity) for remark in outcome.remarks] == [(code, Severity.STOP)]


def test_a_doubtful_view_is_not_called_lateral() -> None:
    logits = [1.0, 1.1, 1.0, *gate_logits()[3:]]
    assert codes(ask(UPRIGHT, lambda image: logits)[0]) == ["not_frontal_chest"]


def test_a_doubtful_turn_and_doubtful_greys_are_left_alone() -> None:
    logits = [6.0, 0, 0, 0, 0, 2.0, 0, 2.0]
    outcome, engine = ask(UPRIGHT, lambda image: logits)
    assert (codes(outcome), len(engine.seen)) == ([], 1)
    assert outcome.case.pixels is UPRIGHT


def test_the_corrected_image_has_to_be_accepted_itself() -> None:
    def suspicious(image: Floats) -> list[float]:
        seen = looking(image)
        return seen if seen[3] < 4 else gate_logits("other")

    source = np.rot90(UPRIGHT).copy()
    outcome, _ = ask(source, suspicious)
    assert codes(outcome) == ["not_frontal_chest"]
    assert outcome.case.pixels is source
    assert outcome.case.turned_deg == 0


def test_an_image_that_is_accepted_only_upright_is_accepted() -> None:
    outcome, _ = ask(
        np.rot90(UPRIGHT, 2).copy(),
        lambda image: gate_logits("frontal") if image[0, 0] > 0.5 else gate_logits("other", 2),
    )
    assert codes(outcome) == ["turned"]


def test_limits_are_those_of_the_model() -> None:
    limits = {"frontal": 0.999, "turned": 0.9, "inverted": 0.9}
    engine = ScriptedEngine(engines.card(thresholds=limits), looking)
    assert codes(quality.read(first_case(Radiograph(pixels=UPRIGHT)), engine)) == ["not_frontal_chest"]


def test_the_gate_sees_a_square_of_stretched_greys() -> None:
    _, engine = ask(0.4 + 0.1 * UPRIGHT, looking)
    assert (engine.seen[0].min(), engine.seen[0].max()) == (0, 1)
