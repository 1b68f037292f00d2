"""What the page reads: the worklist, one study, and where its pictures are."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from sqlite_utils import Database

from edge.config import Settings
from edge.store.database import opened
from edge.types import State

_KEY = re.compile(r"[0-9a-f]{32}")
_QUERY = """
    SELECT studies.*, (SELECT count(*) FROM instances WHERE study_id = studies.id) AS instance_count FROM studies
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorklistRow:
    """One line of the worklist.

    Attributes
    ----------
    study_key : 32 hexadecimal digits, the only identifier that may stand in a URL.
    decision : ``normal``, ``abnormal`` or ``refer`` of the newest result; None unless ``state`` is done.
    reasons : entries as in ``chest-edge/result/1``, with ``message`` and ``values`` to translate.
    version : the newest result's number, 0 without one.
    is_prior : the box fetched it to compare another study with.
    """

    study_key: str
    state: State
    decision: str | None
    reasons: list[dict[str, Any]]
    patient_name: str
    patient_id: str
    modality: str | None
    received_at: datetime
    completed_at: datetime | None
    has_preview: bool
    version: int
    instance_count: int
    is_prior: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyView(WorklistRow):
    """One study with its newest result (``chest-edge/result/1``) and the numbers of all its versions.

    Attributes
    ----------
    pulled : (kind, code) of each request to a PACS or a worklist that ended, such as ``("worklist", "matched")``;
        the code of one that was given up is ``failed``.
    """

    result: dict[str, Any] | None
    versions: list[int]
    accession_number: str
    birth_date: date | None
    sex: str
    pulled: list[tuple[str, str]]


def worklist(source: Path | Database, limit: int) -> list[WorklistRow]:
    """The newest studies, newest first, at most ``limit``; those that were fetched as priors stand behind all others.

    Raises
    ------
    StorageError
        Where the database cannot be opened.
    """
    with opened(source) as database:
        rows = database.execute(f"{_QUERY} ORDER BY is_prior, id DESC LIMIT ?", (limit,)).fetchall()
    return [WorklistRow(**_line(row)) for row in rows]


def study(source: Path | Database, study_key: str) -> StudyView | None:
    """One study by its key, or None."""
    with opened(source) as database:
        row = database.execute(f"{_QUERY} WHERE study_key = ?", (study_key,)).fetchone()
        if row is None:
            return None
        results = database.execute(
            "SELECT version, result FROM results WHERE study_id = ? ORDER BY version", (row["id"],)
        ).fetchall()
        pulled = database.execute(
            """SELECT DISTINCT kind, iif(state = 'failed', state, code) AS code FROM pulls
               WHERE study_id = ? AND state IN ('done', 'failed') AND code IS NOT NULL ORDER BY kind, code""",
            (row["id"],),
        ).fetchall()
    return StudyView(
        **_line(row),
        result=json.loads(results[-1]["result"]) if results else None,
        versions=[int(result["version"]) for result in results],
        accession_number=row["accession_number"],
        birth_date=date.fromisoformat(row["birth_date"]) if row["birth_date"] else None,
        sex=row["sex"],
        pulled=[(ended["kind"], ended["code"]) for ended in pulled],
    )


def preview_path(settings: Settings, study_key: str, version: int) -> Path:
    """Where the picture of a result is: a JPEG of up to 1600 pixels a side."""
    return _picture(settings, study_key, version, "preview.jpg")


def thumbnail_path(settings: Settings, study_key: str, version: int) -> Path:
    """Where the small picture of a result is: a JPEG of up to 160 pixels a side."""
    return _picture(settings, study_key, version, "thumbnail.jpg")


def _picture(settings: Settings, study_key: str, version: int, name: str) -> Path:
    if not _KEY.fullmatch(study_key):
        raise ValueError("expected a study key of 32 hexadecimal digits")
    return settings.results / study_key / str(version) / name


def _line(row: Any) -> dict[str, Any]:
    state = State(row["state"])
    return {
        "study_key": row["study_key"],
        "state": state,
        "decision": row["decision"] if state is State.DONE else None,
        "reasons": json.loads(row["reasons"]),
        "patient_name": row["patient_name"],
        "patient_id": row["patient_id"],
        "modality": row["modality"],
        "received_at": datetime.fromisoformat(row["received_at"]),
        "completed_at": datetime.fromisoformat(row["completed_at"]) if row["completed_at"] else None,
        "has_preview": bool(row["has_preview"]),
        "version": row["version"],
        "instance_count": row["instance_count"],
        "is_prior": bool(row["is_prior"]),
    }
