"""What the box knows of itself and must not lose with a process: a few numbers and moments, by name."""

from __future__ import annotations

from sqlite_utils import Database

RUNNING_S = "running_s"
"""Seconds that the box has run, by the monotonic clock; no clock that is set can move it."""

USED_BYTES = "used_bytes"
"""What the files of the box fill, as last measured and kept up with since."""

REBUILT_AT = "rebuilt_at"
"""When the database was last made anew from the stored objects (ISO 8601, UTC)."""

REFUSED_BYTES = "refused_bytes"
"""Length of the image that was last refused for want of room; whether it would fit now tells whether images are."""

DROP_FOLDER = "drop_folder"
"""How the drop folder stands (``edge.store.dropped``)."""

PACS_ANSWER, WORKLIST_ANSWER = "pacs_answer", "worklist_answer"
"""How the last request to each ended (``edge.store.peers``)."""

FOUND_FILES = "found_files"
"""Names of the stored objects from which the database was made anew, as JSON: their results had left already."""


def number(database: Database, name: str) -> float:
    """A number, 0 where it was never kept."""
    kept = text(database, name)
    return float(kept) if kept else 0.0


def text(database: Database, name: str) -> str | None:
    """A text, or None where it was never kept."""
    row = database.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
    return str(row["value"]) if row else None


def keep(database: Database, name: str, value: str | float) -> None:
    """Keep a number or a text, within the caller's transaction."""
    database.execute("INSERT OR REPLACE INTO facts (name, value) VALUES (?, ?)", (name, str(value)))


def add(database: Database, name: str, value: float) -> None:
    """Add to a number, within the caller's transaction."""
    keep(database, name, number(database, name) + value)
