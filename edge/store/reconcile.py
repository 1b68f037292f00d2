"""Makes the rows and the files of the store agree again after a crash, a power cut, or the loss of the database.

A file without a row was made durable and perhaps not acknowledged: it is taken in as received,
since having too much is better than having too little. A row without a file cannot be read; it
is set aside in plain words. Safe while other processes deliver: whoever records a file second
finds it recorded.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import IO

from sqlite_utils import Database

from edge import clock, log
from edge.config import Settings
from edge.errors import UnreadableError
from edge.store.files import failure, remove_parts
from edge.store.instances import lose
from edge.store.part10 import HEAD_BYTES, WholeFile, take_apart
from edge.store.retention import finish_deletions
from edge.store.spool import Delivery, record
from edge.types import Instance


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
    """Look for files without a row and rows without a file, and change nothing.

    Raises
    ------
    StorageError
        Where the folder of the files cannot be listed: then none of them may count as gone.
    """
    try:
        files = {name for name in os.listdir(settings.incoming) if name.endswith(".dcm")}
    except OSError as error:
        raise failure(error) from error
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
        Where the database cannot be written, or the folder of the files not be listed.
    """
    found = tidy(database, settings)
    settle(database, found)
    return found


def tidy(database: Database, settings: Settings) -> Difference:
    """Remove what was to go and what was never whole, and look for what differs; that takes no time.

    Raises
    ------
    StorageError
        Where the database cannot be written.
    """
    finish_deletions(database, settings)
    remove_parts(settings.incoming)
    return difference(database, settings)


def settle(database: Database, found: Difference, stopping: Callable[[], bool] = lambda: False) -> None:
    """Take in the files without a row, which reads each of them, and set the rows without a file aside.

    Parameters
    ----------
    stopping : whether to leave the rest for the next start.

    Raises
    ------
    StorageError
        Where the database cannot be written; what was done stays.
    """
    for path in found.orphans:
        if stopping():
            return
        _adopt(database, path)
    for number, path in found.lost:
        lose(database, number, path)


def _adopt(database: Database, path: Path) -> None:
    try:
        record(database, path.parent, _described(path), is_counted=True)
    except OSError as error:  # gone since, or not to be read: one file must not keep the receiver down
        log.event("not_taken_in", error_type=type(error).__name__, where=log.where(error))


def _described(path: Path) -> Instance:
    """What the file itself tells; a header that cannot be read is for the worker to set aside."""
    digest, size_bytes = hashlib.sha256(), 0
    with path.open("rb") as file:
        whole = _taken_apart(file)
        for piece in whole.content:
            digest.update(piece)
            size_bytes += len(piece)
    received_at = datetime.fromtimestamp(path.stat().st_mtime, timezone.utc)  # written when it came
    return Instance(
        sop_class_uid=whole.delivery.sop_class_uid,
        sop_instance_uid=whole.delivery.sop_instance_uid,
        series_instance_uid="",
        study_instance_uid="",
        transfer_syntax_uid=whole.delivery.transfer_syntax_uid,
        path=Path(path.name),
        sha256=digest.hexdigest(),
        size_bytes=size_bytes,
        calling_ae_title=whole.source_ae_title,
        received_at=received_at,
        clock_trusted=clock.may_have_been(received_at, path.parent.parent),
    )


def _taken_apart(file: IO[bytes]) -> WholeFile:
    """As the ways in do it, so that the data set has the same hash."""
    try:
        return take_apart(iter(lambda: file.read(HEAD_BYTES), b""))
    except UnreadableError:  # not ours; it stays and is counted
        file.seek(0)
        return WholeFile(file_meta=b"", head=b"", content=file, delivery=Delivery())
