"""Received objects: recorded before they are acknowledged, then attached to their study.

Each object is born with a study row of its own, so that everything acknowledged is on the
page from its first second; once its header is read it moves to the study that it names.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from datetime import date, datetime
from enum import Enum
from pathlib import Path

from sqlite_utils import Database

from edge import __version__
from edge.errors import UnreadableError
from edge.store import completeness, facts, journal
from edge.store import quarantine as quarantine_
from edge.store.associations import note_key
from edge.store.database import writing
from edge.types import Instance, Remark, State


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What became of a received object.

    Attributes
    ----------
    path : the file that holds it now, below ``incoming``.
    is_new : False for a second copy of content that another file holds.
    """

    instance_id: int
    study_key: str
    path: Path
    is_new: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A received object that nobody has parsed yet.

    Attributes
    ----------
    attempts : how often it was taken, this time included.
    """

    instance_id: int
    path: Path
    attempts: int


class Identity(str, Enum):
    """How a readable object stands to those that came before it.

    ``copy``: the same data set came before, perhaps another way. ``conflict``: another one with its identifier did.
    """

    NEW = "new"
    COPY = "copy"
    CONFLICT = "conflict"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attributes:
    """What the store keeps of an object's header.

    Attributes
    ----------
    acquired_at : local time of the modality, without a zone.
    """

    study_instance_uid: str | None
    series_instance_uid: str | None
    modality: str | None
    accession_number: str
    patient_name: str
    patient_id: str
    birth_date: date | None
    sex: str
    acquired_at: datetime | None = None


def add_received(
    database: Database, instance: Instance, association_id: int | None = None, *, is_counted: bool = False
) -> Receipt:
    """Record an object whose file is already safe on the disk.

    Parameters
    ----------
    association_id : the delivery that brought it; that of a second copy counts, since it may
        end well where the first was broken off.
    is_counted : whether its bytes count already as used.

    Raises
    ------
    StorageError
        Nothing was recorded; the object must not be acknowledged.
    """
    with writing(database):
        receipt = _same_content(database, instance)
        if receipt is not None and not receipt.is_new:
            quarantine_.retry_one(database, receipt.instance_id)
        if receipt is None:
            receipt = _insert(database, instance)
            facts.add(database, facts.USED_BYTES, 0 if is_counted else instance.size_bytes)
        if association_id is not None:
            database.execute(
                "UPDATE instances SET association_id = ? WHERE id = ?", (association_id, receipt.instance_id)
            )
            if receipt.is_new:
                journal.count(database, note_key(association_id))
        return receipt


def next_arrivals(database: Database, count: int, run_id: str = "", free_bytes: int = 0) -> list[Arrival]:
    """Take the oldest unparsed objects, at most so many, and count the attempt at each.

    One that was tried before is taken alone: where it ended the process, no other is to blame.

    Parameters
    ----------
    run_id : the run of the box that takes them, see ``queue.recover``.
    free_bytes : of the disk; what waits for more room than that is left alone, and what waits for less comes last.
    """
    with writing(database):
        rows = database.execute(
            """SELECT id, path, attempts FROM instances WHERE state = 'received' AND needed_bytes <= ?
               ORDER BY needed_bytes > 0, id LIMIT ?""",
            (free_bytes, count),
        ).fetchall()
        taken = rows[:1] if rows and rows[0]["attempts"] else [row for row in rows if not row["attempts"]]
        for row in taken:
            database.execute(
                "UPDATE instances SET attempts = attempts + 1, run_id = ? WHERE id = ?", (run_id, row["id"])
            )
    return [Arrival(instance_id=row["id"], path=Path(row["path"]), attempts=row["attempts"] + 1) for row in taken]


def hold(database: Database, instance_id: int, needed_bytes: int) -> None:
    """Have an object wait until the disk has room for its pixels; what was tried so far does not count."""
    with writing(database):
        database.execute(
            "UPDATE instances SET state = 'received', attempts = 0, needed_bytes = ? WHERE id = ?",
            (needed_bytes, instance_id),
        )


def identify(
    database: Database, instance_id: int, sop_instance_uid: str | None, content_sha256: str | None
) -> Identity:
    """Compare a readable object with those before it; a copy is forgotten, and its file is the caller's to remove.

    Parameters
    ----------
    sop_instance_uid : as its data set says, for what came as a bare file without a word on its identity.
    content_sha256 : of what the box sees of it, whatever its encoding.
    """
    with writing(database):
        row = database.execute("SELECT sha256, study_id FROM instances WHERE id = ?", (instance_id,)).fetchone()
        known = database.execute(
            """SELECT id FROM instances WHERE id != ? AND state = 'parsed'
                   AND (sha256 = ? OR (sop_instance_uid = ? AND content_sha256 = ?))""",
            (instance_id, row["sha256"], sop_instance_uid, content_sha256),
        ).fetchone()
        if known is not None:
            # The delivery of the copy counts: it may end well where the first was broken off.
            database.execute(
                """UPDATE instances SET association_id = copy.association_id FROM instances AS copy
                   WHERE copy.id = ? AND copy.association_id IS NOT NULL AND instances.id = ?""",
                (instance_id, known["id"]),
            )
            database.execute("DELETE FROM instances WHERE id = ?", (instance_id,))
            _drop_if_bare(database, row["study_id"])
            return Identity.COPY
        database.execute("UPDATE instances SET content_sha256 = ? WHERE id = ?", (content_sha256, instance_id))
        named = "UPDATE OR IGNORE instances SET sop_instance_uid = ? WHERE id = ? AND sop_instance_uid = ''"
        database.execute(named, (sop_instance_uid or "", instance_id))
        return Identity.CONFLICT if _conflicts(database, instance_id) else Identity.NEW


def attach(database: Database, instance_id: int, attributes: Attributes, quiet_s: int = 0) -> str:
    """Put a parsed object into its study, which is read (again) once it may be, and return the study's key.

    Parameters
    ----------
    quiet_s : seconds without a further image after which the study is final.
    """
    with writing(database):
        born = _study_of(database, instance_id)
        study_id = _named_study(database, attributes.study_instance_uid) or born
        database.execute(
            """UPDATE instances SET state = 'parsed', needed_bytes = 0, study_id = ?, series_instance_uid = ?,
                   study_instance_uid = ?
               WHERE id = ?""",
            (study_id, attributes.series_instance_uid or "", attributes.study_instance_uid or "", instance_id),
        )
        if study_id == born:
            _describe(database, study_id, attributes, uid=attributes.study_instance_uid)
            database.execute("UPDATE studies SET state = 'parsed' WHERE id = ?", (study_id,))
        else:
            _drop_if_bare(database, born)
        quarantine_.settle(database, instance_id, study_id, attributes.patient_id)
        _date(database, study_id, attributes)
        completeness.touch(database, study_id, quiet_s)
        row = database.execute("SELECT study_key FROM studies WHERE id = ?", (study_id,)).fetchone()
        return str(row["study_key"])


def names_other_patient(database: Database, attributes: Attributes) -> bool:
    """Whether the study that an object names is here already for another patient.

    A study is of one patient (PS3.3 section A.1.2.2); an image that a slip of the hand put into
    it would be shown under the wrong name.
    """
    query = "SELECT patient_id FROM studies WHERE study_instance_uid = ?"
    row = database.execute(query, (attributes.study_instance_uid,)).fetchone()
    known = row["patient_id"] if row else ""
    return bool(known and attributes.patient_id) and known != attributes.patient_id


def quarantine(database: Database, instance_id: int, remark: Remark, attributes: Attributes | None) -> str:
    """Set an object aside, visibly, under a study row of its own; return that row's key.

    The slices of one CT that names the study of another patient share a row: nobody finds anything among hundreds.

    Parameters
    ----------
    attributes : what its header says, where it could be read.
    """
    reason = remark.as_json()
    with writing(database):
        database.execute(
            "UPDATE instances SET state = 'quarantined', needed_bytes = 0, reason = ?, judged_by = ? WHERE id = ?",
            (json.dumps(reason), __version__, instance_id),
        )
        study_id = _own_study(database, instance_id)
        if attributes is not None:
            _describe(database, study_id, attributes, uid=None)
            names = attributes.study_instance_uid or "", attributes.series_instance_uid or ""
            study_id = quarantine_.gather(database, instance_id, study_id, names)
        row = database.execute(
            "UPDATE studies SET state = 'quarantined', is_final = 1, reasons = ? WHERE id = ? RETURNING study_key",
            (json.dumps([reason]), study_id),
        ).fetchone()
        return str(row["study_key"])


def restore(database: Database, instance_id: int, path: Path) -> None:
    """Give an object whose file is gone another file with its content; it is read again."""
    with writing(database):
        database.execute(
            """UPDATE instances SET path = ?, state = 'received', attempts = 0, outages = 0, needed_bytes = 0,
                   reason = NULL WHERE id = ?""",
            (str(path), instance_id),
        )
        database.execute(
            "UPDATE studies SET state = 'received', reasons = '[]' WHERE id = ?", (_own_study(database, instance_id),)
        )


def lose(database: Database, instance_id: int, path: Path) -> None:
    """Set an object aside whose file is gone; with nothing else to read, its unread study too.

    Parameters
    ----------
    path : the file that is gone. An object that was given another meanwhile stays as it is.
    """
    reason = UnreadableError("file_lost").remark().as_json()
    with writing(database):
        row = database.execute(
            "UPDATE instances SET state = 'quarantined', reason = ? WHERE id = ? AND path = ? RETURNING study_id",
            (json.dumps(reason), instance_id, path.name),
        ).fetchone()
        if row is not None:
            database.execute(
                """UPDATE studies SET state = 'quarantined', is_final = 1, reasons = ?
                   WHERE id = ? AND state NOT IN ('done', 'no_result', 'failed') AND NOT EXISTS
                       (SELECT 1 FROM instances WHERE study_id = studies.id AND state != 'quarantined')""",
                (json.dumps([reason]), row["study_id"]),
            )


def _same_content(database: Database, instance: Instance) -> Receipt | None:
    row = database.execute(
        """SELECT instances.id, study_key, path FROM instances JOIN studies ON studies.id = study_id
           WHERE sop_instance_uid = ? AND sha256 = ? OR path = ? ORDER BY path = ? DESC""",
        (instance.sop_instance_uid, instance.sha256, str(instance.path), str(instance.path)),
    ).fetchone()
    if row is None:
        return None
    path = Path(row["path"])
    # The very file may have been recorded already: by the search for files without a row, of another process.
    return Receipt(instance_id=row["id"], study_key=row["study_key"], path=path, is_new=path == instance.path)


def _insert(database: Database, instance: Instance) -> Receipt:
    received_at = instance.received_at.isoformat()
    study_id, study_key = _new_study(database, received_at)
    row = {
        "study_id": study_id,
        "state": State.RECEIVED.value,
        "path": str(instance.path),
        "sha256": instance.sha256,
        "size_bytes": instance.size_bytes,
        "sop_class_uid": instance.sop_class_uid,
        "sop_instance_uid": instance.sop_instance_uid,
        "series_instance_uid": instance.series_instance_uid,
        "study_instance_uid": instance.study_instance_uid,
        "transfer_syntax_uid": instance.transfer_syntax_uid,
        "calling_ae_title": instance.calling_ae_title,
        "received_at": received_at,
        "clock_trusted": instance.clock_trusted,
    }
    database.table("instances").insert(row)
    instance_id = database.execute("SELECT last_insert_rowid()").fetchone()[0]
    database.execute("UPDATE studies SET newest_instance_id = ? WHERE id = ?", (instance_id, study_id))
    return Receipt(instance_id=instance_id, study_key=study_key, path=instance.path, is_new=True)


def _new_study(database: Database, received_at: str) -> tuple[int, str]:
    row = database.execute(
        "INSERT INTO studies (study_key, state, received_at) VALUES (?, ?, ?) RETURNING id, study_key",
        (secrets.token_hex(16), State.RECEIVED.value, received_at),
    ).fetchone()
    return int(row["id"]), str(row["study_key"])


def _own_study(database: Database, instance_id: int) -> int:
    """The study of an object that is alone in it; one that others share it leaves for a row of its own."""
    born = _study_of(database, instance_id)
    # A damaged one that was put beside the same object (``quarantine.settle``) is no reason to part.
    others = """SELECT 1 FROM instances WHERE study_id = ?1 AND id != ?2 AND NOT (state = 'quarantined' AND
                sop_instance_uid = (SELECT nullif(sop_instance_uid, '') FROM instances WHERE id = ?2))"""
    if database.execute(others, (born, instance_id)).fetchone() is None:
        return born
    (received_at,) = database.execute("SELECT received_at FROM instances WHERE id = ?", (instance_id,)).fetchone()
    own, _ = _new_study(database, received_at)
    database.execute("UPDATE instances SET study_id = ? WHERE id = ?", (own, instance_id))
    database.execute("UPDATE studies SET newest_instance_id = ? WHERE id = ?", (instance_id, own))
    return own


def _drop_if_bare(database: Database, study_id: int) -> None:
    bare = "DELETE FROM studies WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM instances WHERE study_id = ?1)"
    database.execute(bare, (study_id,))


def _conflicts(database: Database, instance_id: int) -> bool:
    # What was set aside counts for nothing: a truncated object is sent again, whole, under its identifier.
    earlier = """SELECT 1 FROM instances AS this JOIN instances AS other USING (sop_instance_uid)
                 WHERE this.id = ? AND other.id < this.id AND other.state != 'quarantined' AND sop_instance_uid != ''"""
    return database.execute(earlier, (instance_id,)).fetchone() is not None


def _study_of(database: Database, instance_id: int) -> int:
    row = database.execute("SELECT study_id FROM instances WHERE id = ?", (instance_id,)).fetchone()
    return int(row["study_id"])


def _named_study(database: Database, study_instance_uid: str | None) -> int | None:
    query = "SELECT id FROM studies WHERE study_instance_uid = ?"
    row = database.execute(query, (study_instance_uid,)).fetchone()
    return int(row["id"]) if row else None


def _describe(database: Database, study_id: int, attributes: Attributes, uid: str | None) -> None:
    birth_date = attributes.birth_date.isoformat() if attributes.birth_date else None
    database.execute(
        """UPDATE studies SET study_instance_uid = ?, modality = ?, accession_number = ?, patient_name = ?,
               patient_id = ?, birth_date = ?, sex = ? WHERE id = ?""",
        (
            uid,
            attributes.modality,
            attributes.accession_number,
            attributes.patient_name,
            attributes.patient_id,
            birth_date,
            attributes.sex,
            study_id,
        ),
    )


def _date(database: Database, study_id: int, attributes: Attributes) -> None:
    """Keep when the first image of a study was taken, and whether the box fetched the study as a prior."""
    acquired_at = attributes.acquired_at.isoformat() if attributes.acquired_at else None
    database.execute(
        """UPDATE studies SET acquired_at = min(ifnull(acquired_at, ?1), ifnull(?1, acquired_at)), is_prior = EXISTS
               (SELECT 1 FROM pulls WHERE kind = 'study' AND pulls.study_instance_uid = studies.study_instance_uid)
           WHERE id = ?2""",
        (acquired_at, study_id),
    )
