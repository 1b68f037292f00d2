"""Objects on their way to archives: one row for each object and destination, made with the result itself.

States: ``queued``, ``sending`` (its bytes may have arrived), ``stored`` (the destination said so), ``committed``
(it promised to keep it, PS3.4 annex J), ``dead`` (a person has to act), ``superseded`` (a newer result came
first). The file of an object is made once and never changes, so that sending it again after a power cut gives
the destination the same identifier with the same bytes, which changes nothing there. When to try again is no
column: the wall clock may jump, so waits live in the process ``export``. Rejected: files, which no transaction holds.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sqlite_utils import Database

from edge import clock
from edge.config import DestinationSettings, Settings
from edge.errors import SendError
from edge.store.database import writing
from edge.store.facts import FOUND_FILES
from edge.store.journal import Action, Outcome, note, printable
from edge.store.troubles import trouble
from edge.types import Kind

MAX_STRIKES = 10
"""Failures of one object, while its destination took others, after which a person has to look."""
MAX_MAKINGS = 5
_MAX_DENIALS = 2
_SEVERE, _ABNORMAL, _REFER, _NORMAL = range(4)
WAITING = "(outbox.state IN ('queued', 'sending') OR outbox.state = 'stored' AND commitment != '')"
"""SQL: whether a row has not come to its end."""
_FOUND = f"""(EXISTS (SELECT 1 FROM facts WHERE name = '{FOUND_FILES}') AND NOT EXISTS (SELECT 1 FROM instances WHERE
  study_id = ?1 AND path NOT IN (SELECT f.value FROM facts, json_each(facts.value) f WHERE name = '{FOUND_FILES}')))"""  # noqa: S608
_OLD = "version < (SELECT version FROM studies WHERE studies.id = study_id)"
_AGAIN = f"CASE WHEN {_OLD} THEN 'superseded' ELSE 'queued' END"


class OutState(str, Enum):
    """Where an object stands on its way to one destination."""

    QUEUED = "queued"
    SENDING = "sending"
    STORED = "stored"
    COMMITTED = "committed"
    DEAD = "dead"
    SUPERSEDED = "superseded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One object for one destination.

    Attributes
    ----------
    strikes : failures of its own, while the destination took others.
    is_doubtful : the box went down while it was sent: it may have arrived.
    sha256 : of its file, hexadecimal; empty until it is made.
    """

    row_id: int
    study_id: int
    study_key: str
    version: int
    kind: Kind
    destination: str
    strikes: int
    makings: int
    sop_class_uid: str
    sop_instance_uid: str
    is_doubtful: bool
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a destination says of the objects of one transaction: the reason of each that it does not keep."""

    transaction_uid: str
    kept: Collection[str]
    denied: Mapping[str, int]


def path_of(settings: Settings, item: Item) -> Path:
    """Where the object is stored, once it is made."""
    return settings.results / item.study_key / str(item.version) / f"{item.kind.value}.dcm"


def urgency(decision: str | None, result: Mapping[str, Any]) -> int:
    """How soon a result is to leave, 0 first: by what a physician has to know of."""
    if decision == "abnormal":
        grade = (result.get("severity") or {}).get("grade")
        return _SEVERE if grade == "severe" else _ABNORMAL
    return _NORMAL if decision == "normal" else _REFER


def plan(
    database: Database, study_id: int, version: int, rank: int, destinations: Iterable[DestinationSettings]
) -> None:
    """Queue the objects of a new result, inside the caller's transaction, and drop older ones that were not sent.

    Not of studies fetched for comparison, nor of those found when the database was made anew: archives had them.
    """
    now = clock.utc().isoformat()
    database.execute(
        "UPDATE outbox SET state = 'superseded', changed_at = ? WHERE study_id = ? AND state IN ('queued', 'dead')",
        (now, study_id),
    )
    for destination in destinations:
        for kind in destination.objects:
            database.execute(
                f"""INSERT INTO outbox (study_id, version, kind, destination, urgency, created_at, changed_at)
                   SELECT id, ?2, ?3, ?4, ?5, ?6, ?6 FROM studies WHERE id = ?1 AND NOT is_prior AND NOT {_FOUND}
                   ON CONFLICT DO NOTHING""",  # noqa: S608
                (study_id, version, kind, destination.name, rank, now),
            )
    _settle(database, study_id)


def due(database: Database, destination: str, limit: int, without: Collection[int] = ()) -> list[Item]:
    """What is to be sent next: first what never failed by itself, then by urgency, then the oldest."""
    return _items(
        database,
        f"""destination = ? AND state = 'queued' AND id NOT IN ({", ".join("?" * len(without))})
            ORDER BY strikes > 0 OR makings > 0, urgency, id LIMIT ?""",
        (destination, *without, limit),
    )


def to_ask(database: Database, destination: str, limit: int) -> list[Item]:
    """What the destination is still to be asked a commitment for."""
    query = "destination = ? AND commitment = 'wanted' ORDER BY id LIMIT ?"
    return _items(database, query, (destination, limit))


def make(database: Database, item: Item) -> None:
    """Note that the making of an object begins: what kills the process each time must not do so for ever."""
    _update(database, item, "makings = makings + 1")


def not_begun(database: Database, item: Item) -> None:
    """Take back ``make``: the box was at fault, and not the object."""
    _update(database, item, "makings = max(0, makings - 1)")


def made(database: Database, item: Item, sop_class_uid: str, sop_instance_uid: str, sha256: str) -> bool:
    """Note that the file of an object is there, for all destinations; False where the study is gone meanwhile."""
    with writing(database):
        changed = database.execute(
            """UPDATE outbox SET makings = 0, sop_class_uid = ?, sop_instance_uid = ?, sha256 = ?
               WHERE study_id = ? AND version = ? AND kind = ?""",
            (sop_class_uid, sop_instance_uid, sha256, item.study_id, item.version, item.kind.value),
        )
        return bool(changed.rowcount)


def drop(database: Database, item: Item) -> None:
    """Forget an object that its result does not have."""
    with writing(database):
        database.execute(
            "DELETE FROM outbox WHERE study_id = ? AND version = ? AND kind = ?",
            (item.study_id, item.version, item.kind.value),
        )
        _settle(database, item.study_id)


def begin(database: Database, item: Item) -> bool:
    """Note that its bytes are about to leave; False where it is not to leave any more."""
    with writing(database):
        changed = database.execute(
            "UPDATE outbox SET state = 'sending', tries = tries + 1, changed_at = ? WHERE id = ? AND state = 'queued'",
            (clock.utc().isoformat(), item.row_id),
        )
        _settle(database, item.study_id)
        return bool(changed.rowcount)


def take(database: Database, item: Item, destination: DestinationSettings, warning: str | None = None) -> None:
    """Note that the destination has stored an object.

    Parameters
    ----------
    warning : as ``trouble`` gives it, where it stored the object with one.
    """
    with writing(database):
        commitment = "wanted" if destination.asks_commitment else ""
        assignments = "state = 'stored', commitment = :commitment, transaction_uid = '', trouble = :trouble"
        _set(database, item, assignments, commitment=commitment, trouble=warning)
        database.execute("DELETE FROM transactions WHERE row_id = ?", (item.row_id,))  # they tell of an earlier sending
        note(database, Action.RESULT_SENT, study_key=item.study_key, count=1, **_receiver(destination))


def put_back(database: Database, item: Item, told: str, *, strike: bool = False) -> None:
    """Have an object sent again later; not where a newer result came, nor after too many strikes."""
    with writing(database):
        _set(
            database,
            item,
            f"""state = CASE WHEN {_OLD} THEN 'superseded' WHEN :strikes >= {MAX_STRIKES} THEN 'dead' ELSE 'queued' END,
                commitment = '', strikes = :strikes, trouble = :trouble""",
            strikes=item.strikes + strike,
            trouble=told,
        )


def bury(database: Database, item: Item, destination: DestinationSettings, told: str) -> None:
    """End an object that its destination will not take, or that cannot be made, until a person acts."""
    with writing(database):
        state = f"state = CASE WHEN {_OLD} THEN 'superseded' ELSE 'dead' END"
        _set(database, item, f"{state}, commitment = '', trouble = :trouble", trouble=told)
        failed = {"outcome": Outcome.FAILED.value, "code": json.loads(told)["code"], **_receiver(destination)}
        note(database, Action.RESULT_SENT, study_key=item.study_key, count=1, **failed)


def ask(database: Database, items: Iterable[Item], transaction_uid: str) -> None:
    """Note, before it is sent, under which transaction a commitment is asked for."""
    with writing(database):
        for item in items:
            _set(database, item, "commitment = 'asked', transaction_uid = :uid", uid=transaction_uid)
            database.execute("INSERT INTO transactions (uid, row_id) VALUES (?, ?)", (transaction_uid, item.row_id))


def transactions(database: Database, destination: str) -> set[str]:
    """Transactions that the destination has not answered."""
    query = "SELECT DISTINCT transaction_uid FROM outbox WHERE destination = ? AND commitment = 'asked'"
    return {row["transaction_uid"] for row in database.execute(query, (destination,))}


def unanswered(database: Database, transaction_uid: str, told: str) -> None:
    """Ask again for what got no answer; what may never have arrived is sent again."""
    with writing(database):
        _release(database, "commitment = 'asked' AND transaction_uid = ?", transaction_uid, told, again="wanted")


def no_commitment(database: Database, destination: str, told: str) -> None:
    """Be content with ``stored`` at a destination that offers no commitment."""
    with writing(database):
        _release(database, "commitment = 'wanted' AND destination = ?", destination, told, again="")


def report(database: Database, told: Report) -> bool:
    """Take what a destination says; False where the box has asked nothing under this transaction.

    What is denied is sent once more, and is dead when it is denied again. A report may come late or twice.
    """
    with writing(database):
        asked = "id IN (SELECT row_id FROM transactions WHERE uid = ?1)"
        items = _items(database, f"commitment != '' AND {asked}", (told.transaction_uid,))
        for item in items:
            if item.sop_instance_uid in told.kept:
                _set(database, item, "state = 'committed', commitment = '', trouble = NULL")
            elif item.sop_instance_uid in told.denied:
                _deny(database, item, told.denied[item.sop_instance_uid])
        seen = f"SELECT 1 FROM outbox WHERE transaction_uid = ?1 OR {asked}"  # noqa: S608
        return bool(items) or database.execute(seen, (told.transaction_uid,)).fetchone() is not None


def recover(database: Database, destination: DestinationSettings) -> None:
    """Settle what was being sent when the box went down.

    It may have arrived. Where the destination knows commitment, it is asked whether it has the object; else the
    same bytes are sent again under the same identifier, and what was to be asked for stands as it is.
    """
    with writing(database):
        for item in _items(database, "destination = ? AND (state = 'sending' OR commitment != '')", [destination.name]):
            if not destination.asks_commitment:
                _set(database, item, f"state = {_AGAIN if item.is_doubtful else 'state'}, commitment = ''")
            elif item.is_doubtful:
                _set(database, item, "commitment = CASE commitment WHEN 'asked' THEN 'asked' ELSE 'wanted' END")


def retry(database: Database, row_id: int | None = None, destination: str | None = None) -> int:
    """Have one dead object sent again, all those of a destination, or all of them; return how many."""
    with writing(database):
        changed = database.execute(
            """UPDATE outbox SET state = 'queued', strikes = 0, makings = 0, denials = 0, commitment = '',
                   changed_at = :now
               WHERE state = 'dead' AND (:id IS NULL OR id = :id) AND (:name IS NULL OR destination = :name)""",
            {"now": clock.utc().isoformat(), "id": row_id, "name": destination},
        )
        return int(changed.rowcount)


def _deny(database: Database, item: Item, reason: int) -> None:
    error = SendError("commitment_denied", peer=item.destination, status=f"0x{reason:04X}")
    if item.is_doubtful:  # it had not arrived, and is sent for the first time
        _set(database, item, f"state = {_AGAIN}, commitment = '', trouble = NULL")
        return
    _set(
        database,
        item,
        f"""denials = denials + 1, commitment = '', trouble = :trouble, state = CASE WHEN {_OLD} THEN 'superseded'
            WHEN denials + 1 >= {_MAX_DENIALS} THEN 'dead' ELSE 'queued' END""",
        trouble=trouble(error),
    )


def _release(database: Database, condition: str, value: str, told: str, *, again: str) -> None:
    for item in _items(database, condition, (value,)):
        if item.is_doubtful:
            _set(database, item, f"state = {_AGAIN}, commitment = ''")
        else:
            assignments = "commitment = :again, transaction_uid = '', trouble = :trouble"
            _set(database, item, assignments, again=again, trouble=told)


def _update(database: Database, item: Item, assignments: str) -> None:
    with writing(database):
        _set(database, item, assignments)


def _set(database: Database, item: Item, assignments: str, **values: Any) -> None:
    database.execute(
        f"UPDATE outbox SET {assignments}, changed_at = :now WHERE id = :id",  # noqa: S608
        {**values, "now": clock.utc().isoformat(), "id": item.row_id},
    )
    _settle(database, item.study_id)


def _settle(database: Database, study_id: int) -> None:
    """Keep since when all archives have the newest result of a study, which may then go first."""
    database.execute(
        f"""UPDATE studies SET delivered_at = CASE WHEN
                EXISTS (SELECT 1 FROM outbox WHERE study_id = :id AND version = studies.version
                    AND state IN ('stored', 'committed'))
                AND NOT EXISTS (SELECT 1 FROM outbox WHERE study_id = :id AND (state = 'dead' OR {WAITING}))
            THEN coalesce(delivered_at, :now) END WHERE id = :id""",  # noqa: S608
        {"id": study_id, "now": clock.utc().isoformat()},
    )


def _items(database: Database, condition: str, values: Sequence[Any]) -> list[Item]:
    rows = database.execute(
        f"""SELECT *, (SELECT study_key FROM studies WHERE studies.id = study_id) AS study_key
            FROM outbox WHERE {condition}""",  # noqa: S608
        values,
    ).fetchall()
    return [_item(row) for row in rows]


def _item(row: Any) -> Item:
    return Item(
        row_id=row["id"],
        study_id=row["study_id"],
        study_key=row["study_key"],
        version=row["version"],
        kind=Kind(row["kind"]),
        destination=row["destination"],
        strikes=row["strikes"],
        makings=row["makings"],
        sop_class_uid=row["sop_class_uid"],
        sop_instance_uid=row["sop_instance_uid"],
        is_doubtful=row["state"] == OutState.SENDING.value,
        sha256=row["sha256"],
    )


def _receiver(destination: DestinationSettings) -> dict[str, str]:
    host = destination.host if destination.kind == "dicom" else urlsplit(destination.url).hostname or ""
    told = {"host": re.sub("[^0-9A-Za-z.:%_-]", "?", host)[:255].replace("?", "_")}
    return told | ({"ae_title": printable(destination.ae_title)} if destination.kind == "dicom" else {})
