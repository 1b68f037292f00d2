"""Time, from one place: ``utc`` for what people read, ``monotonic`` for every timeout."""

from __future__ import annotations

import time
from datetime import datetime, timezone
from pathlib import Path

RELEASED = datetime(2026, 11, 1, tzinfo=timezone.utc)
"""The wall clock cannot be right before this."""


def utc() -> datetime:
    """Wall clock time, aware, UTC."""
    return datetime.now(timezone.utc)


def monotonic() -> float:
    """Seconds that never go backwards and never jump."""
    return time.monotonic()


def boot_id() -> str:
    """Name of this start of the machine: monotonic times of two starts cannot be compared (random(4))."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def is_trusted() -> bool:
    """Whether the wall clock can be right: it cannot be before this software was written."""
    return utc() >= RELEASED
