"""Segmentation: labels and outlines lie where the network saw lungs, and doubtful lungs are not handed on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from edge.stages.radiograph import segmentation
from edge.stages.radiograph.case import Case, first_case
from edge.stages.stage import Outcome
from edge.types import Radiograph, Severity
from tests.support import engines
from tests.support.engines import TWO_LUNGS, ScriptedEngine, lung_planes

SIZES = [(64, 64), (512, 448), (300, 900), (2000, 1500)]
RIGHT = (slice(6, 26), slice(4, 13))
LEFT = (slice(6, 26), slice(19, 28))
SMALL = (slice(6, 12), slice(20, 28))


def outline(
    planes: npt.NDArray[np.float32], size: tuple[int, int] = (512, 448), turned_deg: int = 0, **limits: float
) -> Outcome[Case]:
    """What the stage makes of an answer of the network, for an upright image of this size."""
    card = engines.card("lung_field", thresholds=engines.LUNG_LIMITS | limits)
    upright = np.zeros(size, np.float32)
    source = np.rot90(upright, turned_deg // 90).copy()
    case = replace(first_case(Radiograph(pixels=source)), pixels=upright, turned_deg=turned_deg)
    return segmentation.read(case, ScriptedEngine(card, lambda image: planes))


def bounds(line: list[list[float]]) -> list[float]:
    """Least and greatest row, then column, of an outline."""
    points = np.array(line)
    return [*points.min(0).tolist(), *points.max(0).tolist()]


def planes_without(*missing: int) -> npt.NDArray[np.float32]:
    planes = TWO_LUNGS.copy()
    planes[list(missing)] = -4
    return planes


@pytest.mark.parametrize("size", SIZES)
def test_each_lung_lies_where_the_network_saw_it(size: tuple[int, int]) -> None:
    labels = outline(TWO_LUNGS, size).masks["lungs"].labels
    assert (labels.shape, labels.dtype) == (size, np.uint8)
    height, width = size
    right, left, heart = (labels[int(height * y), int(width * x)] for y, x in ((0.4, 0.25), (0.4, 0.75), (0.6, 0.5)))
    assert (right, left, heart) == (1, 2, 0)
    assert labels[0, 0] == labels[height // 10, width // 2] == 0
    assert (labels == 1).mean() == pytest.approx(20 * 9 / 32**2, rel=0.06)


def test_labels_have_names() -> None:
    assert outline(TWO_LUNGS).masks["lungs"].names == {
        1: "right lung",
        2: "left lung",
        3: "lung hidden by heart or diaphragm",
    }


@pytest.mark.parametrize("size", SIZES)
def test_contours_are_in_pixels_of_the_image(size: tuple[int, int]) -> None:
    values = outline(TWO_LUNGS, size).values
    assert values["image_size_px"] == list(size)
    contours: Any = values["contours"]
    pixel = np.array([size[0], size[1]] * 2) / 32
    for name, (rows, columns) in (("right_lung", RIGHT), ("left_lung", LEFT)):
        (line,) = contours[name]
        expected = np.array([rows.start, columns.start, rows.stop, columns.stop]) * pixel
        assert np.abs(np.array(bounds(line)) - expected).max() <= max(pixel), name
        assert 4 <= len(line) < 100


def test_contours_and_labels_agree() -> None:
    outcome = outline(TWO_LUNGS, (300, 900))
    labels = outcome.masks["lungs"].labels
    contours: Any = outcome.values["contours"]
    rows, columns = np.nonzero(labels == 2)
    assert (
        np.abs(
            np.array(bounds(contours["left_lung"][0])) - [rows.min(), columns.min(), rows.max(), columns.max()]
        ).max()
        <= 900 / 512  # a pixel of the image that outlines are drawn on
    )


def test_shares_of_the_image_are_told() -> None:
    assert outline(TWO_LUNGS).values["area_share"] == pytest.approx(
        {"right_lung": 20 * 9 / 32**2, "left_lung": 20 * 9 / 32**2, "heart": 8 * 8 / 32**2}, rel=0.1
    )


@pytest.mark.parametrize("size", SIZES)
def test_the_cardiothoracic_ratio_is_width_over_width(size: tuple[int, int]) -> None:
    outcome = outline(TWO_LUNGS, size)
    found: Any = outcome.values["cardiothoracic"]
    assert found["ratio"] == pytest.approx(8 / 24, abs=0.03)
    pixel = np.array(size) / 32
    (row, column0), (other_row, column1) = found["heart_line"]
    assert row == other_row and 16 <= row / pixel[0] <= 24
    assert np.abs(np.array([column0, column1]) / pixel[1] - [12, 20]).max() < 1
    (row, column0), (_, column1) = found["thorax_line"]
    assert np.abs(np.array([column0, column1]) / pixel[1] - [4, 28]).max() < 1
    assert outcome.case.heart is not None and "heart" in outcome.values["contours"]  # type: ignore[operator]


@pytest.mark.parametrize("column", [0, 31])
def test_a_lung_that_is_cut_off_at_its_side_gives_no_ratio(column: int) -> None:
    planes = TWO_LUNGS.copy()
    planes[[0, 3] if column == 0 else [1, 4], 10:20, slice(0, 13) if column == 0 else slice(19, 32)] = 4
    outcome = outline(planes)
    assert outcome.values["cardiothoracic"] is None and outcome.case.heart is not None


@pytest.mark.parametrize(("view", "codes"), [("AP", ["ap_view"]), ("PA", []), (None, [])])
def test_a_ratio_of_an_ap_view_is_said_to_be_too_large(view: str | None, codes: list[str]) -> None:
    card = engines.card("lung_field", thresholds=engines.LUNG_LIMITS)
    case = first_case(Radiograph(pixels=np.zeros((300, 300), np.float32), view=view))
    outcome = segmentation.read(case, ScriptedEngine(card, lambda image: TWO_LUNGS))
    assert [remark.code for remark in outcome.remarks] == codes


def test_the_heart_is_as_wide_as_its_outermost_points() -> None:
    heart, lungs = np.zeros((20, 20), np.uint8), np.zeros((20, 20), np.uint8)
    heart[10, 8:12], heart[12, 6:9] = 1, 1
    lungs[5, 2:18], lungs[15, 1:15] = 1, 1
    assert segmentation.widths(heart, lungs) == ((10, 6, 11), (5, 2, 17))
    assert segmentation.cardiothoracic_ratio(heart, lungs) == 6 / 16


@pytest.mark.parametrize("fault", ["no heart", "a speck", "beside the lungs"])
def test_a_doubtful_heart_is_left_out_and_the_lungs_stay(fault: str) -> None:
    planes = planes_without(2)
    if fault == "a speck":
        planes[2, 16:18, 15:17] = 4
    if fault == "beside the lungs":
        planes[2, 8:28, 29:32] = 4
    outcome = outline(planes)
    assert (outcome.values["plausible"], outcome.values["cardiothoracic"]) == (True, None)
    assert outcome.case.heart is None and outcome.case.lungs is not None
    assert "heart" not in outcome.values["contours"]  # type: ignore[operator]


@pytest.mark.parametrize("turned_deg", [0, 90, 180, 270])
def test_masks_lie_as_the_source_lies_and_contours_as_the_image_is_shown(turned_deg: int) -> None:
    upright = outline(TWO_LUNGS, (300, 200))
    turned = outline(TWO_LUNGS, (300, 200), turned_deg)
    expected = np.rot90(upright.masks["lungs"].labels, turned_deg // 90)
    np.testing.assert_array_equal(turned.masks["lungs"].labels, expected)
    assert turned.values["contours"] == upright.values["contours"]
    assert (turned.values["turned_deg"], turned.values["image_size_px"]) == (turned_deg, [300, 200])


def test_the_classifier_gets_the_lungs_with_the_part_behind_the_heart() -> None:
    planes = TWO_LUNGS.copy()
    planes[4, 6:26, 14:28] = 4  # the full left lung reaches behind the heart, the field does not
    outcome = outline(planes, (320, 320))
    lungs = outcome.case.lungs
    assert lungs is not None
    assert set(np.unique(lungs.labels)) == {0, 1, 2}
    assert lungs.labels[200, 160] == 2
    assert outcome.masks["lungs"].labels[200, 160] == 3
    assert outcome.masks["lungs"].labels[30, 160] == 0


def test_where_both_full_lungs_claim_a_pixel_one_of_them_gets_it() -> None:
    planes = TWO_LUNGS.copy()
    planes[3, 6:26, 4:20] = 4
    planes[4, 6:26, 12:28] = 4
    lungs = outline(planes).case.lungs
    assert lungs is not None and set(np.unique(lungs.labels)) == {0, 1, 2}


def test_specks_are_dropped_and_holes_filled() -> None:
    planes = TWO_LUNGS.copy()
    planes[0, 29:31, 29:31] = planes[3, 29:31, 29:31] = 4
    planes[0, 15, 8] = planes[3, 15, 8] = -4
    outcome = outline(planes, (320, 320))
    labels = outcome.masks["lungs"].labels
    assert labels[300, 300] == 0
    assert labels[155, 85] == 1
    assert len(outcome.values["contours"]["right_lung"]) == 1


def test_plausible_lungs_are_said_to_be() -> None:
    outcome = outline(TWO_LUNGS)
    assert outcome.values["plausible"] is True
    assert outcome.remarks == ()


@pytest.mark.parametrize(
    ("planes", "fault"),
    [
        (planes_without(0, 1, 2, 3, 4), "a lung is missing or too small"),
        (planes_without(3), "a lung is missing or too small"),
        (planes_without(4), "a lung is missing or too small"),
        (lung_planes((slice(6, 8), slice(4, 6)), LEFT), "a lung is missing or too small"),
        (lung_planes((slice(0, 32), slice(0, 16)), (slice(0, 32), slice(17, 32))), "the lungs are too large"),
        (
            lung_planes((slice(2, 30), slice(1, 15)), (slice(6, 12), slice(20, 28))),
            "one lung is much larger than the other",
        ),
        (lung_planes(LEFT, RIGHT), "the lungs are not side by side"),
    ],
    ids=["nothing", "no right lung", "no left lung", "tiny", "huge", "unequal", "exchanged"],
)
def test_implausible_lungs_are_said_and_not_handed_on(planes: npt.NDArray[np.float32], fault: str) -> None:
    outcome = outline(planes)
    assert [(remark.code, remark.severity) for remark in outcome.remarks] == [("implausible_lungs", Severity.WARN)]
    assert (outcome.values["plausible"], outcome.values["fault"]) == (False, fault)
    assert outcome.case.lungs is None
    assert outcome.masks == {}


def test_limits_are_those_of_the_model() -> None:
    assert outline(TWO_LUNGS, least_area=0.2).values["fault"] == "a lung is missing or too small"
    assert outline(TWO_LUNGS, most_area=0.3).values["fault"] == "the lungs are too large"


def test_an_answer_without_any_lung_has_empty_outlines() -> None:
    assert outline(planes_without(0, 1, 2, 3, 4)).values["contours"] == {"right_lung": [], "left_lung": []}


def test_the_network_sees_a_square_of_stretched_greys() -> None:
    ramp = np.tile(np.linspace(0.4, 0.5, 200, dtype=np.float32), (100, 1))
    engine = ScriptedEngine(engines.card("lung_field", thresholds=engines.LUNG_LIMITS), lambda image: TWO_LUNGS)
    segmentation.read(first_case(Radiograph(pixels=ramp)), engine)
    assert (engine.seen[0].min(), engine.seen[0].max()) == (0, 1)
