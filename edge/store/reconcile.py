"""Makes the rows and the files of the store agree again after a crash, a power cut, or the loss of the database.

A file without a row was made durable and perhaps not acknowledged: it is taken in as received,
since having too much is better than having too little. A row without a file cannot be read; it
is set aside in plain words. Safe while other processes deliver: whoever records a file second
finds it recorded.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.filereader import read_file_meta_info
from sqlite_utils import Database

from edge import log
from edge.config import Settings
from edge.errors import UnreadableError
from edge.store.files import remove_parts
from edge.store.instances import lose
from edge.store.retention import finish_deletions
from edge.store.spool import PREAMBLE, record
from edge.types import Instance

_GROUP_LENGTH_BYTES = 12  # tag, VR, length and value of (0002,0000), which counts what follows it (PS3.10 table 7.1-1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Where files and rows disagree.

    Attributes
    ----------
    orphans : files of ``incoming`` that no row names.
    lost : (instance id, path) of rows whose file is gone and that do not say so yet.
    """

    orphans: tuple[Path, ...]
    lost: tuple[tuple[int, Path], ...]


def difference(database: Database, settings: Settings) -> Difference:
    """Look for files without a row and rows without a file, and change nothing."""
    files = {path.name for path in settings.incoming.glob("*.dcm")}
    rows = {
        row["path"]: (row["id"], row["is_lost"])
        for row in database.execute(
            "SELECT id, path, reason LIKE '%\"file_lost\"%' AS is_lost FROM instances"  # a code, and no patient's text
        )
    }
    gone = ((number, settings.incoming / name) for name, (number, is_lost) in rows.items() if not is_lost)
    return Difference(
        orphans=tuple(settings.incoming / name for name in sorted(files - rows.keys())),
        lost=tuple((number, path) for number, path in gone if path.name not in files and not path.exists()),
    )


def reconcile(database: Database, settings: Settings) -> Difference:
    """Take in files without a row, set rows without a file aside, and return what was found.

    Raises
    ------
    StorageError
        Where the database cannot be written.
    """
    finish_deletions(database, settings)
    remove_parts(settings.incoming)
    found = difference(database, settings)
    for path in found.orphans:
        _adopt(database, path)
    for number, _ in found.lost:
        lose(database, number, UnreadableError("file_lost").remark())
    return found


def _adopt(database: Database, path: Path) -> None:
    try:
        record(database, path.parent, _described(path))
    except OSError as error:  # gone since, or not to be read: one file must not keep the receiver down
        log.event("not_taken_in", error_type=type(error).__name__, where=log.where(error))


def _described(path: Path) -> Instance:
    """What the file itself tells; a header that cannot be read is for the worker to set aside."""
    meta, offset = _meta(path)
    digest, size_bytes = _digest(path, offset)
    return Instance(
        sop_class_uid=str(meta.get("MediaStorageSOPClassUID", "")),
        sop_instance_uid=str(meta.get("MediaStorageSOPInstanceUID", "")),
        series_instance_uid="",
        study_instance_uid="",
        transfer_syntax_uid=str(meta.get("TransferSyntaxUID", "")),
        path=Path(path.name),
        sha256=digest,
        size_bytes=size_bytes,
        calling_ae_title=str(meta.get("SourceApplicationEntityTitle", "")),
        received_at=datetime.fromtimestamp(path.stat().st_mtime, timezone.utc),
        clock_trusted=False,  # nobody knows any more how the clock stood
    )


def _meta(path: Path) -> tuple[Dataset, int]:
    try:
        meta = read_file_meta_info(path)
        return meta, len(PREAMBLE) + _GROUP_LENGTH_BYTES + int(meta.FileMetaInformationGroupLength)
    except FileNotFoundError:
        raise
    except Exception:  # whatever the parser makes of it, the file stays and is counted
        return Dataset(), 0


def _digest(path: Path, offset: int) -> tuple[str, int]:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        file.seek(offset)
        while piece := file.read(1 << 20):
            digest.update(piece)
        return digest.hexdigest(), max(0, file.tell() - offset)
