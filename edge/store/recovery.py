"""The database is checked before anything uses it, and made anew from the spool where it is damaged.

A damaged one is kept beside the new one, with its write-ahead log: the log belongs to that file
alone, and SQLite would replay it into another of the same name (sqlite.org/howtocorrupt.html,
section 1.4). The new one is empty; ``reconcile`` then takes every stored object in, and all of
them are read again. Rejected: repairing, which guesses at what people would read.
"""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from edge import clock, log
from edge.config import Settings
from edge.errors import StorageError
from edge.store import facts
from edge.store.database import connect, damage_mark, migrate, writing
from edge.store.files import failure, sync_folder, try_folder
from edge.store.journal import Action, note

_SIDE_FILES = ("-wal", "-shm", "-journal")


def is_broken(settings: Settings) -> bool:
    """Whether the database of a running box is gone, or a process met damage in it."""
    path = settings.database
    return damage_mark(path).exists() or not path.exists() or path.stat().st_size == 0


def prepare(settings: Settings) -> bool:
    """Have a sound database of the newest schema; return whether it had to be made anew.

    Where somebody met damage, every index is compared with its table too, which takes longer. Only one
    process may do this at a time: the supervisor, under its lock.

    Raises
    ------
    StorageError
        Where the disk cannot be read or written.
    """
    mark = damage_mark(settings.database)
    was_sound = is_sound(settings, thoroughly=mark.exists())
    if was_sound:
        migrate(settings.database)
    else:
        rebuild(settings)
    mark.unlink(missing_ok=True)
    return not was_sound


def is_sound(settings: Settings, *, thoroughly: bool = False) -> bool:
    """Whether the database can be trusted; one that is missing can where nothing was ever stored.

    Parameters
    ----------
    thoroughly : compare every index with its table too, which takes longer.

    Raises
    ------
    StorageError
        Where the file cannot be opened or read: that is for the disk or its owner to repair.
    """
    path = settings.database
    if not path.exists() or path.stat().st_size == 0:
        return not any(settings.incoming.glob("*.dcm")) and not _side_files(path)
    try:
        # Read only: closing another connection would write the log into the file, and mix a damaged one further.
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            check = "integrity_check" if thoroughly else "quick_check"
            return bool(connection.execute(f"PRAGMA {check}(1)").fetchone()[0] == "ok")
    except sqlite3.OperationalError as error:
        raise StorageError(_why(path)) from error
    except sqlite3.DatabaseError:  # no database at all, or malformed
        return False


def _why(path: Path) -> str:
    """SQLite has to write beside a database to read it (sqlite.org/wal.html, section 5), and does not say why not."""
    try:
        try_folder(path.parent)
    except StorageError as error:
        return error.code
    return "database"


def rebuild(settings: Settings) -> None:
    """Move the database aside and begin an empty one, which says since when; ``reconcile`` fills it.

    Raises
    ------
    StorageError
        Where the disk cannot be written.
    """
    log.event("database_rebuilt")
    try:
        _move_aside(settings.database)
        # Pictures and masks of results that no row names any more; the readings that follow make new ones.
        shutil.rmtree(settings.results)
        settings.results.mkdir(mode=0o700)
        sync_folder(settings.data_dir)
    except OSError as error:
        raise failure(error) from error
    migrate(settings.database)
    database = connect(settings.database)
    try:
        with writing(database):
            facts.keep(database, facts.REBUILT_AT, clock.utc().isoformat())
            note(database, Action.STORE_REBUILT)
    finally:
        database.close()


def _move_aside(path: Path) -> None:
    mark = f".damaged-{clock.utc():%Y%m%dT%H%M%S}"
    # The database first: a log without one is seen at the next start, but one without its log may look sound.
    for name in (path, *_side_files(path)):
        if name.exists():
            name.rename(path.with_name(path.name + mark + name.name.removeprefix(path.name)))
            sync_folder(path.parent)


def _side_files(path: Path) -> list[Path]:
    names = (path.with_name(path.name + ending) for ending in _SIDE_FILES)
    return [name for name in names if name.exists()]
