"""The page of a USB stick: each state in words, and the button."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from sqlite_utils import Database

from edge.config import IntakeSettings, Settings
from edge.intake.mounts import below
from edge.store import sticks
from edge.store.sticks import NOTHING, StickState
from edge.web.app import create_app
from tests.support.studies import ready_box

OWN = {"Sec-Fetch-Site": "same-origin"}


@pytest.fixture
def box(tmp_path: Path) -> Settings:
    return replace(ready_box(tmp_path), intake=IntakeSettings(usb="/media"))


@pytest.fixture
def woken() -> list[int]:
    return []


@pytest.fixture
def client(box: Settings, woken: list[int]) -> FlaskClient:
    return create_app(box, wake=woken.append).test_client()


def put(database: Database, state: StickState, **counts: object) -> int:
    number = sticks.arrive(database, "mount", is_writable=False).stick_id
    sticks.move(database, number, state, replace(NOTHING, **counts))  # type: ignore[arg-type]
    return number


def test_a_box_without_sticks_says_so_and_has_no_button_for_them(tmp_path: Path) -> None:
    client = create_app(ready_box(tmp_path)).test_client()
    assert "not set up" in client.get("/stick").text
    assert "/stick" not in client.get("/").text


def test_the_worklist_leads_to_the_stick(client: FlaskClient) -> None:
    assert 'href="/stick"' in client.get("/").text
    assert "Put a USB stick into the box" in client.get("/stick").text


@pytest.mark.parametrize(
    ("state", "says", "hides"),
    [
        (StickState.LOOKING, ["Looking at the stick"], ["remove the stick now", "Take in</button>"]),
        (StickState.READY, ["Ready to take in", "Nothing was taken yet", "Take in</button>"], ["remove the stick now"]),
        (StickState.WANTED, ["Leave the stick in", "<progress"], ["remove the stick now", "</button>"]),
        (StickState.TAKING, ["Leave the stick in", 'max="9" value="5"', "5 of 9"], ["remove the stick now"]),
        (StickState.TAKEN, ["All done", "remove the stick now", 'href="/quarantine"'], ["</button>", "taken yet"]),
        (StickState.NO_ROOM, ["no room", "remove the stick now", "Try again</button>"], ['href="/quarantine"']),
        (StickState.PULLED, ["pulled too early", "Put the same stick in again"], ["remove the stick now", "</button>"]),
    ],
    ids=lambda value: value.value if isinstance(value, StickState) else "",
)
def test_each_state_has_its_words(
    client: FlaskClient, database: Database, state: StickState, says: list[str], hides: list[str]
) -> None:
    put(database, state, total=9, studies=4, taken=3, known=1, refused={"other_kind": 1})
    for page in (client.get("/stick").text, client.get("/stick/now").text):
        assert [text for text in says if text not in page] == []
        assert [text for text in hides if text in page] == []
    assert "this object is of another kind" in page
    assert "style=" not in page and " on" + "click" not in page


def test_a_touch_asks_once_and_wakes_the_process(client: FlaskClient, database: Database, woken: list[int]) -> None:
    number = put(database, StickState.READY, total=9)
    for _ in range(2):
        answer = client.post(f"/stick/{number}/take", headers=OWN)
        assert (answer.status_code, answer.headers["Location"]) == (303, "/stick")
    assert sticks.stick(database, number).state is StickState.WANTED
    assert woken[0] == number


@pytest.mark.parametrize("number", ["77", "99999999999999999999", "0"])
def test_a_stick_that_is_not_there_cannot_be_taken(client: FlaskClient, number: str) -> None:
    assert client.post(f"/stick/{number}/take", headers=OWN).status_code == 404


def test_a_foreign_page_takes_nothing(client: FlaskClient, database: Database) -> None:
    number = put(database, StickState.READY, total=9)
    assert client.post(f"/stick/{number}/take", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert sticks.stick(database, number).state is StickState.READY


def test_a_language_is_kept_on_the_page_of_the_stick(client: FlaskClient) -> None:
    answer = client.get("/stick?lang=fr")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/stick")
    assert "Clé USB" in client.get("/stick").text


def test_the_mounts_of_the_machine_can_be_listed() -> None:
    every = below(Path("/"))()
    assert Path("/proc") in {mount.path for mount in every}
    assert len({mount.key for mount in every}) == len(every)
    assert below(Path("/nowhere/at/all"))() == []
