"""Classification: which head speaks, what it may say, and when the box makes no claim."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from edge.stages.radiograph import classification
from edge.stages.radiograph.case import Case, first_case
from edge.stages.radiograph.classification import Claim, group_of, interpret
from edge.stages.radiograph.registration import align, lung_image
from edge.stages.stage import Outcome
from edge.types import Decision, Group, Mask, Radiograph
from tests.support import engines, inputs
from tests.support.engines import PNEUMONIA_LIMITS, PNEUMONIA_OUTPUTS, ScriptedEngine, pneumonia_logits

CARD = engines.card("pneumonia", outputs=PNEUMONIA_OUTPUTS, thresholds=PNEUMONIA_LIMITS)
PIXELS = (inputs.phantom(bits=8) / 255).astype(np.float32)
CHILD_CLASSES = {"normal", "bacterial", "viral", "covid19"}
ADULT_CLASSES = {"normal", "other_pneumonia", "covid19", "tuberculosis", "other"}


def lungs() -> Mask:
    labels = np.zeros((200, 150), np.uint8)
    labels[40:160, 20:65], labels[40:160, 85:130] = 1, 2
    return Mask(labels=labels, names={1: "right lung", 2: "left lung"})


def claim(group: Group = Group.ADULT, **outputs: float) -> Claim:
    return interpret(np.array(pneumonia_logits(**outputs), np.float32), CARD, group)


def aligned(case: Case, found: Mask) -> Case:
    return replace(case, lungs=found, alignment=align(found.labels, engines.LUNG_LIMITS))


def read(age_years: float | None, *, has_lungs: bool = True, **outputs: float) -> tuple[Outcome[Case], ScriptedEngine]:
    case = first_case(Radiograph(pixels=PIXELS, patient_age_years=age_years))
    engine = ScriptedEngine(CARD, lambda image: pneumonia_logits(**outputs))
    return classification.read(aligned(case, lungs()) if has_lungs else case, engine), engine


def codes(outcome: Outcome[Case]) -> list[str]:
    return [remark.code for remark in outcome.remarks]


@pytest.mark.parametrize(
    ("age_years", "group"),
    [
        (None, Group.UNKNOWN),
        (0.0, Group.CHILD),
        (17.99, Group.CHILD),
        (18.0, Group.ADULT),
        (90.0, Group.ADULT),
    ],
)
def test_the_head_goes_by_age(age_years: float | None, group: Group) -> None:
    assert group_of(age_years) is group
    assert read(age_years)[0].values["group"] == group.value


def test_bacterial_and_viral_are_told_apart_in_children_only() -> None:
    assert set(claim(Group.CHILD).probabilities) == CHILD_CLASSES
    assert set(claim(Group.ADULT).probabilities) == ADULT_CLASSES
    assert set(claim(Group.UNKNOWN).probabilities) == CHILD_CLASSES | ADULT_CLASSES


def test_a_head_reads_its_own_outputs_only() -> None:
    quiet = claim(Group.CHILD, child_viral=2)
    loud = claim(Group.CHILD, child_viral=2, adult_tuberculosis=50, adult_normal=-50, is_child=-50)
    assert quiet == loud
    assert max(quiet.probabilities, key=lambda name: quiet.probabilities[name]) == "viral"


@given(
    outputs=some.lists(some.floats(-30, 30, width=32), min_size=12, max_size=12),
    group=some.sampled_from(Group),
)
def test_probabilities_add_up_to_one_whatever_the_network_says(outputs: list[float], group: Group) -> None:
    made = interpret(np.array(outputs, np.float32), CARD, group)
    assert sum(made.probabilities.values()) == pytest.approx(1)
    assert min(made.probabilities.values()) >= 0
    assert set(made.possible) == {name for name, p in made.probabilities.items() if p >= 0.16}
    assert (made.reason is None) == (made.decision is not Decision.REFER)


@pytest.mark.parametrize(("is_child", "expected"), [(40, Group.CHILD), (-40, Group.ADULT)])
def test_where_the_age_is_unknown_the_network_weighs_the_heads(is_child: float, expected: Group) -> None:
    outputs = {"child_bacterial": 3.0, "adult_tuberculosis": 4.0}
    mixed = claim(Group.UNKNOWN, is_child=is_child, **outputs).probabilities
    alone = claim(expected, **outputs).probabilities
    assert {name: p for name, p in mixed.items() if name in alone} == pytest.approx(alone, abs=1e-6)


def test_an_undecided_age_takes_half_of_each_head() -> None:
    mixed = claim(Group.UNKNOWN, child_bacterial=3, adult_tuberculosis=4).probabilities
    child = claim(Group.CHILD, child_bacterial=3).probabilities
    adult = claim(Group.ADULT, adult_tuberculosis=4).probabilities
    assert mixed["normal"] == pytest.approx((child["normal"] + adult["normal"]) / 2)
    assert mixed["bacterial"] == pytest.approx(child["bacterial"] / 2)


def test_limits_are_mixed_as_the_heads_are() -> None:
    limits = PNEUMONIA_LIMITS | {"child_abnormal_from": 0.4, "adult_abnormal_from": 0.8}
    limits |= {"child_set_from": 0.4, "adult_set_from": 0.4}
    card = replace(CARD, thresholds=limits)
    unlikely = {name: -2.0 for name in PNEUMONIA_OUTPUTS[:9]}
    likely = {"child_normal": 1.0, "child_viral": 1.4, "adult_normal": 1.0, "adult_covid19": 1.4}
    ill = np.array(pneumonia_logits(**unlikely | likely), np.float32)  # abnormal with about 0.62

    def decision(group: Group, is_child: float) -> Decision:
        logits = ill.copy()
        logits[PNEUMONIA_OUTPUTS.index("is_child")] = is_child
        return interpret(logits, card, group).decision

    assert decision(Group.CHILD, -9) is Decision.ABNORMAL
    assert decision(Group.ADULT, 9) is Decision.REFER
    assert decision(Group.UNKNOWN, 9) is Decision.ABNORMAL
    assert decision(Group.UNKNOWN, -9) is Decision.REFER


def test_each_head_has_its_temperature() -> None:
    card = replace(CARD, thresholds=PNEUMONIA_LIMITS | {"child_temperature": 4.0})
    logits = np.array(pneumonia_logits(child_normal=4, adult_normal=4), np.float32)
    child, adult = (interpret(logits, card, g).probabilities for g in (Group.CHILD, Group.ADULT))
    assert child["normal"] == pytest.approx(np.e / (np.e + 3))
    assert adult["normal"] == pytest.approx(np.exp(4) / (np.exp(4) + 4))


def with_normal(p: float) -> dict[str, float]:
    """Outputs that give the adult class ``normal`` this probability, and tuberculosis all the rest."""
    unlikely = {f"adult_{name}": -30.0 for name in ("other_pneumonia", "covid19", "other")}
    return {"adult_normal": float(np.log(p / (1 - p))), **unlikely}


@pytest.mark.parametrize(
    ("p_normal", "decision"),
    [(0.97, Decision.NORMAL), (0.85, Decision.NORMAL), (0.79, Decision.REFER), (0.41, Decision.REFER)]
    + [(0.39, Decision.REFER), (0.17, Decision.REFER), (0.15, Decision.ABNORMAL), (0.01, Decision.ABNORMAL)],
)
def test_between_the_limits_the_box_refers(p_normal: float, decision: Decision) -> None:
    assert claim(**with_normal(p_normal)).decision is decision


def test_normal_needs_that_nothing_else_is_possible() -> None:
    doubtful = claim(adult_normal=6, adult_tuberculosis=4.5)  # 0.81 normal, 0.18 tuberculosis
    assert doubtful.possible == ("normal", "tuberculosis")
    assert doubtful.decision is Decision.REFER


@pytest.mark.parametrize(
    "outputs",
    [{"adult_normal": 3.3, "adult_covid19": 4.0}, {"adult_normal": -9.0}],
    ids=["normal cannot be ruled out", "nothing is likely"],
)
def test_abnormal_needs_a_finding_and_that_normal_is_ruled_out(outputs: dict[str, float]) -> None:
    limits = PNEUMONIA_LIMITS | {"adult_abnormal_from": 0.5, "adult_set_from": 0.26}
    made = interpret(np.array(pneumonia_logits(**outputs), np.float32), replace(CARD, thresholds=limits), Group.ADULT)
    assert "normal" in made.possible or not made.possible
    assert made.decision is Decision.REFER and made.reason is classification.UNDECIDED


@pytest.mark.parametrize("outputs", [{"adult_normal": 20.0}, {"adult_tuberculosis": 20.0}, {}])
def test_without_lungs_the_box_always_refers(outputs: dict[str, float]) -> None:
    outcome, engine = read(40, has_lungs=False, **outputs)
    assert (outcome.values["decision"], outcome.values["probabilities"], engine.seen) == ("refer", {}, [])
    assert codes(outcome) == [], "the segmentation has said why"


@pytest.mark.parametrize(
    ("age_years", "outputs", "expected"),
    [
        (40, {"adult_normal": 20}, []),
        (40, {}, ["all_possible"]),
        (40, with_normal(0.6), ["undecided"]),
        (40, {"adult_tuberculosis": 20, "embedding_00": 3, "embedding_01": 3.1}, ["far_from_training"]),
        (40, {"adult_tuberculosis": 20, "embedding_00": 3, "embedding_01": -2.9}, []),
        (None, {"adult_normal": 20, "child_normal": 20}, ["age_unknown"]),
        (0.5, {"child_normal": 20}, ["wrong_age"]),
        (1.0, {"child_normal": 20}, []),
    ],
)
def test_what_weakens_a_reading_is_said(
    age_years: float | None, outputs: dict[str, float], expected: list[str]
) -> None:
    assert codes(read(age_years, **outputs)[0]) == expected


@pytest.mark.parametrize(
    ("group", "outputs", "is_opaque", "decision"),
    [
        (Group.ADULT, {"adult_covid19": 9}, False, Decision.REFER),
        (Group.ADULT, {"adult_covid19": 9}, None, Decision.ABNORMAL),
        (Group.ADULT, {"adult_covid19": 9}, True, Decision.ABNORMAL),
        (Group.CHILD, {"child_viral": 9}, False, Decision.ABNORMAL),
        (Group.UNKNOWN, {"adult_covid19": 9, "child_covid19": 9, "is_child": -9}, False, Decision.REFER),
        (Group.UNKNOWN, {"adult_covid19": 9, "child_covid19": 9, "is_child": 9}, False, Decision.ABNORMAL),
        (Group.CHILD, {"child_normal": 9}, True, Decision.REFER),
        (Group.ADULT, {"adult_normal": 9}, False, Decision.NORMAL),
    ],
)
def test_pneumonia_of_an_adult_needs_a_place_and_a_normal_lung_none(
    group: Group, outputs: dict[str, float], is_opaque: bool | None, decision: Decision
) -> None:
    logits = np.array(pneumonia_logits(**outputs), np.float32)
    assert interpret(logits, CARD, group, is_opaque=is_opaque).decision is decision


def test_values_are_those_of_the_schema() -> None:
    values = read(40, adult_tuberculosis=3)[0].values
    assert list(values) == ["group", "probabilities", "set", "decision", "distance"]
    assert values["distance"] == 0
    assert values["set"] == ["tuberculosis"]
    assert sum(values["probabilities"].values()) == pytest.approx(1, abs=3e-4)


def test_the_network_sees_the_lungs_alone() -> None:
    _, engine = read(40)
    marked = PIXELS.copy()
    marked[:60] = 1.0
    marked[:, 214:234] = 0.0  # between the lungs
    marked[470:] = 0.3
    shown = lung_image(aligned(first_case(Radiograph(pixels=marked)), lungs()), CARD.side)
    np.testing.assert_allclose(shown, engine.seen[0], atol=1e-5)


@pytest.mark.parametrize("shape", [(700, 512), (224, 224), (50, 300)])
def test_lungs_of_any_size_fit_the_image(shape: tuple[int, int]) -> None:
    labels = np.zeros(shape, np.uint8)
    rows, columns = np.indices(shape) / np.array(shape)[:, None, None]
    labels[(rows > 0.2) & (rows < 0.8) & (columns > 0.13) & (columns < 0.43)] = 1
    labels[(rows > 0.2) & (rows < 0.8) & (columns > 0.57) & (columns < 0.87)] = 2
    case = first_case(Radiograph(pixels=PIXELS))
    pair = (aligned(case, found) for found in (Mask(labels=labels, names={}), lungs()))
    first, second = (lung_image(one, CARD.side) for one in pair)
    assert np.abs(first - second).mean() < 0.05


def test_the_mirror_image_is_asked_too_and_both_answers_count() -> None:
    answers = iter((pneumonia_logits(adult_normal=2), pneumonia_logits(adult_normal=4)))
    engine = ScriptedEngine(CARD, lambda image: next(answers))
    shown = np.random.default_rng(1).random((CARD.side, CARD.side), np.float32)
    assert classification.answer(shown, engine)[PNEUMONIA_OUTPUTS.index("adult_normal")] == 3
    np.testing.assert_array_equal(engine.seen[0], engine.seen[1][:, ::-1])


def test_what_was_not_aligned_has_no_lung_image() -> None:
    with pytest.raises(ValueError, match="aligned"):
        lung_image(first_case(Radiograph(pixels=PIXELS)), 64)
