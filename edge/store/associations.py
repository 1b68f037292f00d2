"""Deliveries: which objects came together, and how their coming ended.

An association (PS3.7 annex D) is one; a folder, a stick, a web request or a pull is one too.
Only one that brings something is recorded: an echo a minute would fill the table. A delivery
whose process died is lost; that is seen by the process's own name, so that no start of
anything has to put it right. Rejected: a time after which an open delivery counts as ended,
which would end a slow one.
"""

from __future__ import annotations

import os
from enum import Enum

from sqlite_utils import Database

from edge.lifeline import identity, is_alive
from edge.store import journal
from edge.store.database import writing
from edge.store.journal import Action


class Way(str, Enum):
    """By what a delivery came where no AE title tells its sender; empty by the network."""

    NETWORK = ""
    FOLDER = "folder"
    STICK = "stick"
    PROGRAM = "program"


class End(str, Enum):
    """How a delivery ended: as its sender wished, broken off, or with the process that took it."""

    RELEASED = "released"
    ABORTED = "aborted"
    LOST = "lost"


def begin(database: Database, calling_ae_title: str, host: str = "", way: Way = Way.NETWORK) -> int:
    """Record a delivery to this process, open the note that counts its objects, and return its number.

    Parameters
    ----------
    host : address of the sender; empty where there is none.

    Raises
    ------
    StorageError
        Nothing was recorded.
    """
    with writing(database):
        row = database.execute(
            "INSERT INTO associations (owner, calling_ae_title, host, way) VALUES (?, ?, ?, ?) RETURNING id",
            (identity(os.getpid()), calling_ae_title, host, way.value),
        ).fetchone()
        number = int(row["id"])
        told = {"ae_title": journal.printable(calling_ae_title), "host": host} if calling_ae_title or host else {}
        journal.begin(database, note_key(number), Action.INSTANCES_STORED, **told)
        return number


def finish(database: Database, association_id: int, end: End) -> None:
    """Record how an open delivery ended; one that has ended already stays as it is.

    Raises
    ------
    StorageError
        Nothing was recorded.
    """
    with writing(database):
        _end(database, association_id, end)


def lose(database: Database) -> None:
    """End the deliveries of processes that are no more, inside the caller's transaction."""
    for row in database.execute("SELECT id, owner FROM associations WHERE state = 'open'").fetchall():
        if not is_alive(row["owner"]):
            _end(database, row["id"], End.LOST)


def note_key(association_id: int) -> str:
    """Key of the open note of a delivery (``edge.store.journal``)."""
    return f"delivery {association_id}"


def _end(database: Database, association_id: int, end: End) -> None:
    journal.end(database, note_key(association_id))
    # Numbered, since the wall clock may go backwards.
    database.execute(
        """UPDATE associations SET state = ?, ended = (SELECT coalesce(max(ended), 0) + 1 FROM associations)
           WHERE id = ? AND state = 'open'""",
        (end.value, association_id),
    )
