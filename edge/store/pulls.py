"""What the box asks other machines for, as jobs: a worklist entry, priors, and the studies that are priors.

The process ``fetch`` alone works on them. A job tells how often it was tried, never when to try
again: the wall clock of the box may jump, so that the waits live in that process, on the
monotonic clock. Jobs are born here, from studies that have a first result, so that nothing
which is asked of a slow PACS can delay a reading. Rejected: a job in the transaction that
parses an image, which would tell the worker of the PACS.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Any

from sqlite_utils import Database

from edge.store.database import writing
from edge.store.priors import prior

RADIOGRAPHY = ("CR", "DX", "DR", "RG")
"""Modality of a projection radiograph; units of one kind write any of them."""
MOST_ATTEMPTS = 20
_LOOKED_AT = 200
_UNSETTLED = "('received', 'parsed', 'ready', 'running')"


class Kind(str, Enum):
    """What is asked for."""

    WORKLIST = "worklist"
    PRIORS = "priors"
    STUDY = "study"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pull:
    """One job. ``study`` is the row of the study that it is done for."""

    pull_id: int
    kind: Kind
    attempts: int
    study_instance_uid: str
    series_instance_uids: Sequence[str]
    study: Mapping[str, Any]


_WANTED = MappingProxyType(
    {
        Kind.PRIORS: f"state = 'done' AND modality IN {RADIOGRAPHY} AND patient_name != '' AND birth_date != ''",
        Kind.WORKLIST: "study_instance_uid IS NOT NULL AND accession_number = ''",
    }
)


def plan(database: Database, kinds: Iterable[Kind]) -> None:
    """Make jobs for studies that were read lately and have none; a prior asks for nothing itself."""
    for kind in kinds:
        with writing(database):
            database.execute(
                f"""INSERT INTO pulls (study_id, kind)
                    SELECT id, ?1 FROM studies WHERE patient_id != '' AND NOT is_prior AND {_WANTED[kind]}
                        AND id IN (SELECT study_id FROM results ORDER BY id DESC LIMIT ?2)
                        AND NOT EXISTS (SELECT 1 FROM pulls WHERE study_id = studies.id AND kind = ?1)""",  # noqa: S608
                (kind.value, _LOOKED_AT),
            )


def claim(database: Database, kinds: Iterable[Kind]) -> Pull | None:
    """Take the job of these kinds that was tried least, or None."""
    wanted = [kind.value for kind in kinds]
    with writing(database):
        row = database.execute(
            f"""UPDATE pulls SET state = 'running', attempts = attempts + 1 WHERE id =
                    (SELECT id FROM pulls WHERE state = 'queued' AND kind IN ({", ".join("?" * len(wanted))})
                     ORDER BY attempts, id LIMIT 1)
                RETURNING *""",  # noqa: S608
            wanted,
        ).fetchone()
        if row is None:
            return None
        study = database.execute(
            """SELECT studies.*, (SELECT max(calling_ae_title) FROM instances WHERE study_id = studies.id)
                   AS calling_ae_title FROM studies WHERE id = ?""",
            (row["study_id"],),
        ).fetchone()
    return Pull(
        pull_id=row["id"],
        kind=Kind(row["kind"]),
        attempts=row["attempts"],
        study_instance_uid=row["study_instance_uid"],
        series_instance_uids=json.loads(row["series_instance_uids"]),
        study=dict(study),
    )


def end(database: Database, pull: Pull, code: str | None) -> None:
    """End a job; a study that came waits for its reading."""
    came = pull.kind is Kind.STUDY
    with writing(database):
        database.execute(
            "UPDATE pulls SET state = ?, code = ?, newest_instance = (SELECT max(id) FROM instances) WHERE id = ?",
            ("came" if came else "done", code, pull.pull_id),
        )


def fail(database: Database, pull: Pull, code: str, *, retriable: bool) -> None:
    """Put a job back, or give it up after ``MOST_ATTEMPTS``."""
    state = "queued" if retriable and pull.attempts < MOST_ATTEMPTS else "failed"
    with writing(database):
        database.execute("UPDATE pulls SET state = ?, code = ? WHERE id = ?", (state, code, pull.pull_id))


def recover(database: Database) -> None:
    """Put back what a process that was killed had begun; what killed it too often is given up."""
    with writing(database):
        database.execute(
            """UPDATE pulls SET state = iif(attempts < ?, 'queued', 'failed'), code = 'interrupted'
               WHERE state = 'running'""",
            (MOST_ATTEMPTS,),
        )


def add_studies(database: Database, pull: Pull, found: Mapping[str, Sequence[str]]) -> None:
    """End a search for priors with the studies to fetch (series by Study Instance UID); what the box has it leaves."""
    with writing(database):
        for study_uid, series_uids in found.items():
            database.execute(
                """INSERT INTO pulls (study_id, kind, study_instance_uid, series_instance_uids)
                   SELECT ?1, 'study', ?2, ?3 WHERE NOT EXISTS (SELECT 1 FROM studies WHERE study_instance_uid = ?2)
                   ON CONFLICT DO NOTHING""",
                (pull.study["id"], study_uid, json.dumps(list(series_uids))),
            )
        database.execute("UPDATE pulls SET state = 'done', code = NULL WHERE id = ?", (pull.pull_id,))


def fill_accession_number(database: Database, pull: Pull, accession_number: str) -> None:
    """Give a study the accession number of its worklist entry; never over one that came with an image."""
    with writing(database):
        database.execute(
            "UPDATE studies SET accession_number = ? WHERE id = ? AND accession_number = ''",
            (accession_number, pull.study["id"]),
        )
        database.execute("UPDATE pulls SET state = 'done', code = 'matched' WHERE id = ?", (pull.pull_id,))


def settle(database: Database) -> list[int]:
    """Have studies read again whose priors came and were read, each once; return their ids."""
    with writing(database):
        rows = database.execute(
            f"""SELECT DISTINCT study_id FROM pulls JOIN studies ON studies.id = study_id
                WHERE pulls.state = 'came' AND studies.state NOT IN {_UNSETTLED}
                    AND NOT EXISTS (SELECT 1 FROM pulls AS other WHERE other.study_id = pulls.study_id AND
                        (other.state IN ('queued', 'running') AND other.kind = 'study'
                         OR EXISTS (SELECT 1 FROM instances
                             WHERE state = 'received' AND needed_bytes = 0 AND id <= other.newest_instance)
                         OR EXISTS (SELECT 1 FROM studies AS earlier WHERE other.kind = 'study' AND
                             earlier.study_instance_uid = other.study_instance_uid AND earlier.state IN {_UNSETTLED})))
            """  # noqa: S608
        ).fetchall()
        found = [int(row["study_id"]) for row in rows]
        for study_id in found:
            database.execute("UPDATE pulls SET state = 'done' WHERE state = 'came' AND study_id = ?", (study_id,))
        again = [study_id for study_id in found if _has_new_prior(database, study_id)]
        for study_id in again:
            database.execute("UPDATE studies SET state = 'ready', attempts = 0 WHERE id = ?", (study_id,))
    return again


def _has_new_prior(database: Database, study_id: int) -> bool:
    row = database.execute(
        """SELECT json_extract(result, '$.severity.change.study_key') AS study_key
           FROM studies JOIN results ON results.study_id = studies.id AND results.version = studies.version
           WHERE studies.id = ? AND studies.state = 'done' AND decision IS NOT 'refer'""",
        (study_id,),
    ).fetchone()
    found = prior(database, study_id) if row else None
    return found is not None and found["study_key"] != row["study_key"]
