from __future__ import annotations

import re
from datetime import datetime, timezone

import pytest
from flask.testing import FlaskClient

from edge import clock
from edge.config import Settings
from edge.errors import ReadingError, UnreadableError
from edge.store import associations, instances, queue
from edge.store.associations import End
from edge.store.database import connect
from edge.types import Remark, State
from tests.support.page import make_result
from tests.support.studies import ATTRIBUTES, new_instance, put_finished_study, put_quarantined, put_ready_study

REASON = Remark(code="reason", text="Not a frontal chest radiograph.").as_json()
NOBODY = "0" * 32


def page_of(client: FlaskClient, key: str) -> str:
    answer = client.get(f"/study/{key}")
    assert answer.status_code == 200
    return answer.text


def test_a_claim_comes_with_its_probabilities(box: Settings, client: FlaskClient) -> None:
    key = put_finished_study(box, make_result("abnormal", normal=0.07, bacterial=0.62, covid19=0.001, other=None))

    page = page_of(client, key)

    assert "Pneumonia suspected" in page
    assert re.search(r"Bacterial pneumonia.*?62%.*?Normal.*?7%.*?COVID-19 pneumonia.*?&lt; 1%", page, re.DOTALL)
    assert "Other finding" not in page
    assert "Read as an adult" in page


def test_an_abstention_hides_the_probabilities_and_says_why(box: Settings, client: FlaskClient) -> None:
    key = put_finished_study(box, make_result("refer", normal=0.4321, bacterial=0.5678))

    page = page_of(client, key)

    assert "43%" not in page
    assert "0.4321" not in page
    assert 'id="probabilities"' not in page
    assert "not certain enough for a claim" in page


def test_a_refused_image_has_a_reason_and_no_probabilities(box: Settings, client: FlaskClient) -> None:
    key = put_finished_study(box, make_result(None), reasons=[REASON], state=State.NO_RESULT)

    page = page_of(client, key)

    assert "No result" in page
    assert "Not a frontal chest radiograph." in page
    assert "%" not in page
    assert "Pneumonia suspected" not in page


def test_a_refused_image_never_shows_probabilities_even_where_the_result_has_some(
    box: Settings, client: FlaskClient
) -> None:
    key = put_finished_study(box, make_result("abnormal", bacterial=0.91), state=State.NO_RESULT)

    assert "91%" not in page_of(client, key)


def test_a_quarantined_object_has_a_page(box: Settings, client: FlaskClient) -> None:
    key = put_quarantined(box, UnreadableError("truncated").remark())

    page = page_of(client, key)

    assert "Cannot be read" in page
    assert "The file ends before its image does. Send it again." in page
    assert "No image to show." in page


def test_a_study_that_is_read_again_shows_nothing_of_its_old_reading(box: Settings, client: FlaskClient) -> None:
    key = put_finished_study(box, make_result("abnormal", bacterial=0.91), study_instance_uid="1.2.3")
    database = connect(box.database)
    put_ready_study(database, study_instance_uid="1.2.3")
    database.close()

    page = page_of(client, key)

    assert "Reading…" in page
    assert "91%" not in page
    assert 'id="stages"' not in page


def test_a_failed_reading_shows_its_reason_and_not_the_older_result(box: Settings, client: FlaskClient) -> None:
    key = put_finished_study(box, make_result("normal", normal=0.91), study_instance_uid="1.2.3")
    database = connect(box.database)
    put_ready_study(database, study_instance_uid="1.2.3")
    claimed = queue.claim(database)
    assert claimed is not None
    queue.fail(database, claimed.study_id, ReadingError("reading_failed").remark(), clock.utc())
    database.close()

    page = page_of(client, key)

    assert "Reading failed" in page
    assert "could not finish reading" in page
    assert "91%" not in page


def test_contours_are_drawn_in_the_size_of_the_picture(box: Settings, client: FlaskClient) -> None:
    result = make_result("normal", normal=0.9)
    result["segmentation"]["image_size_px"] = [1600, 1280]
    key = put_finished_study(box, result)

    page = page_of(client, key)

    assert 'viewBox="0 0 640 800"' in page
    assert 'class="right_lung" d="M40.2 50.2L140.2 50.2L140.2 350.2L40.2 350.2Z"' in page


def test_stages_are_listed_with_time_and_model(box: Settings, client: FlaskClient) -> None:
    page = page_of(client, put_finished_study(box, make_result("normal", normal=0.9)))

    assert "Lung fields" in page
    assert "0.12 s" in page
    assert "<code>01234567 INT8</code>" in page


def test_quality_remarks_are_shown_with_their_severity(box: Settings, client: FlaskClient) -> None:
    page = page_of(client, put_finished_study(box, make_result("normal", normal=0.9)))

    assert 'class="sign warn"' in page
    assert "Make room on it." in page


def test_a_remark_that_is_the_reason_is_said_once(box: Settings, client: FlaskClient) -> None:
    result = make_result(None)
    result["quality"] = [REASON]
    key = put_finished_study(box, result, reasons=[REASON], state=State.NO_RESULT)

    assert page_of(client, key).count("Not a frontal chest radiograph.") == 1


def test_a_reading_with_a_failed_step_still_lists_its_steps(box: Settings, client: FlaskClient) -> None:
    result = make_result(None) | {"state": "failed"}
    result["stages"][0]["status"] = "failed"
    key = put_finished_study(box, result, reasons=[REASON], state=State.FAILED)

    page = page_of(client, key)

    assert "Reading failed" in page
    assert 'id="stages"' in page


def two_versions(box: Settings) -> str:
    put_finished_study(box, make_result("normal", normal=0.97), study_instance_uid="1.2.3")
    return put_finished_study(box, make_result("abnormal", bacterial=0.91), study_instance_uid="1.2.3")


def test_an_older_reading_can_be_opened_and_says_that_it_is_old(box: Settings, client: FlaskClient) -> None:
    key = two_versions(box)
    newest, older = page_of(client, key), client.get(f"/study/{key}/1").text
    assert "This is an old reading." not in newest
    assert "Pneumonia suspected" in newest and "2 of 2" in newest and f'href="/study/{key}/1"' in newest
    assert "This is an old reading." in older
    assert "No pneumonia seen" in older and "1 of 2" in older and f'href="/study/{key}"' in older
    assert f"/study/{key}/1/picture.jpg" in older and 'data-old="yes"' in older
    assert 'id="age"' not in older


def test_the_page_tells_the_number_of_images_and_when_each_version_was_made(
    box: Settings, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for hour in (9, 17):
        monkeypatch.setattr(clock, "utc", lambda hour=hour: datetime(2026, 3, 4, hour, 5, tzinfo=timezone.utc))
        key = put_finished_study(box, make_result("normal", normal=0.97), study_instance_uid="1.2.3")
    page = page_of(client, key)
    assert '<dd id="images">2</dd>' in page
    times = [moment(datetime(2026, 3, 4, hour, 5, tzinfo=timezone.utc)) for hour in (9, 17)]
    assert re.findall(r"Version (\d)\s*<small>.*?(\d\d:\d\d)<", page) == [("1", times[0]), ("2", times[1])]


def moment(utc: datetime) -> str:
    return utc.astimezone().strftime("%H:%M")


def test_every_version_has_its_json(box: Settings, client: FlaskClient) -> None:
    key = two_versions(box)
    decisions = [client.get(f"/study/{key}{version}.json").json["classification"]["decision"] for version in ("/1", "")]
    assert decisions == ["normal", "abnormal"]
    assert client.get(f"/study/{key}/3.json").status_code == client.get(f"/study/{key}/3").status_code == 404


@pytest.mark.parametrize(
    ("end", "shown", "words"),
    [
        (End.RELEASED, "provisional", "Provisional: more images may come"),
        (End.ABORTED, "broken-off", "Provisional: the sender broke off"),
    ],
)
def test_a_provisional_result_says_so_until_it_is_final(
    box: Settings, client: FlaskClient, end: End, shown: str, words: str
) -> None:
    database = connect(box.database)
    number = associations.begin(database, "MODALITY")
    receipt = instances.add_received(database, new_instance(), number)
    associations.finish(database, number, end)
    key = instances.attach(database, receipt.instance_id, ATTRIBUTES, quiet_s=3600)
    claimed = queue.claim(database)
    assert claimed is not None
    result = make_result("normal", normal=0.97)
    outcome = queue.Outcome(
        state=State.DONE, decision="normal", reasons=[], result=result, completed_at=clock.utc(), has_preview=False
    )
    queue.complete(database, claimed, outcome)
    page, worklist = page_of(client, key), client.get("/worklist").text
    assert re.search(rf'id="{shown}" role="note">{words}', page)
    assert page.count('role="note" hidden') == 1
    assert words in worklist
    assert client.get(f"/study/{key}/stamp").text.endswith(f"\n{shown}")
    with database.conn:
        database.execute("UPDATE studies SET is_final = 1")
    database.close()
    assert page_of(client, key).count('role="note" hidden') == 2
    assert "Provisional" not in client.get("/worklist").text
    assert client.get(f"/study/{key}/stamp").text.endswith("\n")


def test_a_step_that_took_too_long_is_called_as_the_page_calls_it(box: Settings, client: FlaskClient) -> None:
    reason = ReadingError("stage_timeout", stage="segmentation").remark().as_json()
    key = put_finished_study(box, make_result(None), reasons=[reason], state=State.FAILED)
    assert "A step of the reading (Lung fields) did not end in time, twice" in page_of(client, key)


def test_the_stamp_changes_with_the_state(box: Settings, client: FlaskClient) -> None:
    key = put_finished_study(box, make_result("normal", normal=0.9), study_instance_uid="1.2.3")
    before = client.get(f"/study/{key}/stamp").text.split("\n")[0]
    assert f'data-stamp="{before}"' in page_of(client, key)

    database = connect(box.database)
    put_ready_study(database, study_instance_uid="1.2.3")
    database.close()

    assert client.get(f"/study/{key}/stamp").text.split("\n")[0] != before


def test_the_result_is_served_as_json(box: Settings, client: FlaskClient) -> None:
    result = make_result("normal", normal=0.9)

    assert client.get(f"/study/{put_finished_study(box, result)}.json").json == result


def test_a_study_without_a_result_has_no_json(box: Settings, client: FlaskClient) -> None:
    key = put_quarantined(box, UnreadableError("truncated").remark())

    assert client.get(f"/study/{key}.json").status_code == 404


def test_pictures_are_served_as_jpeg(box: Settings, client: FlaskClient) -> None:
    key = put_finished_study(box, make_result("normal", normal=0.9))

    for name in ("picture", "thumbnail"):
        answer = client.get(f"/study/{key}/1/{name}.jpg")
        assert answer.mimetype == "image/jpeg"
        assert answer.data.startswith(b"\xff\xd8")


@pytest.mark.parametrize(
    "address",
    [
        f"/study/{NOBODY}",
        f"/study/{NOBODY}.json",
        f"/study/{NOBODY}/stamp",
        f"/study/{NOBODY}/1/picture.jpg",
        f"/study/{NOBODY}/1/thumbnail.jpg",
        f"/study/{NOBODY}/{'9' * 5000}/picture.jpg",
        "/study/1.2.840.10008.1",
        "/study/..%2f..%2fchest-edge.sqlite",
        f"/study/{NOBODY.replace('0', 'A')}",
        "/nothing",
    ],
)
def test_what_is_not_there_is_said_in_plain_words(client: FlaskClient, address: str) -> None:
    answer = client.get(address)

    assert answer.status_code == 404
    assert "This page or study is not on the box." in answer.text
    assert "Traceback" not in answer.text
