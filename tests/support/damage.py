"""Ways in which a database file can be destroyed."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path


def missing(path: Path) -> None:
    """It is gone; its log may be there."""
    path.unlink()


def empty(path: Path) -> None:
    """Zero bytes."""
    path.write_bytes(b"")


def garbage(path: Path) -> None:
    """Noise of the same length."""
    path.write_bytes(os.urandom(path.stat().st_size))


def half(path: Path) -> None:
    """Its second half is gone."""
    settle(path)
    os.truncate(path, path.stat().st_size // 2)


def one_page(path: Path) -> None:
    """Noise in one page."""
    settle(path)
    with path.open("r+b") as file:
        file.seek(4096 * 3)
        file.write(os.urandom(4096))


def settle(path: Path) -> None:
    """Put everything into the database file itself."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    connection.close()


DAMAGES: tuple[Callable[[Path], None], ...] = (missing, empty, garbage, half, one_page)
