"""Studies on their way to a result: claimed by one worker, finished in one transaction.

A study found ``running`` when a worker starts was interrupted; it is put back once, and a
study that interrupts the worker twice is set aside, so that the others go on.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlite_utils import Database

from edge.errors import ReadingError, StatedAgeError
from edge.store.database import writing
from edge.store.priors import prior
from edge.types import Remark, State

MAX_ATTEMPTS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A study that this worker reads now.

    Attributes
    ----------
    sources : (instance id, path) of its images, oldest first.
    stated_age_years : the patient's age as entered on the page, or None.
    prior : severity of the same patient's newest earlier study, with its ``study_key`` and ``completed_at``.
    """

    study_id: int
    study_key: str
    next_version: int
    sources: tuple[tuple[int, Path], ...]
    stated_age_years: int | None
    prior: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A finished reading. ``result`` is the ``chest-edge/result/1`` object."""

    state: State
    decision: str | None
    reasons: Sequence[dict[str, Any]]
    result: dict[str, Any]
    completed_at: datetime
    has_preview: bool


def claim(database: Database, *, series: bool = True) -> Claim | None:
    """Take the oldest ready study, or None; no two claims ever return the same one.

    Parameters
    ----------
    series : also take CT studies, whose slices arrive one by one.
    """
    with writing(database):
        row = database.execute(
            """UPDATE studies SET state = 'running', attempts = attempts + 1 WHERE id =
                   (SELECT id FROM studies WHERE state = 'ready' AND (? OR modality IS NOT 'CT')
                    ORDER BY is_prior, id LIMIT 1)
               RETURNING id, study_key, version, stated_age_years""",
            (series,),
        ).fetchone()
        if row is None:
            return None
        return Claim(
            study_id=row["id"],
            study_key=row["study_key"],
            next_version=row["version"] + 1,
            sources=_sources(database, row["id"]),
            stated_age_years=row["stated_age_years"],
            prior=prior(database, row["id"]),
        )


def complete(database: Database, claimed: Claim, outcome: Outcome) -> None:
    """Store a new version of the study's result and its state, together or not at all."""
    completed_at = outcome.completed_at.isoformat()
    with writing(database):
        database.table("results").insert(
            {
                "study_id": claimed.study_id,
                "version": claimed.next_version,
                "state": outcome.state.value,
                "has_preview": outcome.has_preview,
                "result": json.dumps(outcome.result),
                "completed_at": completed_at,
            }
        )
        database.execute(
            """UPDATE studies SET state = ?, decision = ?, reasons = ?, version = ?, has_preview = ?, completed_at = ?
               WHERE id = ?""",
            (
                outcome.state.value,
                outcome.decision,
                json.dumps(list(outcome.reasons)),
                claimed.next_version,
                outcome.has_preview,
                completed_at,
                claimed.study_id,
            ),
        )


def fail(database: Database, study_id: int, remark: Remark, completed_at: datetime) -> None:
    """End a study without a result; earlier versions stay."""
    with writing(database):
        database.execute(
            "UPDATE studies SET state = 'failed', decision = NULL, reasons = ?, completed_at = ? WHERE id = ?",
            (json.dumps([remark.as_json()]), completed_at.isoformat(), study_id),
        )


def recover(database: Database, now: datetime) -> int:
    """Put interrupted studies back, or set them aside after ``MAX_ATTEMPTS``; return how many there were."""
    interrupted = database.execute("SELECT id, attempts FROM studies WHERE state = 'running'").fetchall()
    for row in interrupted:
        if row["attempts"] >= MAX_ATTEMPTS:
            fail(database, row["id"], ReadingError("reading_crashed").remark(), now)
        else:
            _put_back(database, row["id"])
    return len(interrupted)


def retry(database: Database, codes: Iterable[str]) -> None:
    """Put back studies that failed for one of these reasons, whose cause has been repaired."""
    wanted = list(codes)
    places = ", ".join("?" * len(wanted))
    with writing(database):
        database.execute(
            f"""UPDATE studies SET state = 'ready', attempts = 0 WHERE state = 'failed' AND EXISTS
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
        ``being_read``: the reading that runs would not know the age; ``no_reading``: there is none to repeat.
    """
    with writing(database):
        row = database.execute(
            "SELECT state, stated_age_years FROM studies WHERE study_key = ?", (study_key,)
        ).fetchone()
        if row is None or row["stated_age_years"] == years:
            return row is not None
        if row["state"] not in (State.DONE.value, State.READY.value):
            raise StatedAgeError("being_read" if row["state"] == State.RUNNING.value else "no_reading")
        database.execute(
            "UPDATE studies SET stated_age_years = ?, state = 'ready', attempts = 0 WHERE study_key = ?",
            (years, study_key),
        )
        return True


def release(database: Database) -> None:
    """Put back what the worker holds after the box, not the study, failed: the attempt does not count."""
    with writing(database):
        database.execute("UPDATE studies SET state = 'ready', attempts = attempts - 1 WHERE state = 'running'")
        database.execute("UPDATE instances SET attempts = 0 WHERE state = 'received'")


def _put_back(database: Database, study_id: int) -> None:
    with writing(database):
        database.execute("UPDATE studies SET state = 'ready' WHERE id = ?", (study_id,))


def _sources(database: Database, study_id: int) -> tuple[tuple[int, Path], ...]:
    query = "SELECT id, path FROM instances WHERE study_id = ? AND state = 'parsed' ORDER BY id"
    return tuple((row["id"], Path(row["path"])) for row in database.execute(query, (study_id,)))
