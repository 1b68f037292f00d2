"""The page of a chest CT: what it says, its pictures, and what it does where they are missing."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from flask.testing import FlaskClient

from edge.config import Settings
from edge.store import studies
from edge.types import Remark, Severity
from tests.support.ct_result import change, chest_result, phantom, put_ct, put_stack, severity, stack_of, tissue_of
from tests.support.page import make_result
from tests.support.studies import put_finished_study

TOO_SHORT = Remark(code="lungs_cut", text="The lungs are cut off.", severity=Severity.WARN, advice="Scan them whole.")


def page_of(client: FlaskClient, key: str, language: str = "en") -> str:
    answer = client.get(f"/study/{key}", headers={"Accept-Language": language})
    assert answer.status_code == 200
    return re.sub(r"\s+", " ", answer.text)


@pytest.mark.parametrize(
    ("decision", "words", "worded"),
    [
        ("abnormal", "Opacities measured in the lungs", "Opacités mesurées dans les poumons"),
        ("normal", "No opacity above that of normal lungs measured", "Pas d’opacité mesurée au-delà"),
        ("refer", "No claim: a doctor must read it", "un médecin doit lire"),
        (None, "No result", "Pas de résultat"),
    ],
)
def test_worklist_and_page_say_the_same_of_a_ct(
    box: Settings, client: FlaskClient, decision: str | None, words: str, worded: str
) -> None:
    key = put_ct(box, chest_result(decision))
    for page in (page_of(client, key), client.get("/worklist").text):
        assert words in page
        assert "neumonia s" not in page
    assert worded in page_of(client, key, "fr")


def test_a_study_of_several_modalities_is_called_by_what_was_read(box: Settings, client: FlaskClient) -> None:
    key = put_finished_study(box, chest_result("normal"), modality="DX")
    for page in (page_of(client, key), client.get("/worklist").text):
        assert "No opacity above that of normal lungs measured" in page


def test_a_measured_chest_is_shown_with_its_numbers(box: Settings, client: FlaskClient) -> None:
    key = put_ct(box, chest_result(quality=[TOO_SHORT.as_json()]))
    page = page_of(client, key)
    assert re.search(r"Lung, ml</th><td>1,805</td><td>1,591</td><td>3,396<", page)
    assert re.search(r"Ground glass, ml</th><td>113</td><td>18</td><td>131<", page)
    assert re.search(r"Affected</th><td>7%</td><td>1%</td><td>4%<", page)
    assert re.search(r'class="right_upper score-0".*?0%.*class="right_middle score-2".*?14%', page)
    assert re.search(r"CT score</dt><dd id=\"score\"><b>4</b> / 24", page)
    assert re.search(r'data-slice="15".*?Consolidation, 11 ml.*?Right middle zone.*?34 HU.*?Slice 15', page)
    assert re.search(r"From slice to slice</dt><dd>10 mm.*Kernel</dt><dd><bdi>B70f", page)
    assert "A scout view of 2 images" in page
    assert "The lungs are cut off." in page and "Scan them whole." in page
    assert "It does not know why" in page and "looks for pneumonia" not in page
    assert 'id="probabilities"' not in page


def test_a_pattern_is_named_only_beside_measured_opacity(box: Settings, client: FlaskClient) -> None:
    told = {"probabilities": {"covid19": 0.66}, "set": ["covid19"], "measured_percent": 4.2}
    ill = put_ct(box, chest_result(classification=told | {"decision": "abnormal"}))
    page = page_of(client, ill)
    assert re.search(r"COVID-19 pattern.*66%", page) and "Looks most like" in page
    for decision in ("refer", "normal"):
        page = page_of(client, put_ct(box, chest_result(classification=told | {"decision": decision})))
        assert "66%" not in page and "Looks most like" not in page


def test_an_abstention_folds_its_numbers_away_and_lays_nothing_over_the_slices(
    box: Settings, client: FlaskClient
) -> None:
    page = page_of(client, put_ct(box, chest_result("refer")))
    assert page.index('id="unclaimed"') < page.index('id="volumes"')
    assert re.search(r'id="overlay" aria-pressed="false"', page)
    assert "/stack/tissue/15.png" not in page


def test_without_a_script_the_middle_slice_is_shown(box: Settings, client: FlaskClient) -> None:
    key = put_ct(box)
    page = page_of(client, key)
    assert f'href="/study/{key}/1/stack/lung/15.jpg"' in page
    assert f'href="/study/{key}/1/stack/tissue/15.png"' in page
    assert f'data-address="/study/{key}/1/stack/"' in page
    assert "Slice 15 of 30" in page


def test_pictures_are_those_of_the_stack_and_may_be_kept(box: Settings, client: FlaskClient) -> None:
    key = put_ct(box)
    for name, kind in (
        ("lung/1.jpg", "image/jpeg"),
        ("mediastinum/30.jpg", "image/jpeg"),
        ("tissue/15.png", "image/png"),
        ("coronal/lung.jpg", "image/jpeg"),
        ("coronal/tissue.png", "image/png"),
    ):
        answer = client.get(f"/study/{key}/1/stack/{name}")
        assert (answer.status_code, answer.mimetype) == (200, kind)
        assert answer.headers["Cache-Control"] == "private, max-age=3600, immutable"
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert client.get(f"/study/{key}").headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "name",
    [
        "lung/0.jpg",
        "lung/31.jpg",
        "lung/-1.jpg",
        "lung/0001.jpg",
        f"lung/{'9' * 5000}.jpg",
        "lung/1.png",
        "tissue/1.jpg",
        "bone/1.jpg",
        "coronal/mediastinum.jpg",
        "coronal/1.jpg",
        "..%2fstack.json",
        "lung/..%2f..%2fpreview.jpg",
        "stack.json",
    ],
)
def test_nothing_else_is_handed_out(box: Settings, client: FlaskClient, name: str) -> None:
    answer = client.get(f"/study/{put_ct(box)}/1/stack/{name}")
    assert answer.status_code == 404
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("content", [None, b"", b"PK\x05\x06" + bytes(18), b"torn"])
def test_a_missing_or_damaged_stack_leaves_the_reading_and_says_that_there_is_no_picture(
    box: Settings, client: FlaskClient, content: bytes | None
) -> None:
    key = put_ct(box)
    path = studies.stack_path(box, key, 1)
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    answer = client.get(f"/study/{key}/1/stack/lung/15.jpg")
    assert answer.status_code == 404
    assert "There is no such picture on the box" in answer.text
    page = page_of(client, key)
    assert "Opacities measured in the lungs" in page and 'id="volumes"' in page
    assert 'id="stack"' not in page and f"/study/{key}/1/picture.jpg" in page


def compared(box: Settings, **parts: Any) -> str:
    earlier = put_ct(box)
    matched = [None, *range(1, 30)]
    registration = {"to": "prior", "aligned": True, "residual": 0.1, "matched": matched}
    told = {"registration": registration, "severity": severity(change=change(earlier, version=1))}
    return put_ct(box, chest_result(**told | parts))


def test_an_earlier_ct_lies_beside_the_newer_one_at_the_same_level(box: Settings, client: FlaskClient) -> None:
    page = page_of(client, compared(box))
    assert 'id="compare"' in page
    found = re.search(r'data-matched="([^"]+)"', page)
    assert found and found[1].split()[:3] == ["0", "1", "2"]
    assert "Worse than before" in page and "Affected: +2.4 points" in page
    assert re.search(r"14%</b> <span class=\"difference\">▲\+9", page)


@pytest.mark.parametrize("matched", [None, [], [1, 2, 3]])
def test_without_a_level_for_each_slice_there_is_nothing_to_compare(
    box: Settings, client: FlaskClient, matched: list[int] | None
) -> None:
    page = page_of(client, compared(box, registration={"to": "prior", "matched": matched}))
    assert 'id="compare"' not in page and "Worse than before" in page


def test_a_level_outside_of_the_earlier_ct_is_none(box: Settings, client: FlaskClient) -> None:
    page = page_of(client, compared(box, registration={"to": "prior", "matched": [31] * 15 + [30] * 15}))
    found = re.search(r'data-matched="([^"]+)"', page)
    assert found and set(found[1].split()[:15]) == {"0"} and found[1].split()[15] == "30"


def test_an_earlier_ct_that_was_deleted_is_not_offered(box: Settings, client: FlaskClient) -> None:
    key = compared(box)
    earlier = json.loads(client.get(f"/study/{key}.json").data)["severity"]["change"]["study_key"]
    studies.stack_path(box, earlier, 1).unlink()
    assert 'id="compare"' not in page_of(client, key)


def test_an_older_version_shows_its_own_slices(box: Settings, client: FlaskClient) -> None:
    first = put_ct(box, study_instance_uid="1.2.3")
    made = phantom()
    half = stack_of(made.volume.hu[::2], tissue_of(made)[::2])
    assert put_ct(box, made=half, study_instance_uid="1.2.3") == first
    assert "Slice 8 of 15" in page_of(client, first)
    assert "Slice 15 of 30" in client.get(f"/study/{first}/1").text


def test_a_radiograph_beside_a_stack_of_nobody_stays_a_radiograph(box: Settings, client: FlaskClient) -> None:
    key = put_finished_study(box, make_result("normal", normal=0.9))
    made = phantom()
    put_stack(box, key, stack_of(made.volume.hu, tissue_of(made)))
    page = page_of(client, key)
    assert 'id="stack"' not in page and "No pneumonia seen" in page


def test_half_a_result_is_still_a_page(box: Settings, client: FlaskClient) -> None:
    nothing: dict[str, Any] = dict.fromkeys(("segmentation", "detection", "severity", "registration", "series"))
    page = page_of(client, put_ct(box, chest_result("refer", findings=[], **nothing)))
    assert 'id="stack"' in page and 'id="volumes"' not in page
    bare: dict[str, Any] = {"detection": {}, "severity": {"grade": "mild"}, "series": {"left_out": []}}
    assert 'id="severity"' in page_of(client, put_ct(box, chest_result(findings=None, **bare)))
