"""Makes room: which studies may go, and how one goes.

Only what somebody has seen in its newest state may go: first what was delivered elsewhere, then
what was last seen ``storage.keep_days`` ago. Days are days of running, counted by the
monotonic clock: a clock that jumps ten years ahead deletes nothing. A deletion is written down
with the rows that it removes, in one transaction; its files follow, and are removed at the next
start where a power cut came between. Rejected: dates of files, which a wrong clock makes old.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlite_utils import Database

from edge import clock, log
from edge.config import Settings
from edge.store import facts
from edge.store.budget import WARN_FROM, used_share
from edge.store.database import opened, writing
from edge.store.files import sync_folder
from edge.store.journal import Action, note
from edge.store.outbox import WAITING
from edge.types import State

_DAY_S = 24 * 3600
_ENDED = "('done', 'no_result', 'failed', 'quarantined')"
_SEEN_NOW = "state || ' ' || version"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deletion:
    """A line of the ledger. ``reason`` is ``delivered`` or ``viewed``."""

    study_key: str
    received_at: datetime
    deleted_at: datetime
    reason: str
    size_bytes: int
    instance_count: int


def note_view(database: Database, study_key: str, state: State, version: int) -> None:
    """Keep that somebody saw this state and version of a study.

    Raises
    ------
    StorageError
        Where the database cannot be written.
    """
    with writing(database):
        database.execute(
            "UPDATE studies SET viewed_as = ?, viewed_running_s = ? WHERE study_key = ?",
            (f"{state.value} {version}", facts.number(database, facts.RUNNING_S), study_key),
        )


def make_room(database: Database, settings: Settings) -> int:
    """Delete the oldest studies that may go while the box is fuller than its warning mark; return how many went.

    Raises
    ------
    StorageError
        Where the database cannot be written.
    """
    count = 0
    while used_share(database, settings) >= WARN_FROM and _delete_oldest(database, settings):
        finish_deletions(database, settings)
        count += 1
    return count


def finish_deletions(database: Database, settings: Settings) -> None:
    """Remove the files of studies whose rows are gone.

    Raises
    ------
    StorageError
        Where the database cannot be written.
    """
    paths = [settings.data_dir / row["path"] for row in database.execute("SELECT path FROM doomed")]
    if not paths:
        return
    removed = [path for path in paths if _remove(path)]
    for folder in (settings.incoming, settings.results):
        sync_folder(folder)
    with writing(database):
        for path in removed:
            database.execute("DELETE FROM doomed WHERE path = ?", (str(path.relative_to(settings.data_dir)),))


def deletions(source: Path | Database, limit: int) -> list[Deletion]:
    """The newest lines of the ledger, newest first."""
    with opened(source) as database:
        rows = database.execute("SELECT * FROM deletions ORDER BY id DESC LIMIT ?", (limit,)).fetchall()
    return [_line(row) for row in rows]


def _delete_oldest(database: Database, settings: Settings) -> bool:
    with writing(database):
        row = _oldest(database, settings)
        if row is not None:
            _delete(database, settings, row)
    return row is not None


def _oldest(database: Database, settings: Settings) -> Any:
    names = [destination.name for destination in settings.destination]
    seen_by = facts.number(database, facts.RUNNING_S) - settings.storage.keep_days * _DAY_S
    return database.execute(
        f"""SELECT *, CASE WHEN delivered_at IS NULL THEN 'viewed' ELSE 'delivered' END AS why FROM studies
            WHERE state IN {_ENDED} AND NOT unread AND viewed_as = {_SEEN_NOW}
                AND (delivered_at IS NOT NULL OR viewed_running_s <= ?)
                AND NOT EXISTS (SELECT 1 FROM instances WHERE study_id = studies.id AND state = 'received')
                AND NOT EXISTS (SELECT 1 FROM outbox WHERE study_id = studies.id
                    AND {WAITING} AND destination IN ({", ".join("?" * len(names))}))
            ORDER BY delivered_at IS NULL, id LIMIT 1""",  # noqa: S608
        (seen_by, *names),
    ).fetchone()


def _delete(database: Database, settings: Settings, study: Any) -> None:
    instances = database.execute("SELECT path, size_bytes FROM instances WHERE study_id = ?", (study["id"],)).fetchall()
    size_bytes = sum(row["size_bytes"] for row in instances)
    database.table("deletions").insert(
        {
            "study_key": study["study_key"],
            "received_at": study["received_at"],
            "deleted_at": clock.utc().isoformat(),
            "reason": study["why"],
            "size_bytes": size_bytes,
            "instance_count": len(instances),
        }
    )
    doomed = [settings.results / study["study_key"], *(settings.incoming / row["path"] for row in instances)]
    for path in doomed:
        database.execute("INSERT INTO doomed (path) VALUES (?)", (str(path.relative_to(settings.data_dir)),))
    for table, column in (("results", "study_id"), ("instances", "study_id"), ("studies", "id")):
        database.execute(f"DELETE FROM {table} WHERE {column} = ?", (study["id"],))  # noqa: S608
    facts.add(database, facts.USED_BYTES, -size_bytes)
    note(database, Action.STUDY_DELETED, study_key=study["study_key"], count=len(instances), code=study["why"])
    log.event("study_deleted", study_id=study["id"], code=study["why"], count=len(instances), size_bytes=size_bytes)


def _remove(path: Path) -> bool:
    try:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        log.event("removal_failed", error_type=type(error).__name__, where=log.where(error))
        return False
    return True


def _line(row: Any) -> Deletion:
    return Deletion(
        study_key=row["study_key"],
        received_at=datetime.fromisoformat(row["received_at"]),
        deleted_at=datetime.fromisoformat(row["deleted_at"]),
        reason=row["reason"],
        size_bytes=row["size_bytes"],
        instance_count=row["instance_count"],
    )
