"""The question for the age: asked where it is unknown, taken once it is one, and said."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient

from edge.config import Settings
from edge.errors import UnreadableError
from edge.pipeline.reading import AGE_STATED
from edge.store import queue, studies
from edge.store.database import connect
from edge.types import State
from tests.support.results import AGE_UNKNOWN, complete_result
from tests.support.studies import put_finished_study, put_quarantined

OWN = {"Sec-Fetch-Site": "same-origin"}
STATED = replace(AGE_STATED, values={"years": "45"}).as_json()


def finished(box: Settings, *quality: dict[str, Any]) -> str:
    return put_finished_study(box, complete_result(quality=list(quality)))


def state_of(box: Settings, key: str) -> State:
    view = studies.study(box.database, key)
    assert view is not None
    return view.state


def post(client: FlaskClient, key: str, years: str | None) -> Any:
    return client.post(f"/study/{key}/age", data={} if years is None else {"years": years}, headers=OWN)


def test_the_age_is_asked_where_it_is_unknown(box: Settings, client: FlaskClient) -> None:
    page = client.get(f"/study/{finished(box, AGE_UNKNOWN.as_json())}").text

    assert "How old is the patient?" in page
    assert page.count("data-key=") == 11


def test_the_age_is_not_asked_where_the_header_gives_it(box: Settings, client: FlaskClient) -> None:
    assert 'id="age"' not in client.get(f"/study/{finished(box)}").text


def test_a_stated_age_is_said_and_can_be_corrected(box: Settings, client: FlaskClient) -> None:
    page = client.get(f"/study/{finished(box, STATED)}").text

    assert "Age entered: 45 years. Change it." in page
    assert 'id="age"' in page
    assert re.search(r'id="notes">.*data-code="age_stated"', page, re.DOTALL)


def test_an_age_has_the_study_read_again(box: Settings, client: FlaskClient) -> None:
    key = finished(box, AGE_UNKNOWN.as_json())

    answer = post(client, key, "45")

    assert (answer.status_code, answer.headers["Location"]) == (303, f"/study/{key}")
    assert "Reading…" in client.get(f"/study/{key}").text
    database = connect(box.database)
    claimed = queue.claim(database)
    database.close()
    assert claimed is not None
    assert (claimed.study_key, claimed.stated_age_years) == (key, 45)


@pytest.mark.parametrize("years", ["0", "120", "007"])
def test_every_age_of_a_person_is_taken(box: Settings, client: FlaskClient, years: str) -> None:
    assert post(client, finished(box, AGE_UNKNOWN.as_json()), years).status_code == 303


@pytest.mark.parametrize(
    "years", [None, "", "121", "-1", "4.5", "abc", " 45", "٤٥", "9" * 5000, "1; DROP TABLE studies"]
)
def test_what_is_no_age_is_refused_in_words(box: Settings, client: FlaskClient, years: str | None) -> None:
    key = finished(box, AGE_UNKNOWN.as_json())

    answer = post(client, key, years)

    assert answer.status_code == 400
    assert "The age must be a whole number of years from 0 to 120; 0 for a baby under one year." in answer.text
    assert state_of(box, key) is State.DONE


def test_a_study_that_is_being_read_says_so(box: Settings, client: FlaskClient) -> None:
    key = finished(box, AGE_UNKNOWN.as_json())
    post(client, key, "45")
    database = connect(box.database)
    queue.claim(database)
    database.close()

    answer = post(client, key, "46")

    assert answer.status_code == 409
    assert "The study is being read at this moment." in answer.text


def test_an_age_that_the_image_tells_is_not_taken(box: Settings, client: FlaskClient) -> None:
    key = finished(box)

    answer = post(client, key, "45")

    assert answer.status_code == 409
    assert "The image itself tells the patient&#39;s age; the box goes by that one." in answer.text
    assert state_of(box, key) is State.DONE


def test_an_object_that_was_set_aside_takes_no_age(box: Settings, client: FlaskClient) -> None:
    key = put_quarantined(box, UnreadableError("truncated").remark())

    answer = post(client, key, "45")

    assert answer.status_code == 409
    assert "This study has no reading that an age could change." in answer.text
    assert state_of(box, key) is State.QUARANTINED


def test_a_study_that_is_not_there_takes_no_age(client: FlaskClient) -> None:
    answer = post(client, "0" * 32, "45")

    assert answer.status_code == 404
    assert "This page or study is not on the box." in answer.text


def test_the_address_of_the_form_leads_to_the_study_and_keeps_the_switch_of_language(
    box: Settings, client: FlaskClient
) -> None:
    key = finished(box)

    assert client.get(f"/study/{key}/age").headers["Location"] == f"/study/{key}"
    assert "language=fr" in client.get(f"/study/{key}/age?lang=fr").headers["Set-Cookie"]
