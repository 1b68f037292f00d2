"""Puts a backup (``edge.store.backup``) back, on this box or another; nothing changes unless all of it is right.

The whole backup is decrypted beside the data of the box first: age authenticates each piece and the end, so that
a changed or cut file is refused before anything is replaced. Only names that a box makes itself are taken from the
archive, and only plain files. Rejected: ``tarfile.extractall``, whose safe filter Python 3.10.0 does not have.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sqlite3
import tarfile
import threading
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO

import pyrage
from sqlite_utils import Database

from edge.config import Settings
from edge.errors import BackupError, StorageError
from edge.store.files import sync_folder
from edge.store.journal import Action, note_alone
from edge.store.migrations import MIGRATIONS

KEY, BODY = "identity.age", "box.tar.age"
_BLOCK_BYTES = 1 << 20
_OWN = re.compile(
    r"chest-edge\.sqlite|settings\.toml|clock|incoming/[0-9a-f]{32}\.dcm|results/[0-9a-f]{32}/[0-9]+/[\w.-]+"
    r"|audit/(key|[0-9]+\.log)|certificates(/[\w-][\w. -]*)+"
)
_REPLACED = ("chest-edge.sqlite*", "settings.toml", "clock", "incoming", "results", "audit", "certificates")
_KEPT = ("chest-edge.sqlite*", "incoming/*.dcm", "audit/*.log", "certificates/*")


def is_empty(settings: Settings) -> bool:
    """Whether the data folder holds nothing that a restore would replace."""
    return not any(any(settings.data_dir.glob(pattern)) for pattern in _KEPT)


def restore(settings: Settings, source: Path, passphrase: str) -> int:
    """Replace the box by that of a backup, and return the number of its files.

    The caller holds the lock of the box, and has asked whether what is there may go.

    Raises
    ------
    BackupError
        Nothing was changed.
    StorageError
        The disk could not be written; where it had begun to replace, the same command completes it.
    """
    folder = settings.restoring
    shutil.rmtree(folder, ignore_errors=True)
    try:
        with plaintext(source, passphrase) as plain:
            count = _extract(plain, folder, source)
        _check_database(folder / settings.database.name)
        os.sync()  # all at once; a flush for each of many small files takes minutes
        _replace(settings, folder)
    except OSError as error:
        raise StorageError("write_failed") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    note_alone(settings.database, Action.BACKUP_RESTORED, count=count)
    return count


def digest_of(source: Path, passphrase: str) -> str:
    """SHA-256 of all that a backup holds, decrypted.

    Raises
    ------
    BackupError
        ``unopenable`` or ``not_a_backup``.
    """
    digest = hashlib.sha256()
    with plaintext(source, passphrase) as plain:
        while block := plain.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


@contextmanager
def plaintext(source: Path, passphrase: str) -> Generator[IO[bytes], None, None]:
    """The decrypted archive, to be read from its beginning; the block's end raises where it was not whole.

    Raises
    ------
    BackupError
        ``unopenable`` or ``not_a_backup``.
    """
    problem = BackupError("not_a_backup", path=source)
    try:
        with tarfile.open(source, "r:") as outer:
            first = outer.next()
            if first is not None and first.name == KEY:  # it began as one
                problem = BackupError("unopenable")
            key, body = outer.extractfile(KEY), outer.extractfile(BODY)
            if key is None or body is None:
                raise problem
            identity = _identity(key.read(), passphrase)
            with _decrypting(body, identity) as plain:
                yield plain
    except (tarfile.TarError, KeyError) as error:
        raise problem from error


def _identity(key: bytes, passphrase: str) -> pyrage.x25519.Identity:
    try:
        return pyrage.x25519.Identity.from_str(pyrage.passphrase.decrypt(key, passphrase).decode().strip())
    except (pyrage.DecryptError, pyrage.IdentityError, ValueError) as error:
        raise BackupError("unopenable") from error


@contextmanager
def _decrypting(body: IO[bytes], identity: pyrage.x25519.Identity) -> Generator[IO[bytes], None, None]:
    taking, giving = os.pipe()
    failures: list[Exception] = []

    def decrypt() -> None:
        try:
            with os.fdopen(giving, "wb") as writer:
                pyrage.decrypt_io(body, writer, [identity])
        except (pyrage.DecryptError, OSError, tarfile.TarError) as error:
            failures.append(error)

    thread = threading.Thread(target=decrypt)
    thread.start()
    with os.fdopen(taking, "rb") as plain:
        try:
            yield plain
            while plain.read(_BLOCK_BYTES):  # what follows the archive is authenticated too
                continue
        except tarfile.TarError as error:
            raise BackupError("unopenable") from error
        finally:
            plain.close()
            thread.join()
    if failures:
        raise BackupError("unopenable") from failures[0]


def _extract(plain: IO[bytes], folder: Path, source: Path) -> int:
    count = 0
    with tarfile.open(fileobj=plain, mode="r|") as archive:
        for entry in archive:
            content = archive.extractfile(entry) if entry.isreg() and _OWN.fullmatch(entry.name) else None
            if content is None or ".." in entry.name:
                raise BackupError("not_a_backup", path=source)
            path = folder / entry.name
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                shutil.copyfileobj(content, file, _BLOCK_BYTES)
            count += 1
    return count


def _check_database(path: Path) -> None:
    try:
        with closing(sqlite3.connect(path)) as connection:
            is_sound = connection.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok"
            applied = {entry.name for entry in MIGRATIONS.applied(Database(connection))}
    except sqlite3.DatabaseError as error:
        raise BackupError("unopenable") from error
    if not is_sound:
        raise BackupError("unopenable")
    if applied - {migration.name for migration in MIGRATIONS._migrations}:
        raise BackupError("newer")


def _replace(settings: Settings, folder: Path) -> None:
    for pattern in _REPLACED:  # whatever else lies there is somebody's
        for old in list(settings.data_dir.glob(pattern)):
            shutil.rmtree(old) if old.is_dir() and not old.is_symlink() else old.unlink()
    # The database last: without it, the next start would take what is there for a box that lost it.
    for new in sorted(folder.iterdir(), key=lambda path: path.name == settings.database.name):
        new.rename(settings.data_dir / new.name)
    sync_folder(settings.data_dir)
