"""Studies on their way to a result: claimed by one worker, finished in one transaction.

A study found ``running`` when a worker starts was interrupted; it is put back once, and a
study that interrupts the worker twice is set aside, so that the others go on. Where the whole
box went down with the worker, the study is hardly at fault: it is put back more often. Each
set of instances gets one version of a result.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlite_utils import Database

from edge import clock
from edge.config import DestinationSettings
from edge.errors import ReadingError, StatedAgeError
from edge.store import completeness, outbox
from edge.store.database import folder_of, writing
from edge.store.journal import Action, note
from edge.store.priors import prior
from edge.types import Remark, State

_ASKING = frozenset({"age_unknown", "age_stated"})  # remarks of a reading whose header gave no age
MAX_ATTEMPTS = 2
MAX_OUTAGES = 5
"""A study that takes the machine down with it must not do so for ever."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A study that this worker reads now.

    Attributes
    ----------
    sources : (instance id, path) of its images, oldest first.
    stated_age_years : the patient's age as entered on the page, or None.
    prior : severity of the same patient's newest earlier study, with its ``study_key`` and ``completed_at``.
    set_sha256 : digest of all that the result depends on: the instances, the stated age and the prior.
    """

    study_id: int
    study_key: str
    next_version: int
    sources: tuple[tuple[int, Path], ...]
    stated_age_years: int | None
    prior: Mapping[str, Any] | None
    set_sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A finished reading. ``result`` is the ``chest-edge/result/1`` object."""

    state: State
    decision: str | None
    reasons: Sequence[dict[str, Any]]
    result: dict[str, Any]
    completed_at: datetime
    has_preview: bool


def claim(database: Database, *, series: bool = True, run_id: str = "") -> Claim | None:
    """Take the oldest ready study, or None; no two claims ever return the same one.

    A study whose newest result was made of the very same set keeps that result.

    Parameters
    ----------
    series : also take CT studies, whose slices arrive one by one.
    run_id : the run of the box that takes it, see ``recover``.
    """
    with writing(database):
        while (claimed := _take(database, series, run_id)) is not None:
            if not _restored(database, claimed):
                return claimed
    return None


def complete(
    database: Database, claimed: Claim, outcome: Outcome, destinations: Iterable[DestinationSettings] = ()
) -> None:
    """Store a new version of the study's result, its state, and what is to be sent of it, together or not at all."""
    completed_at = outcome.completed_at.isoformat()
    with writing(database):
        database.table("results").insert(
            {
                "study_id": claimed.study_id,
                "version": claimed.next_version,
                "state": outcome.state.value,
                "has_preview": outcome.has_preview,
                "result": json.dumps(outcome.result),
                "set_sha256": claimed.set_sha256,
                "completed_at": completed_at,
                "clock_trusted": clock.is_trusted(folder_of(database)),
            }
        )
        database.execute(
            """UPDATE studies SET state = ?, decision = ?, reasons = ?, version = ?, has_preview = ?, completed_at = ?,
                   modality = ifnull(?, modality), is_final = 0 WHERE id = ?""",
            (
                outcome.state.value,
                outcome.decision,
                json.dumps(list(outcome.reasons)),
                claimed.next_version,
                outcome.has_preview,
                completed_at,
                outcome.result.get("modality"),
                claimed.study_id,
            ),
        )
        completeness.settle(database, claimed.study_id)
        if outcome.state in (State.DONE, State.NO_RESULT):
            rank = outbox.urgency(outcome.decision, outcome.result)
            outbox.plan(database, claimed.study_id, claimed.next_version, rank, destinations)


def keep_result(database: Database, claimed: Claim) -> bool:
    """End a reading that found nothing readable with the result that the study had; False where it had none."""
    with writing(database):
        return _kept(database, claimed)


def decode_again(database: Database, claimed: Claim, instance_id: int) -> None:
    """Have one image of a study parsed again before the study is; until then the study shows what it had.

    The attempts at the image go on counting, so that it is set aside by itself in the end.
    """
    with writing(database):
        database.execute("UPDATE instances SET state = 'received' WHERE id = ?", (instance_id,))
        if not _kept(database, claimed):
            database.execute("UPDATE studies SET state = 'parsed' WHERE id = ?", (claimed.study_id,))


def fail(database: Database, study_id: int, remark: Remark, completed_at: datetime) -> None:
    """End a study without a result; earlier versions stay."""
    with writing(database):
        database.execute(
            """UPDATE studies SET state = 'failed', decision = NULL, reasons = ?, completed_at = ?, is_final = 0
               WHERE id = ?""",
            (json.dumps([remark.as_json()]), completed_at.isoformat(), study_id),
        )
        completeness.settle(database, study_id)


def recover(database: Database, now: datetime, *, run_id: str = "", fault: ReadingError | None = None) -> int:
    """Put interrupted work back, or set studies aside that were interrupted too often.

    Parameters
    ----------
    run_id : this run of the box. Work that another run had taken was interrupted by the end of
        the whole box: that counts as an outage and not as an attempt.
    fault : how the worker ended that had taken the work, for a study that is set aside.

    Returns
    -------
    How many studies were interrupted.
    """
    with writing(database):
        for table, state in (("studies", "running"), ("instances", "received")):
            database.execute(
                f"""UPDATE {table} SET attempts = attempts - 1, outages = outages + 1, run_id = ?
                    WHERE state = ? AND attempts > 0 AND run_id != ? AND outages < ?""",  # noqa: S608
                (run_id, state, run_id, MAX_OUTAGES),
            )
    interrupted = database.execute("SELECT id, attempts, outages FROM studies WHERE state = 'running'").fetchall()
    for row in interrupted:
        if row["outages"] >= MAX_OUTAGES:
            fail(database, row["id"], ReadingError("reading_outages", count=row["outages"]).remark(), now)
        elif row["attempts"] >= MAX_ATTEMPTS:
            fail(database, row["id"], (fault or ReadingError("reading_crashed")).remark(), now)
        else:
            _put_back(database, row["id"])
    return len(interrupted)


def retry(database: Database, codes: Iterable[str]) -> None:
    """Put back studies that failed for one of these reasons, whose cause has been repaired."""
    wanted = list(codes)
    places = ", ".join("?" * len(wanted))
    with writing(database):
        database.execute(
            f"""UPDATE studies SET state = 'ready', attempts = 0, outages = 0 WHERE state = 'failed' AND EXISTS
                (SELECT 1 FROM json_each(reasons) WHERE json_extract(value, '$.code') IN ({places}))""",  # noqa: S608
            wanted,
        )


def state_age(database: Database, study_key: str, years: int) -> bool:
    """Keep an age that a person stated, and have the study read again with it.

    An age that is already kept changes nothing, so that a second touch does no harm.

    Returns
    -------
    False where there is no such study.

    Raises
    ------
    StatedAgeError
        ``being_read``: the reading that runs would not know the age; ``no_reading``: there is none to repeat;
        ``age_in_header``: the reading would not use it.
    """
    with writing(database):
        row = database.execute(
            """SELECT studies.*, result FROM studies
               LEFT JOIN results ON results.study_id = studies.id AND results.version = studies.version
               WHERE study_key = ?""",
            (study_key,),
        ).fetchone()
        if row is None or row["stated_age_years"] == years:
            return row is not None
        _check_takes_age(row)
        database.execute(
            "UPDATE studies SET stated_age_years = ?, state = 'ready', attempts = 0, outages = 0 WHERE study_key = ?",
            (years, study_key),
        )
        note(database, Action.AGE_STATED, study_key=study_key)
        return True


def release(database: Database) -> None:
    """Put back what the worker holds after the box, not the study, failed: the attempt does not count."""
    with writing(database):
        database.execute("UPDATE studies SET state = 'ready', attempts = attempts - 1 WHERE state = 'running'")
        database.execute("UPDATE instances SET attempts = 0 WHERE state = 'received'")


def _take(database: Database, series: bool, run_id: str) -> Claim | None:
    row = database.execute(
        """UPDATE studies SET state = 'running', attempts = attempts + 1, unread = 0, run_id = ? WHERE id =
               (SELECT id FROM studies WHERE state = 'ready' AND (? OR modality IS NOT 'CT')
                    AND NOT (is_prior AND EXISTS
                        (SELECT 1 FROM instances WHERE state = 'received' AND needed_bytes = 0))
                ORDER BY is_prior, id LIMIT 1)
           RETURNING id, study_key, version, stated_age_years""",
        (run_id, series),
    ).fetchone()
    if row is None:
        return None
    earlier, age_years = prior(database, row["id"]), row["stated_age_years"]
    return Claim(
        study_id=row["id"],
        study_key=row["study_key"],
        next_version=row["version"] + 1,
        sources=_sources(database, row["id"]),
        stated_age_years=age_years,
        prior=earlier,
        set_sha256=_digest(database, row["id"], [age_years, earlier]),
    )


def _digest(database: Database, study_id: int, known: list[Any]) -> str:
    query = "SELECT sha256 FROM instances WHERE study_id = ? AND state = 'parsed' ORDER BY sha256"
    contents = [row["sha256"] for row in database.execute(query, (study_id,))]
    return hashlib.sha256(json.dumps([contents, *known], sort_keys=True).encode()).hexdigest()


def _restored(database: Database, claimed: Claim) -> bool:
    """Whether the newest result was made of the same set; the study then stands as that result left it."""
    row = database.execute(
        "SELECT * FROM results WHERE study_id = ? AND version = ? AND set_sha256 = ? AND state != 'failed'",
        (claimed.study_id, claimed.next_version - 1, claimed.set_sha256),
    ).fetchone()
    if row is None:
        return False
    _show(database, claimed, row)
    return True


def _kept(database: Database, claimed: Claim) -> bool:
    row = database.execute(
        "SELECT * FROM results WHERE study_id = ? AND version = ?", (claimed.study_id, claimed.next_version - 1)
    ).fetchone()
    if row is not None:
        _show(database, claimed, row)
    return row is not None


def _show(database: Database, claimed: Claim, row: Any) -> None:
    result = json.loads(row["result"])
    database.execute(
        """UPDATE studies SET state = ?, decision = ?, reasons = ?, completed_at = ?, modality = ifnull(?, modality)
           WHERE id = ?""",
        (
            row["state"],
            (result.get("classification") or {}).get("decision"),
            json.dumps(result.get("reasons", [])),
            row["completed_at"],
            result.get("modality"),
            claimed.study_id,
        ),
    )
    completeness.settle(database, claimed.study_id)


def _check_takes_age(study: Any) -> None:
    if study["state"] not in (State.DONE.value, State.READY.value):
        raise StatedAgeError("being_read" if study["state"] == State.RUNNING.value else "no_reading")
    if study["result"] is None:
        raise StatedAgeError("being_read")
    remarks = json.loads(study["result"]).get("quality") or []
    if not {remark["code"] for remark in remarks} & _ASKING:
        raise StatedAgeError("age_in_header")


def _put_back(database: Database, study_id: int) -> None:
    with writing(database):
        database.execute("UPDATE studies SET state = 'ready' WHERE id = ?", (study_id,))


def _sources(database: Database, study_id: int) -> tuple[tuple[int, Path], ...]:
    query = "SELECT id, path FROM instances WHERE study_id = ? AND state = 'parsed' ORDER BY id"
    return tuple((row["id"], Path(row["path"])) for row in database.execute(query, (study_id,)))
