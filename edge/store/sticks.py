"""What lies on the USB sticks that are put in, and what becomes of it: process and page speak through these rows.

A row is one insertion of one stick. It holds numbers and codes only: names of files and folders
may be those of patients, and stay in the process that reads the stick.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum

from sqlite_utils import Database

from edge import clock
from edge.store import journal
from edge.store.database import writing


class StickState(str, Enum):
    """Where a stick stands. In ``looking`` and ``taking`` it should stay in; pulled all the same, nothing breaks."""

    LOOKING = "looking"
    READY = "ready"
    WANTED = "wanted"
    TAKING = "taking"
    TAKEN = "taken"
    NO_ROOM = "no_room"
    PULLED = "pulled"
    GONE = "gone"


_ASKABLE = (StickState.READY, StickState.TAKEN, StickState.NO_ROOM)
_UNFINISHED = (StickState.WANTED, StickState.TAKING, StickState.NO_ROOM)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What was found and what was done, in files; ``studies`` in studies.

    Attributes
    ----------
    total : images that may be taken.
    taken, known : taken in by this import, and here before.
    refused : by code of the reason.
    others : files that are no DICOM, and left alone.
    """

    studies: int = 0
    total: int = 0
    others: int = 0
    taken: int = 0
    known: int = 0
    refused: Mapping[str, int]

    @property
    def done(self) -> int:
        """How many of ``total`` were dealt with."""
        return self.taken + self.known + sum(self.refused.values())


NOTHING = Counts(refused={})


@dataclass(frozen=True, slots=True, kw_only=True)
class Stick:
    """One row. ``is_writable``: it was not mounted read-only, against what the box asks for."""

    stick_id: int
    state: StickState
    is_writable: bool
    counts: Counts


def arrive(database: Database, mount: str, *, is_writable: bool) -> Stick:
    """Note that a stick is there; the same one goes on after a restart of the process.

    Parameters
    ----------
    mount : what tells this insertion from any other of this boot.
    """
    with writing(database):
        _end(database, "mount != ? AND state = 'pulled'", (mount,), StickState.GONE)
        known = database.execute("SELECT id FROM sticks WHERE mount = ? AND state NOT IN ('gone', 'pulled')", (mount,))
        row = known.fetchone()
        if row is None:
            values = (mount, is_writable, StickState.LOOKING.value, _to_json(NOTHING), clock.utc().isoformat())
            row = database.execute(
                """INSERT INTO sticks (mount, is_writable, state, counts, arrived_at) VALUES (?, ?, ?, ?, ?)
                   RETURNING id""",
                values,
            ).fetchone()
    return stick(database, row["id"])


def leave(database: Database, stick_id: int) -> None:
    """Note that a stick is no longer there; one that was not done with stays on the page as pulled."""
    with writing(database):
        unfinished = ", ".join(f"'{state.value}'" for state in _UNFINISHED)
        _end(database, f"id = ? AND state IN ({unfinished})", (stick_id,), StickState.PULLED)
        _end(database, "id = ? AND state != 'pulled'", (stick_id,), StickState.GONE)


def leave_all_but(database: Database, mounts: list[str]) -> None:
    """The same for every stick that went while no process looked."""
    rows = database.execute("SELECT id, mount FROM sticks WHERE state NOT IN ('gone', 'pulled')").fetchall()
    for row in rows:
        if row["mount"] not in mounts:
            leave(database, row["id"])


def move(database: Database, stick_id: int, state: StickState, counts: Counts) -> None:
    """Note how far it is; the end of an import goes into the journal with it."""
    with writing(database):
        database.execute(
            "UPDATE sticks SET state = ?, counts = ? WHERE id = ?", (state.value, _to_json(counts), stick_id)
        )
        if state is StickState.TAKEN:  # nobody is to put one in again any more that was pulled before
            _end(database, "state = 'pulled'", (), StickState.GONE)
        if state in {StickState.TAKEN, StickState.NO_ROOM, StickState.PULLED}:
            outcome = journal.Outcome.OK if state is StickState.TAKEN else journal.Outcome.FAILED
            journal.note(database, journal.Action.IMPORTED, count=counts.taken, outcome=outcome.value)


def want(database: Database, stick_id: int) -> bool:
    """Ask for a stick to be taken in; False where it is not there or cannot be taken now."""
    askable = ", ".join(f"'{state.value}'" for state in _ASKABLE)
    with writing(database):
        asked = database.execute(
            f"UPDATE sticks SET state = 'wanted' WHERE id = ? AND state IN ({askable})",  # noqa: S608
            (stick_id,),
        )
    return asked.rowcount > 0


def stick(database: Database, stick_id: int) -> Stick:
    """One row, by its number."""
    return _stick(database.execute("SELECT * FROM sticks WHERE id = ?", (stick_id,)).fetchone())


def shown(database: Database) -> list[Stick]:
    """The sticks that are there, and the newest that was pulled too early; newest first."""
    rows = database.execute("SELECT * FROM sticks WHERE state != 'gone' ORDER BY id DESC LIMIT 4")
    return [_stick(row) for row in rows]


def _end(database: Database, where: str, values: tuple[str | int, ...], state: StickState) -> None:
    database.execute(f"UPDATE sticks SET state = ? WHERE {where}", (state.value, *values))  # noqa: S608


def _to_json(counts: Counts) -> str:
    return json.dumps({name: getattr(counts, name) for name in Counts.__slots__})


def _stick(row: dict[str, object]) -> Stick:
    return Stick(
        stick_id=int(str(row["id"])),
        state=StickState(row["state"]),
        is_writable=bool(row["is_writable"]),
        counts=replace(NOTHING, **json.loads(str(row["counts"]))),
    )
