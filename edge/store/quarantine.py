"""What was set aside: listed, handed out, and tried again where the outcome may be another one.

A file is judged by one version of the software; at the first start of another each is tried once
more, and so is one that only ran out of time or memory when its bytes are sent again. They
go only as any study does (``edge.store.retention``): seen, and for want of room. Rejected: a folder
of its own, since a file that is tried again would have to move.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlite_utils import Database

from edge import __version__
from edge.config import Settings
from edge.errors import SetupError
from edge.store.associations import Way
from edge.store.database import opened, writing
from edge.store.journal import printable

CHANCE_CODES = frozenset({"too_much_memory", "too_slow", "reader_crashed", "parser_limit"})
"""Reasons that do not tell of the file alone: the machine was busy, or a codec failed."""
DAMAGE_CODES = CHANCE_CODES | {"empty_file", "truncated", "undecodable", "file_lost"}
"""Reasons that the same object need not have when it is sent again."""
INDEX = "index.txt"

_LOST = "file_lost"
_WAYS = {Way.NETWORK: "-", Way.FOLDER: "folder", Way.STICK: "USB stick", Way.PROGRAM: "program on this box"}
_CAME_WHOLE = """EXISTS (SELECT 1 FROM instances AS whole WHERE whole.study_id = instances.study_id
    AND whole.state != 'quarantined' AND whole.sop_instance_uid = nullif(instances.sop_instance_uid, ''))"""
_AGAIN = f"""UPDATE instances SET state = 'received', attempts = 0, outages = 0, reason = NULL
             WHERE state = 'quarantined' AND json_extract(reason, '$.code') != ? AND {{which}}
                 AND NOT {_CAME_WHOLE} RETURNING study_id"""  # noqa: S608


@dataclass(frozen=True, slots=True, kw_only=True)
class SetAside:
    """One file that could not be read.

    Attributes
    ----------
    study_key : of the study row that shows it.
    name : of the file below ``incoming``.
    reason : an entry as in ``chest-edge/result/1``, with ``message`` and ``values`` to translate.
    sender : AE title and address, as far as they are known; for the page alone, since a title can hold a name.
    host : the address.
    way : by what it came where it has no such sender.
    came_whole : the same object came again and could be read; it is in the study of ``study_key``.
    """

    study_key: str
    name: str
    reason: dict[str, Any]
    sender: str
    host: str
    way: Way
    received_at: datetime
    size_bytes: int
    came_whole: bool


def listed(source: Path | Database, limit: int = -1) -> list[SetAside]:
    """What is set aside, newest first, at most ``limit``; all where that is negative."""
    with opened(source) as database:
        rows = database.execute(
            f"""SELECT instances.*, study_key, host, coalesce(way, '') AS way, {_CAME_WHOLE} AS came_whole
               FROM instances JOIN studies ON studies.id = study_id
               LEFT JOIN associations ON associations.id = association_id
               WHERE instances.state = 'quarantined' ORDER BY instances.id DESC LIMIT ?""",  # noqa: S608
            (limit,),
        ).fetchall()
    return [
        SetAside(
            study_key=row["study_key"],
            name=row["path"],
            reason=json.loads(row["reason"]),
            sender=" ".join(filter(None, (printable(row["calling_ae_title"]), row["host"]))),
            host=row["host"] or "",
            way=Way(row["way"]),
            received_at=datetime.fromisoformat(row["received_at"]),
            size_bytes=row["size_bytes"],
            came_whole=bool(row["came_whole"]),
        )
        for row in rows
    ]


def retry(database: Database, *, judged_elsewhere: bool = False) -> int:
    """Have what is set aside read again, and return how many files that are.

    Parameters
    ----------
    judged_elsewhere : only what another version of the software judged.
    """
    with writing(database):
        return _again(database, "(NOT ? OR judged_by != ?)", judged_elsewhere, __version__)


def settle(database: Database, instance_id: int, study_id: int, patient_id: str) -> None:
    """Put what was set aside as damaged into the study of the same object that came whole, in the caller's transaction.

    Nobody has to send it again. Its file is kept as long as the study; one of another patient stays as it is.
    """
    codes = ", ".join(f"'{code}'" for code in sorted(DAMAGE_CODES))
    damaged = database.execute(
        f"""SELECT instances.id, study_id FROM instances JOIN studies ON studies.id = study_id
            WHERE instances.state = 'quarantined' AND studies.state = 'quarantined' AND version = 0
                AND sop_instance_uid = (SELECT nullif(sop_instance_uid, '') FROM instances WHERE id = ?)
                AND patient_id IN ('', ?) AND json_extract(reason, '$.code') IN ({codes})""",  # noqa: S608
        (instance_id, patient_id),
    ).fetchall()
    for row in damaged:
        database.execute("UPDATE instances SET study_id = ? WHERE id = ?", (study_id, row["id"]))
        database.execute(
            "DELETE FROM studies WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM instances WHERE study_id = ?1)",
            (row["study_id"],),
        )


def gather(database: Database, instance_id: int, own: int, names: tuple[str, str]) -> int:
    """Put what was just set aside as another patient's beside the rest of its series, in the caller's transaction.

    Parameters
    ----------
    own : the study row that it has now.
    names : its Study and its Series Instance UID.

    Returns
    -------
    The study row that it has from now on.
    """
    named = "UPDATE instances SET study_instance_uid = ?, series_instance_uid = ? WHERE id = ?"
    database.execute(named, (*names, instance_id))
    like = database.execute(
        """SELECT min(other.study_id) AS study_id FROM instances AS this JOIN studies AS own ON own.id = this.study_id
               JOIN instances AS other USING (state, reason, study_instance_uid, series_instance_uid)
               JOIN studies AS its ON its.id = other.study_id
           WHERE this.id = ? AND other.id != this.id AND this.series_instance_uid != ''
               AND this.state = 'quarantined' AND json_extract(this.reason, '$.code') = 'other_patient'
               AND its.state = 'quarantined' AND its.version = 0
               AND its.patient_id = own.patient_id AND its.patient_name = own.patient_name""",
        (instance_id,),
    ).fetchone()["study_id"]
    if like is None or like == own:
        return own
    database.execute("UPDATE instances SET study_id = ? WHERE id = ?", (like, instance_id))
    newest = "UPDATE studies SET newest_instance_id = max(newest_instance_id, ?) WHERE id = ?"
    database.execute(newest, (instance_id, like))
    database.execute("DELETE FROM studies WHERE id = ?", (own,))
    return int(like)


def retry_one(database: Database, instance_id: int) -> bool:
    """Have a file read again whose bytes came again, if chance had a part in its judgement.

    Within the caller's transaction.
    """
    row = database.execute(
        "SELECT reason FROM instances WHERE id = ? AND state = 'quarantined'", (instance_id,)
    ).fetchone()
    if row is None or json.loads(row["reason"])["code"] not in CHANCE_CODES:
        return False
    return _again(database, "id = ?", instance_id) > 0


def export(settings: Settings, folder: Path) -> int:
    """Copy the files that are set aside, under their random names, with an index of why; return how many.

    The index holds nothing of a patient; the files may.

    Raises
    ------
    SetupError
        ``no_permission`` where the folder cannot be written.
    StorageError
        Where the database cannot be read.
    """
    found = listed(settings.database)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        copied = [item for item in found if _copy(settings.incoming / item.name, folder)]
        (folder / INDEX).write_text("".join(f"{line}\n" for line in lines(copied)), encoding="utf-8")
    except OSError as error:
        raise SetupError("no_permission", path=folder) from error
    return len(copied)


def lines(found: list[SetAside]) -> Iterator[str]:
    """Each file in one line, parted by tabs: name, code, when, address of the sender, bytes, the reason in words."""
    for item in found:
        when, size = item.received_at.isoformat(timespec="seconds"), str(item.size_bytes)
        sender = item.host or _WAYS[item.way]
        words = item.reason["text"] + (" It came again whole." if item.came_whole else "")
        yield "\t".join((item.name, item.reason["code"], when, sender, size, words))


def _copy(path: Path, folder: Path) -> bool:
    if not path.exists():
        return False
    shutil.copyfile(path, folder / path.name)
    return True


def _again(database: Database, which: str, *values: object) -> int:
    studies = [row["study_id"] for row in database.execute(_AGAIN.format(which=which), (_LOST, *values)).fetchall()]
    for study_id in studies:
        database.execute("UPDATE studies SET state = 'received', reasons = '[]' WHERE id = ?", (study_id,))
    return len(studies)
