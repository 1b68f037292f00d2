"""A backup of a box that runs: one file, encrypted by age (age-encryption.org/v1), opened with a passphrase.

The file is a tar of two: ``identity.age``, a fresh X25519 key encrypted with the passphrase, and
``box.tar.age``, everything else encrypted to that key. Without this software, ``tar`` and ``age``
open it: ``age -d identity.age > key`` and ``age -d -i key box.tar.age | tar x``. The body is
streamed, so that memory stays flat. Rejected: a passphrase on the body itself, which the library
can only encrypt in memory; zip encryption.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import tarfile
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import IO, Any

import pyrage

from edge.config import Settings
from edge.errors import BackupError, StorageError
from edge.store.files import PART, scratch_folder, sync_folder
from edge.store.restore import BODY, KEY, digest_of

_LEAST_LETTERS = 12
_BLOCK_BYTES = 1 << 20


def back_up(settings: Settings, config: Path | None, target: Path, passphrase: str) -> int:
    """Write a backup, read it back, and return the number of its files.

    Parameters
    ----------
    config : the settings file of the box, which goes along.
    target : the file to write; it appears only once it is whole, verified and durable.

    Raises
    ------
    BackupError
        Nothing is left at ``target``.
    """
    if len(passphrase) < _LEAST_LETTERS:
        raise BackupError("short_passphrase", limit=_LEAST_LETTERS)
    if target.exists():  # it may be the only whole one
        raise BackupError("exists", path=target)
    part = target.with_name(target.name + PART)
    try:
        with scratch_folder(settings.run_dir) as folder:
            snapshot = folder / "snapshot.sqlite"
            _snapshot(settings.database, snapshot)
            found = list(_contents(settings, snapshot, config))
            _check_room(target.parent, found)
            try:
                _write_checked(part, found, passphrase)
                part.replace(target)
                sync_folder(target.parent)
            finally:
                part.unlink(missing_ok=True)
    except sqlite3.Error as error:
        raise StorageError("database") from error
    except OSError as error:
        raise BackupError("backup_failed", path=target, problem=error.strerror or "") from error
    return len(found)


def _snapshot(source: Path, target: Path) -> None:
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT, 0o600))
    with closing(sqlite3.connect(f"{source.resolve().as_uri()}?mode=ro", uri=True)) as running:
        with closing(sqlite3.connect(target)) as copy:
            running.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE").fetchone()


def _contents(settings: Settings, snapshot: Path, config: Path | None) -> Iterator[tuple[str, Path, int]]:
    """Name in the backup, place and length of each file; those of studies as the snapshot names them."""
    with closing(sqlite3.connect(snapshot)) as database:
        instances = [path for (path,) in database.execute("SELECT path FROM instances")]
        results = database.execute(
            "SELECT study_key, results.version FROM results JOIN studies ON studies.id = study_id"
        ).fetchall()
        last = database.execute("SELECT file, size_bytes FROM audit_anchor").fetchone()
    yield _sized(settings.database.name, snapshot)
    if config is not None:
        yield _sized("settings.toml", config)
    folders = [settings.results / key / str(version) for key, version in results]
    places = [settings.incoming / path for path in instances]
    places += [path for folder in folders for path in sorted(folder.glob("*"))]
    places += [path for path in sorted(settings.data_dir.glob("certificates/**/*")) if path.is_file()]
    places += [settings.data_dir / "clock", settings.audit_dir / "key"]
    for path in places:
        if path.exists():  # a study that was deleted meanwhile is told of at the first start
            yield _sized(str(path.relative_to(settings.data_dir)), path)
    for path in sorted(settings.audit_dir.glob("*.log")) if last else []:
        if path.name <= last[0]:  # what is behind the snapshot's end of the chain belongs to notes that it holds
            name, _, size_bytes = _sized(f"audit/{path.name}", path)
            yield name, path, min(size_bytes, last[1]) if path.name == last[0] else size_bytes


def _sized(name: str, path: Path) -> tuple[str, Path, int]:
    return name, path, path.stat().st_size


def _check_room(folder: Path, found: list[tuple[str, Path, int]]) -> None:
    needed = sum(size_bytes + 2048 for _, _, size_bytes in found) * 101 // 100 + _BLOCK_BYTES
    if shutil.disk_usage(folder).free < needed:
        raise BackupError("no_room", path=folder, needed=needed >> 20)


def _write_checked(part: Path, found: list[tuple[str, Path, int]], passphrase: str) -> None:
    identity = pyrage.x25519.Identity.generate()
    with os.fdopen(os.open(part, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600), "wb+") as file:
        key = pyrage.passphrase.encrypt(f"{identity}\n".encode(), passphrase)
        file.write(_header(KEY, len(key)) + key + bytes(-len(key) % 512))
        head = file.tell()
        file.write(bytes(512))
        digest = _encrypt(found, file, identity)
        end = file.tell()
        file.write(bytes(-end % 512 + 1024))
        file.seek(head)
        file.write(_header(BODY, end - head - 512))
        file.flush()
        os.fsync(file.fileno())
        # From the disk, not from memory: a worn stick may have kept something else.
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    if digest_of(part, passphrase) != digest:
        raise BackupError("not_read_back", path=part)


class _Hashed:
    """A writer that hashes what passes."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.digest = hashlib.sha256()

    def __enter__(self) -> _Hashed:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def write(self, block: bytes) -> int:
        self.digest.update(block)
        return self._file.write(block)


def _header(name: str, size_bytes: int) -> bytes:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = size_bytes, 0o600
    return entry.tobuf(tarfile.GNU_FORMAT)


def _encrypt(found: list[tuple[str, Path, int]], file: IO[bytes], identity: Any) -> str:
    taking, giving = os.pipe()
    failures: list[BaseException] = []
    hashed = _Hashed(os.fdopen(giving, "wb"))
    thread = threading.Thread(target=_pack, args=(found, hashed, failures))
    thread.start()
    with os.fdopen(taking, "rb", _BLOCK_BYTES) as plain:
        try:
            pyrage.encrypt_io(plain, file, [identity.to_public()])
        finally:
            plain.close()
            thread.join()
    if failures:
        raise failures[0]
    return hashed.digest.hexdigest()


def _pack(found: list[tuple[str, Path, int]], writer: _Hashed, failures: list[BaseException]) -> None:
    try:
        with writer, tarfile.open(fileobj=writer, mode="w|", format=tarfile.GNU_FORMAT) as tar:  # type: ignore[call-overload]
            for name, path, size_bytes in found:
                entry = tarfile.TarInfo(name)
                entry.size, entry.mode = size_bytes, 0o600
                try:
                    content = path.open("rb")
                except FileNotFoundError:
                    continue  # of a study that was deleted meanwhile, as in ``_contents``
                with content:
                    tar.addfile(entry, content)
    except (OSError, tarfile.TarError) as error:  # told where the other end is read
        failures.append(error)
