"""How full the box is, and when it takes no more.

The fuller of two shares counts: of the partition, by statvfs(3) as df(1) computes it, and of
``storage.budget_mb``. The bytes of the box are measured from time to time by the housekeeping
and counted up in between, so that one C-STORE costs two look-ups and no walk over the files.
The last twentieth stays free for what keeps the box alive: results, rows, the log of SQLite.
"""

from __future__ import annotations

import os
from pathlib import Path

from sqlite_utils import Database

from edge.config import Settings
from edge.errors import StorageError
from edge.store import facts
from edge.store.database import opened, writing
from edge.store.files import taken_bytes

WARN_FROM = 0.80
REFUSE_FROM = 0.95
_MEGABYTE = 1e6


def used_share(source: Path | Database, settings: Settings, extra_bytes: int = 0) -> float:
    """How full the box is from 0 to 1, and beyond where ``extra_bytes`` more would not fit.

    Raises
    ------
    StorageError
        Where the database cannot be opened, or the disk does not answer.
    """
    share = partition_share(settings.data_dir, extra_bytes)
    if not settings.storage.budget_mb:
        return share
    with opened(source) as database:
        used = facts.number(database, facts.USED_BYTES)
    return max(share, (used + extra_bytes) / (settings.storage.budget_mb * _MEGABYTE))


def partition_share(folder: Path, extra_bytes: int = 0) -> float:
    """How full the partition of a folder is, from 0 to 1.

    Raises
    ------
    StorageError
        Where the disk does not answer.
    """
    try:
        disk = os.statvfs(folder)
    except OSError as error:
        raise StorageError("write_failed") from error
    used = disk.f_blocks - disk.f_bfree
    return (used * disk.f_frsize + extra_bytes) / max(1, (used + disk.f_bavail) * disk.f_frsize)


def level(share: float) -> str:
    """``ok``, ``warning`` or ``full``, by how full the box is from 0 to 1."""
    return "full" if share >= REFUSE_FROM else "warning" if share >= WARN_FROM else "ok"


def is_refusing(database: Database, settings: Settings) -> bool:
    """Whether an image as large as one that was refused would be refused again."""
    return used_share(database, settings, int(facts.number(database, facts.REFUSED_BYTES))) >= REFUSE_FROM


def require_room(database: Database, settings: Settings, size_bytes: int) -> None:
    """Refuse what would fill the box.

    Raises
    ------
    StorageError
        ``no_room``, or where the disk does not answer; nothing was written.
    """
    if used_share(database, settings, size_bytes) >= REFUSE_FROM:
        if not is_refusing(database, settings):
            with writing(database):
                facts.keep(database, facts.REFUSED_BYTES, size_bytes)
        raise StorageError("no_room")


def measure(settings: Settings) -> int:
    """The bytes that the files of the box take on the disk."""
    return sum(taken_bytes(Path(folder, name)) for folder, _, names in os.walk(settings.data_dir) for name in names)
