"""Room that the box keeps back, so that it starts on a disk that is full to the last byte.

SQLite cannot even read without room for its shared memory and log (sqlite.org/wal.html), and a
start writes a few small files of its own. So a file of plain zeros holds some room, which is given
up at a start that finds none, and taken again once there is enough. Rejected: rewriting small
files in place, which SQLite does not do; a file system in memory, which a laptop does not mount.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from edge import log
from edge.config import Settings
from edge.store.files import taken_bytes

_BYTES = 4 << 20
_TAKE_FROM_BYTES = 4 * _BYTES


def give_up(settings: Settings) -> None:
    """Free the room, where the disk has no more than that left."""
    if shutil.disk_usage(settings.data_dir).free < _BYTES:
        settings.reserve.unlink(missing_ok=True)


def take(settings: Settings) -> None:
    """Hold the room, where the disk has several times as much left."""
    try:
        # A power cut may have come between its making and its filling.
        if taken_bytes(settings.reserve) < _BYTES and shutil.disk_usage(settings.data_dir).free >= _TAKE_FROM_BYTES:
            _allocate(settings.reserve)
    except OSError as error:  # nothing depends on it before the disk is full
        log.event("no_reserve", error_type=type(error).__name__, where=log.where(error))


def _allocate(path: Path) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, _BYTES)
    finally:
        os.close(descriptor)
