"""The audit files of the box: each record holds the hash of the one before it, and none is ever rewritten.

A record is a line ``sequence previous sha256 message``; its SHA-256 covers the three other parts. What
is changed, removed, put in or exchanged breaks the chain, and what is cut off its end is missed by the
anchor, the last hash, in the database. Whoever may write both the files and the database can forge both:
only the copy on another machine (``edge.audit.syslog``) helps then. Rejected: signing each record, whose
key would lie on the same disk.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlite_utils import Database

from edge.errors import StorageError
from edge.store.files import sync_folder

START = "0" * 64
_ROTATED_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """How far the files are confirmed: the last record, and the length of its file."""

    sequence: int
    sha256: str
    file: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One audit message in its place of the chain."""

    sequence: int
    previous: str
    sha256: str
    message: str

    def is_whole(self) -> bool:
        """Whether its hash is that of its content."""
        return self.sha256 == _hash(self.sequence, self.previous, self.message)


def anchor(database: Database) -> Anchor | None:
    """The anchor that the database holds; None before the first record, or after the database was lost."""
    row = database.execute("SELECT sequence, sha256, file, size_bytes FROM audit_anchor").fetchone()
    return Anchor(**{name: row[name] for name in row.keys()}) if row else None  # noqa: SIM118


def files(folder: Path) -> list[Path]:
    """The audit files, oldest first."""
    return sorted(folder.glob("*.log"))


def records(paths: Iterable[Path]) -> Iterator[Record | str]:
    """Every record of these files in turn; the name of the file and number of the line where a line is none."""
    for path in paths:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                yield _parsed(line) or f"{path.name}:{number}"


def append(folder: Path, messages: Sequence[str], last: Anchor | None) -> Anchor:
    """Append messages behind the last confirmed record, durably, and return the new anchor.

    What lies behind that record was written by a run that ended before it was confirmed; its
    notes are still in the journal, and it is cut off.

    Raises
    ------
    StorageError
        The anchor stays where it was.
    """
    sequence, previous = (last.sequence, last.sha256) if last else (0, START)
    path, offset = _place(folder, last, sequence + 1)
    lines = []
    for message in messages:
        sequence += 1
        digest = _hash(sequence, previous, message)
        lines.append(f"{sequence} {previous} {digest} {message}\n".encode())
        previous = digest
    size_bytes = _write(path, offset, b"".join(lines))
    return Anchor(sequence=sequence, sha256=previous, file=path.name, size_bytes=size_bytes)


def adopted(folder: Path) -> Anchor | None:
    """The end of the files as they are, for a database that was made anew and holds no anchor."""
    for path in reversed(files(folder)):
        size_bytes, last = 0, None
        with path.open("rb") as lines:
            for line in lines:
                record = _parsed(line)
                if record is None or not record.is_whole():
                    break
                size_bytes, last = size_bytes + len(line), record
        if last:
            return Anchor(sequence=last.sequence, sha256=last.sha256, file=path.name, size_bytes=size_bytes)
    return None


def surplus_bytes(folder: Path, last: Anchor) -> int:
    """How much longer the last file is than was confirmed; negative where some of it is gone."""
    path = folder / last.file
    return (path.stat().st_size if path.exists() else 0) - last.size_bytes


def _place(folder: Path, last: Anchor | None, first: int) -> tuple[Path, int]:
    # A file that is gone or too short is left as it is, for ``verify`` to tell; the chain goes on in a new one.
    if last and last.size_bytes < _ROTATED_BYTES and surplus_bytes(folder, last) >= 0:
        return folder / last.file, last.size_bytes
    return folder / f"{first:012d}.log", 0


def _write(path: Path, offset: int, content: bytes) -> int:
    try:
        is_new = not path.exists()
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
            file.truncate(offset)
            file.seek(offset)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if is_new:
            sync_folder(path.parent)
    except OSError as error:
        raise StorageError("write_failed") from error
    return offset + len(content)


def _parsed(line: bytes) -> Record | None:
    if not line.endswith(b"\n"):
        return None
    try:
        sequence, previous, digest, message = line[:-1].decode().split(" ", 3)
        return Record(sequence=int(sequence), previous=previous, sha256=digest, message=message)
    except ValueError:
        return None


def _hash(sequence: int, previous: str, message: str) -> str:
    return hashlib.sha256(f"{sequence} {previous} {message}".encode()).hexdigest()
