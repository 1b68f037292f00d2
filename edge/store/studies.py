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
from edge.store.completeness import BROKEN_OFF
from edge.store.database import opened
from edge.types import State

_KEY = re.compile(r"[0-9a-f]{32}")
_QUERY = f"""
    SELECT studies.*, (SELECT count(*) FROM instances WHERE study_id = studies.id
            AND (state != 'quarantined' OR studies.state = 'quarantined')) AS instance_count,
        NOT is_final AND {BROKEN_OFF} AS is_broken_off,
        EXISTS (SELECT 1 FROM instances
            WHERE study_id = studies.id AND state = 'received' AND needed_bytes > 0) AS waits_for_room,
        EXISTS (SELECT 1 FROM outbox WHERE study_id = studies.id AND state = 'dead') AS is_stuck,
        NOT EXISTS (SELECT 1 FROM instances WHERE study_id = studies.id AND NOT clock_trusted)
        AND NOT EXISTS (SELECT 1 FROM results WHERE study_id = studies.id AND NOT clock_trusted) AS clock_trusted
    FROM studies
"""  # noqa: S608
_READ = frozenset({State.DONE, State.NO_RESULT, State.FAILED})


@dataclass(frozen=True, slots=True, kw_only=True)
class WorklistRow:
    """One line of the worklist.

    Attributes
    ----------
    study_key : 32 hexadecimal digits, the only identifier that may stand in a URL.
    decision : ``normal``, ``abnormal`` or ``refer`` of the newest result; None unless ``state`` is done.
    reasons : entries as in ``chest-edge/result/1``, with ``message`` and ``values`` to translate.
    modality : that of the images that the newest result is about.
    version : the newest result's number, 0 without one.
    is_provisional : whether the study was read and more images of it may come.
    is_broken_off : whether its sender broke off, so that images may be missing.
    clock_trusted : False where the clock could not be right when an image came or a result was made.
    is_prior : the box fetched it to compare another study with.
    waits_for_room : an image of it is read only once there is more room on the disk.
    is_stuck : something of its result could not be sent, and somebody has to look.
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
    is_provisional: bool
    is_broken_off: bool
    clock_trusted: bool
    is_prior: bool
    waits_for_room: bool
    is_stuck: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyView(WorklistRow):
    """One study with a result of it (``chest-edge/result/1``) and the numbers and moments of all its versions.

    ``is_old`` tells that there is a newer result; then the state, the decision, the reasons and the
    times are those of the older one.
    """

    is_old: bool
    result: dict[str, Any] | None
    versions: list[int]
    version_times: list[str]
    accession_number: str
    birth_date: date | None
    acquired_at: datetime | None
    sex: str
    pulled: list[tuple[str, str]]


def worklist(source: Path | Database, limit: int) -> list[WorklistRow]:
    """The newest studies, at most ``limit``: that of the newest image first.

    A study moves up when a new image of it comes, since somebody waits for it; one that is only
    read again stays where it is. What was fetched as a prior stands behind all others: it is old,
    and nobody waits for it.

    Raises
    ------
    StorageError
        Where the database cannot be opened.
    """
    with opened(source) as database:
        rows = database.execute(f"{_QUERY} ORDER BY is_prior, newest_instance_id DESC LIMIT ?", (limit,)).fetchall()
    return [WorklistRow(**_line(row)) for row in rows]


def study(source: Path | Database, study_key: str, version: int | None = None) -> StudyView | None:
    """One study by its key, or None.

    Parameters
    ----------
    version : the number of the result to show; the newest if None.
    """
    with opened(source) as database:
        row = database.execute(f"{_QUERY} WHERE study_key = ?", (study_key,)).fetchone()
        if row is None:
            return None
        results = database.execute("SELECT * FROM results WHERE study_id = ? ORDER BY version", (row["id"],)).fetchall()
        pulled = database.execute(
            """SELECT DISTINCT kind, iif(state = 'failed', state, code) AS code FROM pulls
               WHERE study_id = ? AND state IN ('done', 'failed') AND code IS NOT NULL ORDER BY kind, code""",
            (row["id"],),
        ).fetchall()
    versions = [int(result["version"]) for result in results]
    if version is not None and version not in versions:
        return None
    shown = results[-1 if version is None else versions.index(version)] if results else None
    result = json.loads(shown["result"]) if shown else None
    is_old = shown is not None and shown["version"] != versions[-1]
    return StudyView(
        **(_line(row) | (_older(shown, result or {}) if is_old else {})),
        is_old=is_old,
        result=result,
        versions=versions,
        version_times=[result["completed_at"] for result in results],
        accession_number=row["accession_number"],
        birth_date=date.fromisoformat(row["birth_date"]) if row["birth_date"] else None,
        acquired_at=datetime.fromisoformat(row["acquired_at"]) if row["acquired_at"] else None,
        sex=row["sex"],
        pulled=[(ended["kind"], ended["code"]) for ended in pulled],
    )


def images(database: Database, study_key: str) -> list[tuple[str, str]]:
    """The path below ``incoming`` and the state of each object of a study, in the order in which they came."""
    rows = database.execute(
        """SELECT instances.path, instances.state FROM instances JOIN studies ON studies.id = study_id
           WHERE study_key = ? ORDER BY instances.id""",
        (study_key,),
    )
    return [(row["path"], row["state"]) for row in rows]


def counts(database: Database) -> dict[str, int]:
    """How many studies could be read, how many of all nobody has seen as they are now, how many were set aside."""
    row = database.execute(
        """SELECT coalesce(sum(state != 'quarantined'), 0) AS studies,
               coalesce(sum(viewed_as IS NOT state || ' ' || version), 0) AS unseen,
               coalesce(sum(state = 'quarantined'), 0) AS set_aside FROM studies"""
    ).fetchone()
    return dict(row)


def preview_path(settings: Settings, study_key: str, version: int) -> Path:
    """Where the picture of a result is: a JPEG of up to 1600 pixels a side."""
    return _picture(settings, study_key, version, "preview.jpg")


def thumbnail_path(settings: Settings, study_key: str, version: int) -> Path:
    """Where the small picture of a result is: a JPEG of up to 160 pixels a side."""
    return _picture(settings, study_key, version, "thumbnail.jpg")


def stack_path(settings: Settings, study_key: str, version: int) -> Path:
    """Where the pictures of a CT result are: a file of ``edge.store.stack``."""
    return _picture(settings, study_key, version, "stack.zip")


def _picture(settings: Settings, study_key: str, version: int, name: str) -> Path:
    if not _KEY.fullmatch(study_key):
        raise ValueError("expected a study key of 32 hexadecimal digits")
    return settings.results / study_key / str(version) / name


def _older(shown: Any, result: dict[str, Any]) -> dict[str, Any]:
    return {
        "state": State(shown["state"]),
        "decision": (result.get("classification") or {}).get("decision"),
        "reasons": result.get("reasons") or [],
        "modality": result.get("modality"),
        "completed_at": datetime.fromisoformat(shown["completed_at"]),
        "has_preview": bool(shown["has_preview"]),
        "version": int(shown["version"]),
        "is_provisional": False,
        "is_broken_off": False,
    }


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
        "is_provisional": state in _READ and bool(row["unread"] or not row["is_final"]),
        "clock_trusted": bool(row["clock_trusted"]),
        "is_broken_off": state in _READ and bool(row["is_broken_off"]),
        "is_prior": bool(row["is_prior"]),
        "waits_for_room": bool(row["waits_for_room"]),
        "is_stuck": bool(row["is_stuck"]),
    }
