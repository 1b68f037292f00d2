"""What the study page shows of the parts that the whole pipeline adds to a result."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import pytest
from flask.testing import FlaskClient

from edge.config import Settings
from edge.types import Remark, State
from tests.support.page import make_result
from tests.support.results import STAGES, complete_result, make_change, make_severity
from tests.support.studies import put_finished_study

UNDECIDED = Remark(code="undecided", text="Neither clearly normal nor clearly abnormal; the box makes no claim.")
FAR = Remark(code="far_from_training", text="The image looks unlike all images that the box learnt from.")
# Every code that has a picture of its own.
CODES = """cut_off_top cut_off_right cut_off_left cut_off_right_angle cut_off_left_angle mirrored patient_rotated
    overexposed underexposed poor_inspiration low_resolution turned inverted not_frontal_chest lateral_view
    implausible_lungs far_from_training all_possible undecided age_unknown age_stated wrong_age not_aligned""".split()


@pytest.fixture
def shown(box: Settings, client: FlaskClient) -> Any:
    """The page of a result, as HTML without runs of white space."""

    def page_of(result: dict[str, Any], *reasons: Remark, state: State = State.DONE) -> str:
        key = put_finished_study(box, result, reasons=[reason.as_json() for reason in reasons], state=state)
        answer = client.get(f"/study/{key}")
        assert answer.status_code == 200
        return " ".join(unescape(answer.text).split())

    return page_of


def words(page: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


def element(page: str, name: str, closing: str) -> str:
    """From the element of this id to its end."""
    return page[page.index(f'id="{name}"') :].split(closing, maxsplit=1)[0]


def without(*parts: str) -> dict[str, Any]:
    return {name: value for name, value in complete_result().items() if name not in parts}


def test_severity_is_graded_in_words_and_numbers(shown: Any) -> None:
    text = words(shown(complete_result()))

    assert "Moderate A considerable part of the lungs is opaque." in text
    assert "Extent 3.4 / 8 Opacity 2.1 / 6 Brixia 7 / 18 Affected 16%" in text


def test_zones_lie_as_on_the_image(shown: Any) -> None:
    table = element(shown(complete_result()), "zones", "</table>")

    assert re.findall(r"<td class=\"(\w+) score-(\d)\"", table) == [
        ("right_upper", "0"),
        ("left_upper", "0"),
        ("right_middle", "1"),
        ("left_middle", "2"),
        ("right_lower", "3"),
        ("left_lower", "1"),
    ]
    assert words(table).endswith("Right Left 0 0.2 1.1 1.9 2.8 1")


@pytest.mark.parametrize(
    ("verdict", "said"),
    [
        ("better", "Better than before"),
        ("same", "Same as before"),
        ("worse", "Worse than before"),
        (None, "Not compared"),
    ],
)
def test_a_change_is_said_by_zone_with_the_way_to_the_earlier_study(
    box: Settings, shown: Any, verdict: str | None, said: str
) -> None:
    earlier = put_finished_study(box, complete_result())
    page = shown(complete_result(severity=make_severity(change=make_change(earlier, verdict))))

    assert words(element(page, "zones", "</table>")).endswith("0 0.2 1.1 1.9 ▲+1.2 2.8 ▲+2.1 1 ▼−1.4")
    change = element(page, "change", "</div>")
    assert said in change and "Brixia +2" in words(change)
    assert f'href="/study/{earlier}"' in change
    assert "Feb 20, 2026" in change


def test_without_an_earlier_study_nothing_is_compared(shown: Any) -> None:
    page = shown(complete_result())

    assert 'id="change"' not in page
    assert "▲" not in page


def test_findings_are_drawn_numbered_and_listed(shown: Any) -> None:
    page = shown(complete_result())

    marks = element(page, "marks", "</svg>")
    assert re.findall(r'<g class="(\w+)"> <path class="area" d="M[^"]+Z" fill="url\(#(\w+)\)', marks) == [
        ("ground_glass_opacity", "stripes"),
        ("consolidation", "dots"),
    ]
    assert 'x="100.0" y="420.0" width="160.0" height="260.0"' in marks
    listed = words(element(page, "finding-list", "</ol>"))
    assert "1 Ground glass Right lower zone · 21% of this lung · confidence 83%" in listed
    assert "2 Consolidation Left middle zone · 9% of this lung · confidence 64%" in listed


def test_the_opaque_share_is_given_for_each_lung(shown: Any) -> None:
    text = words(element(shown(complete_result()), "opacities", "</dl>"))

    assert text.endswith("Right lung 21% Left lung 9% Both lungs 16% Ground glass 11% Consolidation 5%")


def test_the_cardiothoracic_ratio_is_given_with_its_lines(shown: Any) -> None:
    page = shown(complete_result())

    assert "Cardiothoracic ratio 0.42" in words(page)
    outlines = element(page, "outlines", "</g>")
    assert 'class="heart_line" d="M240.5 560.5L440.5 560.5"' in outlines
    assert 'class="thorax_line" d="M80.5 660.5L560.5 660.5"' in outlines


def test_without_a_ratio_there_is_no_line(shown: Any) -> None:
    segmentation = complete_result()["segmentation"] | {"cardiothoracic": None}
    page = shown(complete_result(segmentation=segmentation))

    assert "heart_line" not in page
    assert "Cardiothoracic" not in page


def test_a_remark_says_what_to_do(shown: Any) -> None:
    quality = element(shown(complete_result()), "quality", "</ul>")

    assert 'class="noted warn"' in quality and 'class="sign warn"' in quality
    assert "Warning The left costophrenic angle reaches the edge of the image." in words(quality)
    assert "The left costophrenic angle is cut off: re-centre and repeat." in quality


def test_a_refused_image_says_what_to_do(shown: Any) -> None:
    refused = Remark(code="lateral_view", text="A lateral chest view.", advice="Take a frontal view.")
    reasons = element(shown(make_result(None), refused, state=State.NO_RESULT), "reasons", "</ul>")

    assert 'data-code="lateral_view"' in reasons
    assert "Take a frontal view." in reasons


def test_each_code_has_a_picture_of_its_own_and_the_others_share_one(shown: Any) -> None:
    others = ["no_dicom_header", "something_new"]
    remarks = [Remark(code=code, text=code).as_json() for code in (*CODES, *others)]
    page = shown(complete_result(quality=remarks))

    drawn = dict(re.findall(r'data-code="(\w+)"> (.*?) </svg>', page))
    assert set(drawn) == {*CODES, *others}
    assert len(set(drawn.values())) == len(CODES) + 1
    assert drawn["no_dicom_header"] == drawn["something_new"]


def test_what_presses_stands_before_the_severity_and_notes_after_it(shown: Any) -> None:
    page = shown(complete_result())

    order = [page.index(f'id="{name}"') for name in ("decision", "possible", "quality", "severity", "notes", "stages")]
    assert order == sorted(order)
    assert 'data-code="low_resolution"' in element(page, "notes", "</ul>")


def test_what_cannot_be_ruled_out_is_said_with_a_claim(shown: Any) -> None:
    said = words(element(shown(complete_result()), "possible", "</p>"))

    assert said.endswith("Looks most like: Other pneumonia, COVID-19 pneumonia")


def test_a_set_that_promises_nothing_is_not_shown(shown: Any) -> None:
    assert 'id="possible"' in shown(complete_result("refer"), UNDECIDED)
    assert 'id="possible"' not in shown(complete_result("refer"), FAR)
    assert 'id="possible"' not in shown(complete_result("refer"), UNDECIDED, FAR)
    assert 'id="possible"' not in shown(make_result("abnormal", other=0.9))


def test_an_abstention_claims_neither_severity_nor_findings(shown: Any) -> None:
    page = shown(complete_result("refer"), UNDECIDED)

    assert "Severity, without a claim" in element(page, "unclaimed", "</summary>")
    assert 'class="marks off"' in page
    assert re.search(r'id="findings" aria-pressed="false"', page)


def test_every_stage_is_named(shown: Any) -> None:
    rows = re.findall(r'<th scope="row">([^<]+)</th> <td>Done', shown(complete_result()))

    assert rows == [
        "Image check",
        "Lung fields",
        "Positioning",
        "Alignment",
        "Opacities",
        "Classification",
        "Severity",
    ]
    assert len(rows) == len(STAGES)


@pytest.mark.parametrize(
    "missing", ["positioning", "registration", "detection", "severity", "findings", "segmentation"]
)
def test_a_part_that_is_absent_or_null_is_left_out(shown: Any, missing: str) -> None:
    for result in (without(missing), complete_result(**{missing: None})):
        assert "Pneumonia suspected" in shown(result)


def test_a_result_of_an_older_box_is_shown_without_the_new_parts(shown: Any) -> None:
    page = shown(make_result("abnormal", other_pneumonia=0.9))

    for name in ("severity", "detection", "findings", "marks", "heart", "change", "possible"):
        assert f'id="{name}"' not in page


def test_numbers_that_are_missing_leave_the_others(shown: Any) -> None:
    severity = {"grade": "something new", "zones": None, "change": {"verdict": "something new"}}
    page = shown(complete_result(severity=severity, detection={}))

    assert "something new" in page
    assert "Extent 3" not in words(page)
