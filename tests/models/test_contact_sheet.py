"""The contact sheet draws what a result holds, where it holds it, and says it in one line."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edge.types import Finding, Zone
from models.evaluation import contact_sheet, readings
from models.evaluation.contact_sheet import caption, drawn
from models.training import data
from tests.support.public_data import ROOT, needs_public_data

SIDE = contact_sheet._SIDE_PX
LUNG = [[[20.0, 10.0], [20.0, 40.0], [80.0, 40.0], [80.0, 10.0]]]
OTHER_LUNG = [[[20.0, 60.0], [20.0, 90.0], [80.0, 90.0], [80.0, 60.0]]]
ZONES = ("right_upper", "right_middle", "right_lower", "left_upper", "left_middle", "left_lower")


def result(**parts: Any) -> dict[str, Any]:
    """A result of an image of 100 x 100 pixels, whatever is not named absent."""
    absent = {name: None for name in ("segmentation", "classification", "severity", "detection")}
    return {"state": "done", "reasons": [], "findings": [], **absent, **parts}


def segmentation(**more: Any) -> dict[str, Any]:
    return {"image_size_px": [100, 100], "contours": {"right_lung": LUNG, "left_lung": OTHER_LUNG}, **more}


def is_coloured(image: np.ndarray, row: float, column: float) -> bool:
    """Whether anything but grey was drawn about a place, in pixels of the source."""
    y, x = (round(v * SIDE / 100) for v in (row, column))
    part = image[max(0, y - 3) : y + 4, max(0, x - 3) : x + 4].astype(int)
    return bool((part.max(-1) - part.min(-1)).max() > 40)


VIEW = np.full((100, 100, 3), 90, np.uint8)


def test_outlines_lie_where_the_result_says() -> None:
    shown = drawn(VIEW, result(segmentation=segmentation()))
    assert shown.shape == (SIDE, SIDE, 3)
    assert is_coloured(shown, 20, 25) and is_coloured(shown, 50, 90)
    assert not is_coloured(shown, 50, 50)


def test_a_smaller_view_is_drawn_on_at_the_same_places() -> None:
    shown = drawn(VIEW[::2, ::2], result(segmentation=segmentation()))
    assert is_coloured(shown, 20, 25) and not is_coloured(shown, 50, 25)


def test_the_lines_of_the_ratio_the_findings_and_the_heart_are_drawn() -> None:
    ratio = {"ratio": 0.48, "heart_line": [[60, 42], [60, 58]], "thorax_line": [[70, 10], [70, 90]]}
    heart = [[[45.0, 45.0], [45.0, 55.0], [55.0, 55.0], [55.0, 45.0]]]
    finding = Finding(
        code="consolidation",
        confidence=0.8,
        peak=0.9,
        box_px=(30, 20, 40, 30),
        contour=((30.0, 20.0), (30.0, 30.0), (40.0, 30.0), (40.0, 20.0)),
        laterality="right",
        zone=Zone.RIGHT_UPPER,
        lung_percent=9.0,
    ).as_json()
    parts = segmentation(cardiothoracic=ratio)
    parts["contours"] = {**parts["contours"], "heart": heart}
    shown = drawn(VIEW, result(segmentation=parts, findings=[finding]))
    assert all(is_coloured(shown, *place) for place in ((60, 50), (70, 50), (45, 50), (40, 25)))


def test_scores_stand_in_their_zones() -> None:
    severity = {"zones": dict.fromkeys(ZONES, 2), "grade": "mild", "percent": 12.0, "brixia": 12}
    without, with_scores = (drawn(VIEW, result(segmentation=segmentation(), severity=s)) for s in (None, severity))
    changed = (without != with_scores).any(-1)
    rows = np.flatnonzero(changed.any(1)) * 100 / SIDE
    assert [bool(((rows > low) & (rows < low + 20)).any()) for low in (20, 40, 60)] == [True] * 3
    assert not changed[: round(0.2 * SIDE)].any()


def test_the_line_of_words_holds_what_there_is() -> None:
    said = {"decision": "abnormal", "probabilities": {"normal": 0.2, "covid19": 0.8}}
    assert caption(result(classification=said)) == "abnormal; covid19 0.80"
    severity = {"grade": "mild", "percent": 12.4, "brixia": 5}
    ratio = {"cardiothoracic": {"ratio": 0.484}}
    assert caption(result(classification=said, severity=severity, segmentation=ratio)) == (
        "abnormal; covid19 0.80; CTR 0.48; mild, 12 %, Brixia 5"
    )
    assert caption(result(state="no_result", reasons=[{"code": "lateral_view"}])) == "no_result: lateral_view"


@pytest.mark.parametrize("part", [0, 1])
def test_an_image_without_outlines_is_shown_as_it_is(part: int) -> None:
    assert (drawn(VIEW, result())[..., part] == 90).all()


@needs_public_data
def test_the_ten_images_are_external_of_several_sources_and_of_patients_not_trained_on() -> None:
    evaluated = {(row.archive, row.file): row for row in readings.rows(ROOT) if row.split == "external"}
    rows = [evaluated[archive, member] for archive, member, _ in contact_sheet.IMAGES]
    assert len({row.source for row in rows}) == 3
    assert len(rows) == len({row.patient for row in rows}) == 10
    assert not {row.patient for row in rows} & set(data.lesion_twins(ROOT).values())
