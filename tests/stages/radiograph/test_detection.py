"""Detection: marks lie where the network saw opacities, and shares are shares of the lungs."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from edge.stages.radiograph import detection
from edge.stages.radiograph.case import Case, first_case
from edge.stages.radiograph.registration import align
from edge.stages.stage import Outcome
from edge.types import Mask, Radiograph, Zone
from tests.support import engines
from tests.support.engines import LUNG_LIMITS, OPACITY_LIMITS, ScriptedEngine, both_ways, opacity_logits

Maps = npt.NDArray[np.float32]
SIZE = (400, 300)
RIGHT = (slice(80, 320), slice(30, 120))
LEFT = (slice(80, 320), slice(180, 270))
# In the atlas of the tests a lung of 32 pixels reaches over rows 2 to 30 and columns 2 to 13, or 19 to 30.
RIGHT_TOP, LEFT_BOTTOM = (slice(2, 8), slice(3, 13)), (slice(24, 30), slice(20, 30))


def chest(size: tuple[int, int] = SIZE) -> Case:
    labels = np.zeros(SIZE, np.uint8)
    labels[RIGHT], labels[LEFT] = 1, 2
    case = first_case(Radiograph(pixels=np.random.default_rng(0).random(size, np.float32)))
    return replace(case, lungs=Mask(labels=labels, names={}), alignment=align(labels, LUNG_LIMITS))


def detect(maps: Maps, size: tuple[int, int] = SIZE, **limits: float) -> Outcome[Case]:
    card = engines.card("opacity", thresholds=OPACITY_LIMITS | limits)
    return detection.read(chest(size), ScriptedEngine(card, both_ways(maps)))


def test_nothing_opaque_is_nothing_marked() -> None:
    outcome = detect(opacity_logits())
    assert outcome.findings == ()
    assert outcome.values["percent"] == {"right_lung": 0, "left_lung": 0, "both": 0}
    assert outcome.case.opacity is not None and outcome.case.opacity.shape == (3, 32, 32)


@pytest.mark.parametrize("size", [SIZE, (800, 600), (200, 600)])
def test_a_mark_lies_where_the_network_saw_it(size: tuple[int, int]) -> None:
    (mark,) = detect(opacity_logits(opacity=RIGHT_TOP), size).findings
    assert (mark.code, mark.laterality, mark.zone) == ("ground_glass_opacity", "right", Zone.RIGHT_UPPER)
    share = np.array(mark.box_px) / np.array([*size, *size])
    np.testing.assert_allclose(share, [0.2, 0.11, 0.33, 0.4], atol=0.05)
    points = np.array(mark.contour)
    row0, column0, row1, column1 = mark.box_px
    assert (points >= [row0, column0]).all() and (points <= [row1, column1]).all()


def test_a_mark_stays_inside_the_image() -> None:
    labels = np.zeros(SIZE, np.uint8)
    labels[80:, :120], labels[80:, 180:] = 1, 2
    case = replace(chest(), lungs=Mask(labels=labels, names={}), alignment=align(labels, LUNG_LIMITS))
    engine = ScriptedEngine(
        engines.card("opacity", thresholds=OPACITY_LIMITS),
        both_ways(opacity_logits(opacity=(slice(0, 32), slice(0, 32)))),
    )
    for mark in detection.read(case, engine).findings:
        points = np.array(mark.contour)
        assert (points >= 0).all() and (points <= [SIZE[0] - 1, SIZE[1] - 1]).all()
        assert mark.box_px[2] <= SIZE[0] and mark.box_px[3] <= SIZE[1]


def test_marks_name_what_they_are_and_come_largest_first() -> None:
    maps = opacity_logits(opacity=RIGHT_TOP, consolidation=RIGHT_TOP)
    maps[0][24:30, 20:24] = 9
    first, second = detect(maps).findings
    assert (first.code, first.laterality) == ("consolidation", "right")
    assert (second.code, second.laterality, second.zone) == ("ground_glass_opacity", "left", Zone.LEFT_LOWER)
    assert first.lung_percent > second.lung_percent


def test_shares_are_of_each_lung_and_zone() -> None:
    values = detect(opacity_logits(opacity=LEFT_BOTTOM)).values
    percent, by_zone = values["percent"], values["zones"]
    assert percent["right_lung"] == 0 and percent["left_lung"] == pytest.approx(20, abs=4)
    assert percent["both"] == pytest.approx(percent["left_lung"] / 2, abs=0.2)
    assert by_zone["left_lower"] == pytest.approx(60, abs=10)
    assert sum(share for zone, share in by_zone.items() if zone != "left_lower") == 0
    assert (values["ground_glass_percent"], values["consolidation_percent"]) == (percent["both"], 0)


def test_what_lies_outside_of_the_lungs_does_not_count() -> None:
    outside = detect(opacity_logits(opacity=(slice(0, 32), slice(14, 18))))
    assert outside.findings == () and outside.values["percent"]["both"] == 0


def test_an_opacity_over_both_lungs_is_marked_in_each_even_where_they_touch() -> None:
    labels = np.zeros(SIZE, np.uint8)
    labels[80:320, 30:150], labels[80:320, 150:270] = 1, 2
    case = replace(chest(), lungs=Mask(labels=labels, names={}), alignment=align(labels, LUNG_LIMITS))
    card = engines.card("opacity", thresholds=OPACITY_LIMITS)
    maps = opacity_logits(opacity=(slice(10, 20), slice(0, 32)))
    marks = detection.read(case, ScriptedEngine(card, both_ways(maps))).findings
    assert sorted(mark.laterality for mark in marks) == ["left", "right"]


def test_an_opacity_over_both_lungs_is_marked_in_each() -> None:
    marks = detect(opacity_logits(opacity=(slice(10, 20), slice(0, 32)))).findings
    assert {mark.laterality for mark in marks} == {"right", "left"}


@pytest.mark.parametrize(("limit", "count"), [({"least_percent": 1.5}, 1), ({"least_percent": 90.0}, 0)])
def test_a_speck_is_no_mark(limit: dict[str, float], count: int) -> None:
    assert len(detect(opacity_logits(opacity=RIGHT_TOP), **limit).findings) == count


def test_an_unsure_opacity_counts_for_the_share_and_is_no_mark() -> None:
    maps = opacity_logits()
    maps[0][RIGHT_TOP] = 0.2  # a probability of 0.55
    outcome = detect(maps, marked_from=0.7)
    assert outcome.findings == () and outcome.values["percent"]["right_lung"] > 5


def test_a_mark_as_json_is_that_of_the_schema() -> None:
    (mark,) = detect(opacity_logits(opacity=RIGHT_TOP)).findings
    assert list(mark.as_json()) == [
        "code",
        "confidence",
        "box_px",
        "contour",
        "laterality",
        "zone",
        "lung_percent",
    ]


def test_the_mirror_image_is_asked_too_and_its_answer_mirrored_back() -> None:
    card = engines.card("opacity", thresholds=OPACITY_LIMITS)
    engine = ScriptedEngine(card, both_ways(opacity_logits(opacity=RIGHT_TOP)))
    maps = detection.answer(np.random.default_rng(1).random((card.side, card.side), np.float32), engine)
    np.testing.assert_array_equal(engine.seen[0], engine.seen[1][:, ::-1])
    assert maps[0][RIGHT_TOP].min() > 0.99 and maps[0][:, 16:].max() < 0.01


def test_without_aligned_lungs_nothing_is_looked_for() -> None:
    engine = ScriptedEngine(engines.card("opacity", thresholds=OPACITY_LIMITS), lambda image: opacity_logits())
    outcome = detection.read(replace(chest(), alignment=None), engine)
    assert (outcome.values, outcome.findings, engine.seen) == ({}, (), [])


def test_contours_follow_a_turned_chest() -> None:
    straight = chest()
    matrix = cv2.getRotationMatrix2D((150, 200), 10, 1)
    assert straight.lungs is not None
    labels = np.asarray(cv2.warpAffine(straight.lungs.labels, matrix, SIZE[::-1], flags=cv2.INTER_NEAREST), np.uint8)
    case = replace(straight, lungs=Mask(labels=labels, names={}), alignment=align(labels, LUNG_LIMITS))
    card = engines.card("opacity", thresholds=OPACITY_LIMITS)
    (mark,) = detection.read(case, ScriptedEngine(card, both_ways(opacity_logits(opacity=RIGHT_TOP)))).findings
    filled = np.zeros(SIZE, np.uint8)
    cv2.fillPoly(filled, [np.rint(np.array(mark.contour)[:, ::-1]).astype(np.int32)], 1)
    assert (labels[filled > 0] == 1).mean() > 0.9
