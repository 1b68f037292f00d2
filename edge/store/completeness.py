"""When a study may be read, and when no more images of it are to be expected.

A study is read as soon as every delivery that brought its images has ended: its result is
provisional. It is final once nothing came for its quiet time (monotonic clock) and its last
delivery was not broken off. Images that come to a provisional study wait for the quiet time,
so that a series that trickles in makes two versions and not hundreds; those that come to a
final one are read when their delivery ends. Rejected: waiting for the quiet time before any
reading, which makes each patient wait; a reading at each release, which reads a series once
a slice; the number of images of the study, which senders do not tell.
"""

from __future__ import annotations

from sqlite_utils import Database

from edge import clock
from edge.store import associations
from edge.store.database import writing

_PATIENCE_S = 30.0
"""A sender that moves an archive over one association must not keep the first study of it from its reading."""
_COMING = """EXISTS (SELECT 1 FROM instances WHERE study_id = studies.id AND association_id IN (
    SELECT id FROM associations WHERE state = 'open' UNION ALL
    SELECT association_id FROM instances
        WHERE state = 'received' AND needed_bytes = 0 AND association_id IS NOT NULL))"""
_QUIET = "(boot_id != :boot OR :now - touched_s >= quiet_s)"
_FORGOTTEN = "(boot_id != :boot OR :now - touched_s >= :patience)"

BROKEN_OFF = """coalesce((SELECT associations.state FROM associations
    WHERE id IN (SELECT association_id FROM instances WHERE study_id = studies.id)
    ORDER BY ended DESC LIMIT 1) IN ('aborted', 'lost'), 0)"""
"""SQL: whether the delivery of a study that ended last was broken off."""


def look(database: Database) -> bool:
    """Find lost deliveries and settle every study that waits for something; whether any study moved on."""
    with writing(database):
        associations.lose(database)
        return settle(database)


def touch(database: Database, study_id: int, quiet_s: int) -> None:
    """Note that a new image came to a study, inside the caller's transaction, and settle it."""
    database.execute(
        """UPDATE studies SET unread = 1, touched_s = ?, boot_id = ?, quiet_s = ?, newest_instance_id =
               (SELECT max(id) FROM instances WHERE study_id = studies.id) WHERE id = ?""",
        (clock.monotonic(), clock.boot_id(), quiet_s, study_id),
    )
    settle(database, study_id)


def settle(database: Database, study_id: int | None = None) -> bool:
    """Make ready what may be read now, and final what is, inside the caller's transaction.

    Parameters
    ----------
    study_id : only this study; all of them if None.

    Returns
    -------
    Whether any study moved on.
    """
    values = {"now": clock.monotonic(), "boot": clock.boot_id(), "patience": _PATIENCE_S, "id": study_id}
    waiting = "(:id IS NULL OR id = :id) AND (NOT is_final OR unread)"
    ready = database.execute(
        f"""UPDATE studies SET state = 'ready', attempts = 0, outages = 0
            WHERE {waiting} AND unread AND state NOT IN ('ready', 'running')
                AND (NOT {_COMING} OR {_FORGOTTEN}) AND (version = 0 OR is_final OR {_QUIET})""",  # noqa: S608
        values,
    )
    final = database.execute(
        f"""UPDATE studies SET is_final = 1 WHERE {waiting} AND NOT unread AND state IN ('done', 'no_result', 'failed')
                AND {_QUIET} AND NOT {_COMING} AND NOT {BROKEN_OFF}""",  # noqa: S608
        values,
    )
    return ready.rowcount + final.rowcount > 0
