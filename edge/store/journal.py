"""What happened, noted in the transaction that made it happen; the audit trail is written from it.

A deed and its note are committed together, so that no power cut leaves one without the other
(DICOM PS3.15 annex A.5 names the deeds). Only typed fields of an allow-list are kept: keys of
our own, AE titles, addresses, numbers and codes; no name, no DICOM identifier, no free text.
Rejected: writing the audit file at once, which no transaction holds together with the deed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sqlite_utils import Database

from edge import clock, log
from edge.errors import StorageError
from edge.store.database import folder_of, opened, writing


class Action(str, Enum):
    """What can be noted. Each has its message in ``edge.audit.messages``."""

    BOX_STARTED = "box_started"
    BOX_STOPPED = "box_stopped"
    ASSOCIATION_REJECTED = "association_rejected"
    INSTANCES_STORED = "instances_stored"
    STUDY_VIEWED = "study_viewed"
    AGE_STATED = "age_stated"
    STUDY_DELETED = "study_deleted"
    EXPORTED = "exported"
    PRINTED = "printed"
    IMPORTED = "imported"
    QUERIED = "queried"
    PULL_BEGUN = "pull_begun"
    PULLED = "pulled"
    RESULT_SENT = "result_sent"
    CLOCK_SET = "clock_set"
    BACKUP_MADE = "backup_made"
    BACKUP_RESTORED = "backup_restored"
    CERTIFICATE_ISSUED = "certificate_issued"
    STORE_REBUILT = "store_rebuilt"
    SECURITY_ALERT = "security_alert"


class Outcome(str, Enum):
    """How it ended (PS3.15 A.5.1, EventOutcomeIndicator)."""

    OK = "ok"
    FAILED = "failed"
    SERIOUS = "serious"


_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[0-9.:+]*")
FIELDS: Mapping[str, re.Pattern[str] | type[int]] = MappingProxyType(
    {
        "study_key": re.compile("[0-9a-f]{32}"),  # of our own making
        "ae_title": re.compile("[ -~]{0,16}"),  # of the other side; never written to the audit trail as it came
        "host": re.compile("[0-9A-Za-z.:%_-]{0,255}"),  # address of the other side
        "count": int,  # instances, unless the action tells otherwise
        "code": re.compile("[a-z0-9_]{1,64}"),  # of an error or a reason
        "outcome": re.compile("|".join(outcome.value for outcome in Outcome)),
        "time_before": _TIME,
        "time_after": _TIME,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One note, as it is read back. ``happened_at`` is ISO 8601 text in UTC."""

    journal_id: int
    happened_at: str
    clock_trusted: bool
    action: Action
    fields: Mapping[str, Any]


def note(database: Database, action: Action, **fields: str | int) -> None:
    """Append a note inside the caller's transaction (``edge.store.database.writing``).

    Parameters
    ----------
    **fields : named in ``FIELDS``, each of the form given there.

    Raises
    ------
    ValueError
        For a field that is not in the list or not of its form; its content is not told.
    RuntimeError
        Outside of a transaction: the note would not be committed with the deed.
    """
    _append(database, action, fields, open_key=None)


def _append(database: Database, action: Action, fields: Mapping[str, str | int], open_key: str | None) -> None:
    for name, value in fields.items():
        if not _is_allowed(name, value):
            raise ValueError(f"expected a journal field of the allow-list and of its form, got {name!r}")
    if not database.conn.in_transaction:
        raise RuntimeError("expected a transaction that holds the deed and its note")
    database.execute(
        "INSERT INTO journal (happened_at, clock_trusted, action, fields, open_key) VALUES (?, ?, ?, ?, ?)",
        (clock.utc().isoformat(), clock.is_trusted(folder_of(database)), action.value, json.dumps(fields), open_key),
    )


def begin(database: Database, open_key: str, action: Action, **fields: str | int) -> None:
    """Append a note that counts, and is not taken before ``end``: one for all that an association brings."""
    _append(database, action, {**fields, "count": 0}, open_key)


def count(database: Database, open_key: str) -> None:
    """Count one more in the open note of this key, inside the caller's transaction."""
    counted = "json_set(fields, '$.count', json_extract(fields, '$.count') + 1)"
    database.execute(f"UPDATE journal SET fields = {counted} WHERE open_key = ?", (open_key,))  # noqa: S608


def end(database: Database, open_key: str) -> None:
    """End the open note of this key, inside the caller's transaction."""
    database.execute("UPDATE journal SET open_key = NULL WHERE open_key = ?", (open_key,))


def note_alone(source: Path | Database, action: Action, **fields: str | int) -> None:
    """Append a note in a transaction of its own, for a deed that changes nothing in the store.

    Where the disk is full, the page must still show what it has: then the log tells that a note is missing.
    """
    try:
        with opened(source) as database, writing(database):
            note(database, action, **fields)
    except StorageError as error:
        log.event("not_noted", code=error.code)


def printable(ae_title: str) -> str:
    """A foreign AE title in the form of the field ``ae_title``."""
    return re.sub("[^ -~]", "?", ae_title)[:16]


def entries(database: Database, limit: int) -> list[Entry]:
    """The oldest notes that the audit trail does not hold yet, at most ``limit``."""
    rows = database.execute("SELECT * FROM journal WHERE open_key IS NULL ORDER BY id LIMIT ?", (limit,))
    return [
        Entry(
            journal_id=row["id"],
            happened_at=datetime.fromisoformat(row["happened_at"]).isoformat(timespec="milliseconds"),
            clock_trusted=bool(row["clock_trusted"]),
            action=Action(row["action"]),
            fields=json.loads(row["fields"]),
        )
        for row in rows
    ]


def forget(database: Database, written: Iterable[Entry]) -> None:
    """Remove notes that the audit trail holds, inside the caller's transaction."""
    for entry in written:
        database.execute("DELETE FROM journal WHERE id = ?", (entry.journal_id,))


def _is_allowed(name: str, value: str | int) -> bool:
    form = FIELDS.get(name)
    if isinstance(form, re.Pattern):
        return isinstance(value, str) and form.fullmatch(value) is not None
    return form is int and type(value) is int
