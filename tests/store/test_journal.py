"""The journal: committed with the deed or not at all, and closed to everything that could be a name."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlite_utils import Database

from edge.store.database import connect, migrate, writing
from edge.store.journal import Action, entries, forget, note, note_alone

KEY = "0123456789abcdef" * 2


@pytest.fixture
def database(tmp_path: Path) -> Database:
    path = tmp_path / "chest-edge.sqlite"
    migrate(path)
    return connect(path)


def test_a_note_is_read_back_as_it_was_made(database: Database) -> None:
    note_alone(database, Action.STUDY_VIEWED, study_key=KEY, count=2)
    (entry,) = entries(database, 10)
    assert (entry.action, dict(entry.fields)) == (Action.STUDY_VIEWED, {"study_key": KEY, "count": 2})


def test_a_note_goes_with_the_deed_that_failed(database: Database) -> None:
    with pytest.raises(ZeroDivisionError), writing(database):
        note(database, Action.STUDY_DELETED, study_key=KEY)
        raise ZeroDivisionError
    assert entries(database, 10) == []


def test_a_note_without_a_transaction_is_refused(database: Database) -> None:
    with pytest.raises(RuntimeError):
        note(database, Action.BOX_STARTED)
    assert entries(database, 10) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("patient_name", "DOE^JANE"),
        ("study_key", "1.2.840.10008.1"),
        ("study_key", KEY + "\n"),
        ("code", "Doe Jane"),
        ("outcome", "fine"),
        ("host", "Doe^Jane"),
        ("ae_title", "A" * 17),
        ("ae_title", 3),
        ("count", "Doe"),
        ("count", True),
        ("time_after", "Doe"),
    ],
)
def test_what_could_be_a_name_is_refused_and_not_repeated(database: Database, name: str, value: str | int) -> None:
    with pytest.raises(ValueError, match=name) as caught:
        note_alone(database, Action.SECURITY_ALERT, **{name: value})
    assert str(value) not in str(caught.value)
    assert entries(database, 10) == []


def test_only_what_was_written_is_forgotten(database: Database) -> None:
    for count in range(3):
        note_alone(database, Action.INSTANCES_STORED, count=count)
    with writing(database):
        forget(database, entries(database, 2))
    assert [entry.fields["count"] for entry in entries(database, 10)] == [2]
