"""The page tells how full the box is, what it deleted, and notes what somebody has seen."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from edge.config import IntakeSettings, PacsSettings, Settings, StorageSettings, WorklistSettings
from edge.dicom.peer import Peer
from edge.errors import StorageError, UnreadableError
from edge.store import dropped, facts, peers, retention, studies
from edge.store.budget import require_room
from edge.store.database import connect, writing
from edge.web.app import create_app
from tests.support.page import make_result
from tests.support.studies import put_finished_study, put_quarantined, put_ready_study, ready_box

# What a browser sends with a page that a person opens.
OPENED = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}


@pytest.fixture
def box(tmp_path: Path) -> Settings:
    return replace(ready_box(tmp_path), storage=StorageSettings(budget_mb=100))


def fill(box: Settings, share: float) -> None:
    with connect(box.database) as database, writing(database):
        facts.keep(database, facts.USED_BYTES, share * 100e6)


def unseen(box: Settings) -> int:
    with connect(box.database) as database:
        return studies.counts(database)["unseen"]


@pytest.mark.parametrize(
    ("share", "alarm", "level"),
    [(0.7, "", "ok"), (0.85, "The box is nearly full.", "warning"), (0.97, "The box is full and takes no", "full")],
)
def test_a_full_box_says_so_and_what_to_do(
    box: Settings, client: FlaskClient, share: float, alarm: str, level: str
) -> None:
    fill(box, share)
    for address in ("/", "/worklist", "/status"):
        page = client.get(address).text
        assert alarm in page and ("alarm" in page) == bool(alarm), address
    health = client.get("/healthz").json
    assert health is not None
    assert (health["disk"], health["disk_used"]) == (level, share)


def test_the_warning_is_in_french_too(box: Settings, client: FlaskClient) -> None:
    fill(box, 0.85)
    page = client.get("/status", headers={"Accept-Language": "fr"}).text
    assert "presque plein" in page and "nearly full" not in page


def test_opening_a_finished_study_counts_as_seeing_it(box: Settings, client: FlaskClient) -> None:
    key = put_finished_study(box, make_result("normal", normal=0.9))
    client.get(f"/study/{key}", headers=OPENED)
    assert unseen(box) == 0


def test_a_study_that_was_set_aside_can_be_seen_too(box: Settings, client: FlaskClient) -> None:
    key = put_quarantined(box, UnreadableError("truncated").remark())
    assert unseen(box) == 1
    client.get(f"/study/{key}", headers=OPENED)
    assert unseen(box) == 0


@pytest.mark.parametrize(
    ("address", "method", "headers"),
    [
        ("/study/{key}/stamp", "GET", OPENED),
        ("/study/{key}.json", "GET", OPENED),
        ("/study/{key}/1/picture.jpg", "GET", OPENED),
        ("/study/{key}?lang=fr", "GET", OPENED),
        ("/study/{key}", "HEAD", OPENED),
        ("/study/{key}", "GET", OPENED | {"Sec-Purpose": "prefetch;prerender"}),
        ("/study/{key}", "GET", OPENED | {"Purpose": "prefetch"}),
        ("/study/{key}", "GET", OPENED | {"Sec-Fetch-Dest": "empty"}),
        ("/study/{key}", "GET", OPENED | {"Sec-Fetch-Mode": "cors"}),
        ("/study/{key}", "GET", {}),
        ("/", "GET", OPENED),
    ],
)
def test_other_requests_do_not(
    box: Settings, client: FlaskClient, address: str, method: str, headers: dict[str, str]
) -> None:
    key = put_finished_study(box, make_result("normal", normal=0.9))
    client.open(address.format(key=key), method=method, headers=headers)
    assert unseen(box) == 1


def test_a_study_that_waits_for_its_reading_is_not_seen_by_waiting(box: Settings, client: FlaskClient) -> None:
    with connect(box.database) as database:
        key = put_ready_study(database)
    client.get(f"/study/{key}", headers=OPENED)
    with connect(box.database) as database:
        database.execute("UPDATE studies SET state = 'done', version = 1")
        database.conn.commit()
    assert unseen(box) == 1


def test_a_study_is_shown_although_the_view_cannot_be_noted(box: Settings, client: FlaskClient) -> None:
    key = put_finished_study(box, make_result("normal", normal=0.9))
    with connect(box.database) as database:
        database.execute("BEGIN EXCLUSIVE")
        assert client.get(f"/study/{key}", headers=OPENED).status_code == 200
    assert unseen(box) == 1


def test_deletions_are_listed_without_patient_data(box: Settings, client: FlaskClient) -> None:
    assert "No study has been deleted." in client.get("/status").text
    key = put_finished_study(box, make_result("normal", normal=0.9), patient_name="CANARY", patient_id="CANARY")
    client.get(f"/study/{key}", headers=OPENED)
    fill(box, 0.85)
    with connect(box.database) as database:
        database.execute("UPDATE studies SET delivered_at = '2026-11-24'")
        database.conn.commit()
        assert retention.make_room(database, box) == 1
    page = client.get("/status").text
    assert key[:8] in page and "The PACS has it" in page and "CANARY" not in page
    assert client.get(f"/study/{key}").status_code == 404


def test_what_was_set_aside_is_counted(box: Settings, client: FlaskClient) -> None:
    put_quarantined(box, UnreadableError("truncated").remark())
    page = client.get("/status").text
    counts = page[page.index('id="counts"') :]
    assert "<dt>Set aside, cannot be read</dt><dd>1</dd>" in counts
    assert "<dt>On the box</dt><dd>0</dd>" in counts


def test_a_list_that_was_made_anew_is_told_for_a_day_of_running(box: Settings, client: FlaskClient) -> None:
    with connect(box.database) as database, writing(database):
        facts.keep(database, facts.REBUILT_AT, "2026-11-24T10:00:00+00:00")
    assert "was made anew from the stored images" in client.get("/").text
    with connect(box.database) as database, writing(database):
        facts.add(database, facts.RUNNING_S, 25 * 3600)
    assert "was made anew" not in client.get("/").text
    assert "List of studies made anew" in client.get("/status").text


def test_the_worklist_leads_to_it(box: Settings) -> None:
    assert 'href="/status"' in create_app(box).test_client().get("/").text


def test_a_box_that_has_room_only_for_smaller_images_says_that_it_refuses(box: Settings, client: FlaskClient) -> None:
    fill(box, 0.94)
    with connect(box.database) as database:
        with pytest.raises(StorageError, match="no_room"):
            require_room(database, box, 2_000_000)
    assert "takes no more images" in client.get("/").text
    fill(box, 0.90)
    assert "nearly full" in client.get("/").text


@pytest.fixture
def around(box: Settings) -> Settings:
    """A box with everything around it set up."""
    return replace(
        box,
        intake=IntakeSettings(folder="/mnt/drop"),
        pacs=PacsSettings(host="192.0.2.1", ae_title="ARCHIVE"),
        worklist=WorklistSettings(host="192.0.2.2"),
    )


def status(settings: Settings, language: str = "en") -> str:
    """The text of the page, without what tells texts apart that wrap."""
    page = create_app(settings).test_client().get("/status", headers={"Accept-Language": language}).text
    return " ".join(page.split())


def test_nothing_is_said_of_what_is_not_set_up(box: Settings) -> None:
    page = status(box)
    assert "Drop folder" not in page and "Other machines" not in page


def test_a_drop_folder_is_told_with_what_is_wrong_and_what_stays_there(around: Settings) -> None:
    assert "Nothing looks into the folder at this moment." in status(around)
    with connect(around.database) as database:
        for trouble in ("", "missing", "no_folder", "unreadable", "not_emptied", "broken"):
            dropped.keep(database, dropped.Standing(trouble=trouble, left={"not_dicom": 3, "empty_file": 1}))
            page = status(around)
            assert dropped.TROUBLES.get(trouble, "") in page and "/mnt/drop" in page
            assert "Files that stay in the folder: 4" in page
            assert f"<dt>3</dt><dd>{dropped.REASONS['not_dicom']}</dd>" in page
        french = status(around, "fr")
        assert "Vérifiez le disque" in french and "Fichier vide." in french and "Empty file" not in french
        dropped.keep(database, dropped.Standing(left={}))
    page = status(around)
    assert "Nothing stays in it" in page and 'class="trouble"' not in page


def test_a_pacs_and_a_worklist_are_told_by_how_they_last_answered(
    around: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "UTC")
    assert status(around).count("Not asked yet.") == 2
    error = Peer(around, around.pacs).error("unreachable")
    with connect(around.database) as database:
        for hour, failed in ((9, None), (10, error), (11, error)):
            now = datetime(2026, 11, 24, hour, 30, tzinfo=timezone.utc)
            monkeypatch.setattr(peers.clock, "utc", lambda now=now: now)
            peers.note(database, around.pacs, failed)
        peers.note(database, around.worklist, None)
    page = status(around)
    assert "ARCHIVE (192.0.2.1:104) cannot be reached. Check that it runs" in page
    assert re.search("Requests fail since [^;]*10:30; the last one did on [^;]*11:30", page)
    assert re.search(r"WORKLIST \(192.0.2.2:104\) – Last answer: [^<]*11:30", page)
    assert "ARCHIVE (192.0.2.1:104) est injoignable." in status(around, "fr")
    elsewhere = replace(around, pacs=replace(around.pacs, host="192.0.2.9"))
    assert "ARCHIVE (192.0.2.9:104) – Not asked yet." in status(elsewhere)
    peers.note(around.database, around.pacs, None)
    assert "cannot be reached" not in status(around)
