from __future__ import annotations

from dataclasses import replace

import pytest
from flask.testing import FlaskClient

from edge.config import Settings, WebSettings
from edge.errors import SetupError, UnreadableError
from edge.types import State
from edge.web.app import create_app
from tests.support.page import make_result
from tests.support.studies import put_finished_study, put_quarantined

FRENCH = {"Accept-Language": "fr-CA, fr;q=0.9, en;q=0.5"}


def test_the_browser_asks_for_its_language(client: FlaskClient) -> None:
    assert "Aucun examen" in client.get("/", headers=FRENCH).text
    assert '<html lang="fr">' in client.get("/", headers=FRENCH).text


def test_a_language_that_the_box_lacks_gives_its_own(box: Settings) -> None:
    french = create_app(replace(box, web=WebSettings(language="fr"))).test_client()

    assert "Aucun examen" in french.get("/", headers={"Accept-Language": "sw"}).text


def test_an_unknown_default_language_is_refused(box: Settings) -> None:
    with pytest.raises(SetupError, match=r"web\.language should be en or fr"):
        create_app(replace(box, web=WebSettings(language="xx")))


def test_the_switch_is_remembered_and_beats_the_browser(client: FlaskClient) -> None:
    answer = client.get("/?lang=en", headers=FRENCH)

    assert (answer.status_code, answer.headers["Location"]) == (303, "/")
    assert "No study yet." in client.get("/", headers=FRENCH).text


def test_the_switch_stays_on_its_page(client: FlaskClient, box: Settings) -> None:
    key = put_finished_study(box, make_result("normal", normal=0.9))

    assert client.get(f"/study/{key}?lang=fr").headers["Location"] == f"/study/{key}"


@pytest.mark.parametrize("address", ["//attacker.example/?lang=fr", "/nothing?lang=fr", "/?lang=xx"])
def test_the_switch_never_leads_away(client: FlaskClient, address: str) -> None:
    answer = client.get(address)

    assert "attacker" not in answer.headers.get("Location", "")
    assert "Set-Cookie" not in answer.headers


def test_reasons_are_translated_with_their_values(client: FlaskClient, box: Settings) -> None:
    put_quarantined(box, UnreadableError("multi_frame", frames=12).remark())

    assert "Une séquence de 12 images n’est pas une radiographie." in client.get("/", headers=FRENCH).text


def test_a_reason_keeps_hostile_values_inert(client: FlaskClient, box: Settings) -> None:
    remark = UnreadableError("unsupported_object", modality="<b>%(x)s</b>").remark()
    put_finished_study(box, make_result(None), reasons=[remark.as_json()], state=State.NO_RESULT)

    assert "&lt;b&gt;%(x)s&lt;/b&gt;" in client.get("/", headers=FRENCH).text
