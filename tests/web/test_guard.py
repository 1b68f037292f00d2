from __future__ import annotations

import json
import re

import pytest
from flask.testing import FlaskClient

from edge.config import Settings
from edge.objects.letters import FONTS
from edge.store import studies
from edge.types import State
from edge.web.app import create_app
from tests.support.page import make_result
from tests.support.studies import put_finished_study


@pytest.mark.parametrize("host", ["attacker.example", "127.0.0.1.attacker.example", "192.168.0.7:8042", ""])
def test_a_foreign_host_is_refused(client: FlaskClient, box: Settings, host: str) -> None:
    put_finished_study(box, make_result("normal", normal=0.9), patient_name="Canary")

    answer = client.get("/", headers={"Host": host})

    assert answer.status_code == 400
    assert "Canary" not in answer.text


@pytest.mark.parametrize("host", ["localhost:8042", "127.0.0.1:1234", "localhost"])
def test_loopback_names_are_served(client: FlaskClient, host: str) -> None:
    assert client.get("/", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("address", ["/", "/worklist", "/healthz", "/nothing", "/static/page.css"])
def test_every_answer_forbids_what_is_inline_or_elsewhere(client: FlaskClient, address: str) -> None:
    with client.get(address) as answer:
        policy = answer.headers["Content-Security-Policy"]

    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"


def test_the_page_brings_the_fonts_of_the_printed_report_for_names(client: FlaskClient) -> None:
    with client.get("/static/page.css") as answer:
        sheet = answer.text
    for font in FONTS:
        address = f"/fonts/{font.path.name}"
        (ranges,) = re.findall(f'{re.escape(address)}"\\); unicode-range: ([^;]+);', sheet)
        spans = [span.strip().removeprefix("U+").split("-") for span in ranges.split(",")]
        assert "".join(f"{chr(int(a, 16))}-{chr(int(b, 16))}" for a, b in spans) == font.characters.pattern[1:-1]
        with client.get(address) as answer:
            assert (answer.status_code, len(answer.data)) == (200, font.path.stat().st_size)
            assert "font-src 'self'" in answer.headers["Content-Security-Policy"]


def test_nothing_of_a_patient_is_kept_by_the_browser(client: FlaskClient, box: Settings) -> None:
    key = put_finished_study(box, make_result("normal", normal=0.9))

    for address in ("/", f"/study/{key}", f"/study/{key}.json", f"/study/{key}/1/picture.jpg"):
        assert client.get(address).headers["Cache-Control"] == "no-store"


def test_pages_hold_no_inline_script_or_style(client: FlaskClient, box: Settings) -> None:
    key = put_finished_study(box, make_result("abnormal", bacterial=0.9))

    for address in ("/", f"/study/{key}", "/nothing"):
        page = client.get(address).text
        assert "style=" not in page
        assert "<style" not in page
        assert "<script>" not in page
        assert " on" + "click" not in page


def test_a_fault_is_told_in_plain_words_and_logged_without_its_message(
    client: FlaskClient, box: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("Canary^Name")

    monkeypatch.setattr("edge.web.views.studies.worklist", broken)

    answer = client.get("/")

    assert answer.status_code == 500
    assert "Something went wrong inside the box." in answer.text
    logged = capsys.readouterr().err
    assert json.loads(logged)["error_type"] == "RuntimeError"
    assert "Canary" not in answer.text + logged


def test_a_box_without_a_database_is_not_well(client: FlaskClient, box: Settings) -> None:
    assert client.get("/healthz").json["status"] == "ok"

    box.database.unlink()

    answer = client.get("/healthz")
    assert answer.status_code == 507
    assert "There is no database. Start the box, which makes it from the stored images." in answer.text


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://localhost"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "http://attacker.example"},
        {"Origin": "http://localhost:9999"},
        {"Origin": "null"},
        {},
    ],
    ids=str,
)
def test_a_foreign_page_changes_nothing(client: FlaskClient, box: Settings, headers: dict[str, str]) -> None:
    key = put_finished_study(box, make_result("refer", group="unknown"))

    answer = client.post(f"/study/{key}/age", data={"years": "40"}, headers=headers)

    assert answer.status_code == 403
    assert "does not answer this request" in answer.text
    view = studies.study(box.database, key)
    assert view is not None and view.state is State.DONE


@pytest.mark.parametrize(
    "headers",
    [{"Sec-Fetch-Site": "same-origin", "Origin": "null"}, {"Origin": "http://localhost"}],
    ids=["fetch metadata", "an older browser"],
)
def test_the_own_page_may_change_something(client: FlaskClient, box: Settings, headers: dict[str, str]) -> None:
    key = put_finished_study(box, make_result("refer", group="unknown"))

    assert client.post(f"/study/{key}/age", data={"years": "40"}, headers=headers).status_code == 303


@pytest.mark.parametrize("site", ["cross-site", "none"])
def test_a_foreign_page_may_lead_here(client: FlaskClient, site: str) -> None:
    assert client.get("/", headers={"Sec-Fetch-Site": site}).status_code == 200


def test_a_request_that_no_page_answers_is_refused(box: Settings) -> None:
    answer = create_app(box).test_client().post("/", headers={"Sec-Fetch-Site": "same-origin"})

    assert answer.status_code == 405
    assert "does not answer this request" in answer.text
