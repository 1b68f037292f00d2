from __future__ import annotations

import pytest
from flask.testing import FlaskClient

from edge import clock
from edge.config import Settings
from edge.errors import UnreadableError
from edge.store.database import connect
from edge.types import N_, Remark, State
from tests.support.page import make_result
from tests.support.studies import put_finished_study, put_quarantined, put_ready_study

NOT_CHEST = Remark(code="not_chest", text=N_("Not a frontal chest radiograph.")).as_json()


def rows(client: FlaskClient) -> str:
    answer = client.get("/worklist")
    assert answer.status_code == 200
    return answer.text


def test_an_empty_box_says_what_to_do(client: FlaskClient) -> None:
    assert "No study yet." in rows(client)


def test_the_newest_study_stands_first(box: Settings, client: FlaskClient) -> None:
    old = put_finished_study(box, make_result("normal", normal=0.9))
    new = put_finished_study(box, make_result("normal", normal=0.9))

    assert rows(client).index(new) < rows(client).index(old)


def test_each_decision_has_its_own_shape_and_word(box: Settings, client: FlaskClient) -> None:
    put_finished_study(box, make_result("normal", normal=0.9))
    assert 'data-kind="normal"' in rows(client)
    assert "No pneumonia seen" in rows(client)

    put_finished_study(box, make_result("abnormal", normal=0.1, bacterial=0.8))
    assert 'data-kind="abnormal"' in rows(client)
    assert "Pneumonia suspected" in rows(client)

    put_finished_study(box, make_result("abnormal", normal=0.1, tuberculosis=0.8))
    assert "Tuberculosis suspected" in rows(client)

    put_finished_study(box, make_result("refer", normal=0.5, bacterial=0.5))
    assert 'data-kind="refer"' in rows(client)
    assert "No claim: a doctor must read it" in rows(client)


def test_a_refused_image_shows_its_reason(box: Settings, client: FlaskClient) -> None:
    put_finished_study(box, make_result(None), reasons=[NOT_CHEST], state=State.NO_RESULT)

    assert 'data-kind="no-result"' in rows(client)
    assert "Not a frontal chest radiograph." in rows(client)


def test_an_object_that_cannot_be_read_shows_its_reason(box: Settings, client: FlaskClient) -> None:
    put_quarantined(box, UnreadableError("multi_frame", frames=12).remark())

    assert 'data-kind="failed"' in rows(client)
    assert "A sequence of 12 frames is not a radiograph." in rows(client)
    assert "No name" in rows(client)


def test_a_waiting_study_is_shown_as_being_read(box: Settings, client: FlaskClient) -> None:
    database = connect(box.database)
    put_ready_study(database)
    database.close()

    assert 'data-kind="reading"' in rows(client)
    assert "Reading…" in rows(client)


def test_names_are_shown_and_never_run(box: Settings, client: FlaskClient) -> None:
    put_finished_study(box, make_result("normal", normal=0.9), patient_name='<script>x</script>^"><img src=x>')

    assert "<script>x" not in rows(client)
    assert "<img src=x" not in rows(client)
    assert "&lt;script&gt;x&lt;/script&gt;" in rows(client)


def test_no_address_holds_patient_data(box: Settings, client: FlaskClient) -> None:
    key = put_finished_study(box, make_result("normal", normal=0.9), patient_name="Canary", patient_id="CANARY-7")

    addresses = [part.split('"')[0] for part in rows(client).replace("src=", "href=").split('href="')[1:]]

    assert sorted(addresses) == [f"/study/{key}", f"/study/{key}/1/thumbnail.jpg"]


def test_the_whole_page_holds_the_rows_and_the_notice(box: Settings, client: FlaskClient) -> None:
    key = put_finished_study(box, make_result("normal", normal=0.9))

    page = client.get("/").text

    assert key in page
    assert "Research use, not a medical device" in page


def test_a_time_of_a_doubtful_clock_is_marked(
    box: Settings, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_finished_study(box, make_result("normal", normal=0.9))
    assert "Time may be wrong" not in client.get("/").text
    monkeypatch.setattr(clock, "is_trusted", lambda data_dir: False)
    key = put_finished_study(box, make_result("normal", normal=0.9))
    assert client.get("/").text.count("Time may be wrong") == 1
    assert "may be wrong" in client.get(f"/study/{key}").text
