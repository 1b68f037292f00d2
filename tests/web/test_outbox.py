"""The page of what leaves the box, the line on a study's page, the doctor and the command line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from edge.__main__ import main
from edge.config import DestinationSettings, Settings, StorageSettings
from edge.errors import SendError
from edge.health.doctor import examine
from edge.store import facts, outbox, retention, sent, troubles
from edge.store.database import connect, writing
from edge.store.outbox import Item, Report
from edge.types import State
from edge.web.app import create_app
from tests.support.exports import archive, box_with, put_result, states

WORDS = troubles.trouble(SendError("object_refused", peer="PACS", status="0xC000"), "<b>slope</b> of Pat", ["Pat"])


@pytest.fixture
def box(tmp_path: Path) -> Settings:
    return box_with(tmp_path / "box", archive(104, objects=("sc", "pdf")))


@pytest.fixture
def client(box: Settings) -> FlaskClient:
    return create_app(box).test_client()


OWN = {"Sec-Fetch-Site": "same-origin"}


def items(box: Settings) -> list[Item]:
    with connect(box.database) as database:
        return outbox.due(database, "PACS", 100)


def kill(box: Settings) -> str:
    key = put_result(box, patient_name="CANARY^Pat", patient_id="CANARY-1")
    with connect(box.database) as database:
        outbox.bury(database, items(box)[0], box.destination[0], WORDS)
    return key


def test_a_dead_object_is_shown_with_the_peers_words_and_a_button(box: Settings, client: FlaskClient) -> None:
    key = kill(box)
    page = client.get("/outbox").text
    assert "PACS refuses the object (0xC000)." in page
    assert "&lt;b&gt;slope&lt;/b&gt; of …" in page and "<b>slope" not in page
    assert f'href="/study/{key}"' in page and "CANARY, Pat" in page and "CANARY-1" not in page
    number = page.split('action="/outbox/')[1].split("/")[0]
    assert client.post(f"/outbox/{number}/retry", headers=OWN).headers["Location"] == "/outbox"
    assert states(box) == ["queued", "queued"]
    assert client.post(f"/outbox/{number}/retry", headers=OWN).status_code == 303, "a second touch does no harm"
    assert client.get(f"/outbox/{number}/retry").status_code == 303


def test_all_that_one_archive_did_not_take_is_sent_again_by_one_touch(tmp_path: Path) -> None:
    box = box_with(tmp_path / "two", archive(104), archive(105, name="Other archive"))
    put_result(box), put_result(box)
    with connect(box.database) as database:
        for name in ("PACS", "Other archive"):
            for item in outbox.due(database, name, 10):
                outbox.bury(database, item, box.destination[0], WORDS)
    client = create_app(box).test_client()
    assert client.get("/outbox").text.count("Send all 2 again") == 2
    assert client.post("/outbox/retry", data={"destination": "Other archive"}, headers=OWN).status_code == 303
    assert states(box) == ["dead", "queued", "dead", "queued"]
    assert client.get("/outbox").text.count("Send all 2 again") == 1
    assert client.post("/outbox/retry", data={}, headers=OWN).headers["Location"] == "/outbox"
    assert states(box) == ["dead", "queued", "dead", "queued"], "no name is not all of them"
    assert client.get("/outbox/retry").status_code == 303
    assert client.post("/outbox/retry", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403


def test_worklist_and_study_say_that_a_result_could_not_be_sent(box: Settings, client: FlaskClient) -> None:
    key = kill(box)
    other = put_result(box)
    rows = client.get("/").text.split('<li id="study-')
    (dead,) = [row for row in rows if row.startswith(key)]
    (waiting,) = [row for row in rows if row.startswith(other)]
    assert "The result could not be sent" in dead and "could not be sent" not in waiting
    told = client.get(f"/study/{key}").text.split('id="sent"')[1].split("<details")[0]
    assert "PACS refuses the object (0xC000)." in told and 'href="/outbox"' in told
    assert 'href="/outbox"' not in client.get(f"/study/{other}").text


@pytest.mark.parametrize("number", ["999", "0", "9" * 25])
def test_there_is_no_other_object_to_send_again(client: FlaskClient, number: str) -> None:
    assert client.post(f"/outbox/{number}/retry", headers=OWN).status_code == 404


def test_a_page_of_another_site_sends_nothing_again(box: Settings, client: FlaskClient) -> None:
    kill(box)
    assert client.post("/outbox/1/retry", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert states(box)[0] == "dead"


def test_pages_are_in_french_too(box: Settings, client: FlaskClient) -> None:
    key = kill(box)
    french = {"Accept-Language": "fr"}
    assert "refuse l’objet" in client.get("/outbox", headers=french).text
    assert "Résultats en route" in client.get("/status", headers=french).text
    assert "Non envoyé : quelqu’un doit vérifier" in client.get(f"/study/{key}", headers=french).text


def test_the_page_of_a_study_says_what_became_of_its_result(box: Settings, client: FlaskClient) -> None:
    key = put_result(box)
    asking = replace(box.destination[0], commitment=True)

    def told() -> str:
        page = client.get(f"/study/{key}").text
        return page.split("To PACS: ")[1].split("</li>")[0]

    assert "Waiting since" in told()
    with connect(box.database) as database:
        for item in items(box):
            outbox.take(database, item, asking)
        assert "the confirmation is awaited since" in told()
        waiting = outbox.to_ask(database, "PACS", 10)
        for number, item in enumerate(waiting):
            outbox.made(database, item, "1.2", f"1.2.{number}", "")
        outbox.ask(database, waiting, "2.25.1")
        outbox.report(database, Report(transaction_uid="2.25.1", kept={"1.2.0"}, denied={}))
        assert "the confirmation is awaited since" in told()
        outbox.report(database, Report(transaction_uid="2.25.1", kept={"1.2.1"}, denied={}))
    assert "confirmed to be kept" in told()


def test_a_box_without_destinations_says_nothing_of_them(tmp_path: Path) -> None:
    box = box_with(tmp_path / "other")
    key = put_result(box)
    client = create_app(box).test_client()
    assert "No archive is set up" in client.get("/outbox").text
    assert 'href="/outbox"' not in client.get("/status").text and "To PACS" not in client.get(f"/study/{key}").text


def test_what_waits_for_an_archive_that_the_settings_do_not_name_is_told(box: Settings) -> None:
    put_result(box)
    other = replace(box, destination=())
    assert "do not name this archive any more" in create_app(other).test_client().get("/outbox").text


def test_status_and_doctor_tell_of_waiting_and_dead_ones(box: Settings, client: FlaskClient) -> None:
    kill(box)
    with connect(box.database) as database:
        sent.note_answer(database, "PACS", troubles.trouble(SendError("unreachable", peer="PACS")))
    page = client.get("/status").text
    assert "0 arrived, 1 wait, 1 not sent" in page and "PACS cannot be reached" in page and 'href="/outbox"' in page
    (line,) = [found for found in examine(box, dict) if found.text.startswith("Destination PACS")]
    assert not line.ok and "1 wait" in line.text and "1 could not be sent" in line.text
    assert "PACS cannot be reached" in line.text


def test_the_command_lists_without_names_and_sends_again(
    box: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = kill(box)
    file = tmp_path / "box.toml"
    file.write_text(f'data_dir = "{box.data_dir}"\n')
    assert main(["--config", str(file), "outbox", "list"]) == 0
    listed = capsys.readouterr().out
    first, second = listed.splitlines()
    assert first.startswith(f"1 dead PACS sc {key} version 1, sent 0 times") and "CANARY" not in listed
    assert first.endswith('PACS refuses the object (0xC000). "<b>slope</b> of …"') and second.startswith("2 queued")
    assert main(["--config", str(file), "outbox", "retry", "2"]) == 1
    assert main(["--config", str(file), "outbox", "retry"]) == 0
    assert states(box) == ["queued", "queued"]


def test_what_was_delivered_may_be_deleted_first_and_what_waits_stays(box: Settings) -> None:
    box = replace(box, storage=StorageSettings(budget_mb=1, keep_days=1))
    keys = [put_result(box) for _ in range(3)]
    with connect(box.database) as database:
        for item in [item for item in items(box) if item.study_key == keys[1]]:
            outbox.take(database, item, box.destination[0])
        for key in keys:
            retention.note_view(database, key, State.DONE, 1)
        with writing(database):
            facts.keep(database, facts.RUNNING_S, 1e9)
            facts.keep(database, facts.USED_BYTES, 10e6)
        assert retention.make_room(database, box) == 1
        assert [line.study_key for line in retention.deletions(database, 9)] == [keys[1]]
        assert retention.deletions(database, 9)[0].reason == "delivered"
        assert len(states(box)) == 4, "rows of the outbox go with their study"
        assert retention.make_room(database, replace(box, destination=())) == 2, "nothing waits for ever for no archive"


def test_each_object_that_left_is_noted_for_the_audit(box: Settings) -> None:
    from edge.audit.messages import Writer
    from edge.store import journal

    put_result(box)
    with connect(box.database) as database:
        first, second = items(box)
        outbox.take(database, first, box.destination[0])
        outbox.bury(database, second, box.destination[0], WORDS)
        notes = [entry for entry in journal.entries(database, 10) if entry.action is journal.Action.RESULT_SENT]
    messages = [Writer(box, bytes(32)).message(entry) for entry in notes]
    assert all("DICOM Instances Transferred" in message and 'UserID="SCRIPTED"' in message for message in messages)
    assert 'EventOutcomeIndicator="0"' in messages[0] and 'EventOutcomeIndicator="4"' in messages[1]
    assert "slope" not in messages[1]


def test_a_web_archive_is_noted_by_its_host() -> None:
    from edge.store.outbox import _receiver

    given = DestinationSettings(name="Web", kind="stow", url="https://archive.example:8443/dicom-web")
    assert _receiver(given) == {"host": "archive.example"}
