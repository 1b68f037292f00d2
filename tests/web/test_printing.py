"""The Print button and what it hands out."""

from __future__ import annotations

import re
from dataclasses import replace

import cv2
import pytest
from flask.testing import FlaskClient

from edge.config import Settings, WebSettings
from edge.errors import SeriesError
from edge.objects import receipt
from edge.store import journal, signing
from edge.store.database import connect
from edge.types import State
from edge.web.app import create_app
from tests.support.ct_result import chest_result, put_ct
from tests.support.paper import picture_of, text_of
from tests.support.results import complete_result
from tests.support.studies import put_finished_study, put_ready_study


def _printed(client: FlaskClient, key: str, **headers: str) -> bytes:
    answer = client.get(f"/study/{key}/1.pdf", headers=headers)
    assert (answer.status_code, answer.mimetype) == (200, "application/pdf")
    return answer.data


def test_the_button_leads_to_the_report_of_the_version_that_is_shown(box: Settings, client: FlaskClient) -> None:
    key = put_finished_study(box, complete_result())

    page = client.get(f"/study/{key}").text

    assert re.search(rf'id="print" target="_blank" rel="noopener" href="/study/{key}/1.pdf"', page)


def test_the_report_names_the_patient_as_the_page_does(box: Settings, client: FlaskClient) -> None:
    key = put_finished_study(box, complete_result(), patient_name="Łoś^Żaneta=王^小明")

    text = text_of(_printed(client, key))

    for said in ("Łoś, Żaneta · 王, 小明", "P-0042", "A-17", "May 4, 1961", "Female", "Pneumonia suspected", key):
        assert said in text, said


def test_it_speaks_the_language_of_the_page(box: Settings, client: FlaskClient) -> None:
    key = put_finished_study(box, complete_result())

    assert "Suspicion de pneumonie" in text_of(_printed(client, key, **{"Accept-Language": "fr"}))


def test_its_receipt_is_signed_by_this_box(box: Settings, client: FlaskClient) -> None:
    key = put_finished_study(box, complete_result())

    text = cv2.QRCodeDetectorAruco().detectAndDecode(picture_of(_printed(client, key)))[0]

    assert receipt.is_signed_by(text, signing.private_key(box).public_key())
    assert receipt.fits(receipt.read(text), client.get(f"/study/{key}.json").json)
    assert receipt.read(text).box_id == signing.box_id(box)


def test_the_same_result_is_printed_in_the_same_bytes(box: Settings, client: FlaskClient) -> None:
    key = put_finished_study(box, complete_result())

    assert _printed(client, key) == _printed(client, key)


def test_the_paper_is_that_of_the_settings(box: Settings) -> None:
    key = put_finished_study(box, complete_result())
    client = create_app(replace(box, web=WebSettings(paper="letter"))).test_client()

    assert picture_of(_printed(client, key), dpi=72).shape[:2] == (792, 612)


def test_printing_is_noted_and_names_no_patient(box: Settings, client: FlaskClient) -> None:
    key = put_finished_study(box, complete_result())
    answer = client.get(f"/study/{key}/1.pdf")

    with connect(box.database) as database:
        noted = [entry for entry in journal.entries(database, 99) if entry.action is journal.Action.PRINTED]
    assert [entry.fields for entry in noted] == [{"study_key": key, "host": "127.0.0.1"}]
    assert "Example" not in str(answer.headers)
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("state", [State.NO_RESULT, State.FAILED])
def test_a_result_without_a_picture_is_printed_with_its_reason(
    box: Settings, client: FlaskClient, state: State
) -> None:
    reason = complete_result()["quality"][0]
    parts = dict.fromkeys(("classification", "severity", "segmentation", "detection"))
    report = complete_result(None, state=state.value, reasons=[reason], findings=[], **parts)
    key = put_finished_study(box, report, [reason], state)

    assert "re-centre and repeat" in text_of(_printed(client, key))
    assert 'id="print"' in client.get(f"/study/{key}").text


def test_there_is_nothing_to_print_before_there_is_a_result(box: Settings, client: FlaskClient) -> None:
    with connect(box.database) as database:
        key = put_ready_study(database)

    assert 'id="print"' not in client.get(f"/study/{key}").text
    for address in (f"/study/{key}/1.pdf", f"/study/{'0' * 32}/1.pdf", f"/study/{key}/0.pdf"):
        assert client.get(address).status_code == 404


def test_broken_values_of_a_header_are_printed_all_the_same(box: Settings, client: FlaskClient) -> None:
    key = put_finished_study(box, complete_result(), patient_name="^" * 60, patient_id="\\" * 80, sex="?")

    assert "Pneumonia suspected" in text_of(_printed(client, key))


def test_a_ct_is_printed_from_its_page(box: Settings, client: FlaskClient) -> None:
    key = put_ct(box, chest_result("abnormal"))
    assert 'id="print"' in client.get(f"/study/{key}").text
    text = text_of(_printed(client, key))
    assert "Opacities measured in the lungs" in text and "Slice 15" in text


def test_a_ct_that_was_refused_is_printed_with_its_reason(box: Settings, client: FlaskClient) -> None:
    reason = SeriesError("only_scout").remark().as_json()
    series = dict.fromkeys(("series_instance_uid", "slices", "spacing_mm", "thickness_mm", "kernel", "image_size_px"))
    told = {"series": series | {"left_out": [], "key_slices": []}, "reasons": [reason], "stages": [], "findings": []}
    parts = dict.fromkeys(("gate", "classification", "severity", "segmentation", "detection", "registration"))
    report = chest_result(None) | parts | told | {"state": "no_result", "quality": [reason]}
    key = put_finished_study(box, report, [reason], State.NO_RESULT, modality="CT")
    text = text_of(_printed(client, key))
    assert "No result" in text and "The study holds scout images alone." in text
