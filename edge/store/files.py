"""Files on the disk: whole and durable, or not there.

Write beside the place, fsync, rename, fsync the folder (rename(2), fsync(2)): after a
power cut the file is complete or absent, and never torn.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from pathlib import Path

from edge.errors import StorageError

_PART = ".part"
_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})


def write_durably(path: Path, pieces: Iterable[bytes]) -> None:
    """Write the pieces to a file, and return once it would survive a power cut.

    Raises
    ------
    StorageError
        ``disk_full`` or ``write_failed``; nothing is left behind.
    """
    part = path.with_name(path.name + _PART)
    try:
        try:
            _write(part, pieces)
            part.replace(path)
            sync_folder(path.parent)
        except BaseException:
            part.unlink(missing_ok=True)
            path.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise StorageError("disk_full" if error.errno in _NO_SPACE else "write_failed") from error


def remove_parts(folder: Path) -> None:
    """Remove what an interrupted writer left."""
    for part in folder.glob(f"*{_PART}"):
        part.unlink(missing_ok=True)


def _write(path: Path, pieces: Iterable[bytes]) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        for piece in pieces:
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
