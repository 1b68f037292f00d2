"""Time, from one place: ``utc`` for what people read, ``monotonic`` for every timeout.

A box without a network and with an empty battery wakes up in the wrong year. It cannot know
the right time, but it knows some wrong ones: those before this software was written, before a
time that it once had, or years after it. Nothing is timed by the wall clock, so that a wrong
one costs a mark beside the times on the page. Rejected: taking the time of the network without
being asked, which lets any machine on it move the clock.
"""

from __future__ import annotations

import secrets
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

RELEASED = datetime(2026, 11, 1, tzinfo=timezone.utc)
"""The wall clock cannot be right before this."""
_LONGEST_UNUSED = timedelta(days=3650)  # from the release to the first start
_LONGEST_OFF = timedelta(days=730)
_STEP = timedelta(seconds=5)  # what a time service may correct


def utc() -> datetime:
    """Wall clock time, aware, UTC."""
    return datetime.now(timezone.utc)


def monotonic() -> float:
    """Seconds that never go backwards and never jump."""
    return time.monotonic()


def boot_id() -> str:
    """Name of this start of the machine: monotonic times of two starts cannot be compared (random(4))."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def is_trusted(data_dir: Path) -> bool:
    """Whether the wall clock can be right.

    Parameters
    ----------
    data_dir : the box's folder, which holds the last time that was known to be possible.
    """
    now, known = utc(), floor(data_dir)
    if known is None:
        return RELEASED <= now <= RELEASED + _LONGEST_UNUSED
    return known - _STEP <= now <= known + _LONGEST_OFF


def may_have_been(moment: datetime, data_dir: Path) -> bool:
    """Whether a time that was written down earlier can be right: from the release on, until now or the last known time.

    A clock that was behind at that time, but after the release, is not found out.
    """
    latest = utc() if is_trusted(data_dir) else floor(data_dir)
    return latest is not None and RELEASED <= moment <= latest + _STEP


def floor(data_dir: Path) -> datetime | None:
    """The last time that the box knew, or None where it knows none that can be read."""
    try:
        return datetime.fromisoformat(floor_file(data_dir).read_text(encoding="ascii").strip())
    except (OSError, ValueError):
        return None


def floor_file(data_dir: Path) -> Path:
    """Where the last known time is kept."""
    return data_dir / "clock"


def set_system(moment: datetime) -> None:
    """Set the wall clock of this machine.

    Raises
    ------
    PermissionError
        Where this user may not (clock_settime(2) needs CAP_SYS_TIME).
    """
    time.clock_settime(time.CLOCK_REALTIME, moment.timestamp())


class Wait:
    """How long somebody who failed is left alone: twice as long each time, and never all at the same moment.

    Parameters
    ----------
    first_s, longest_s : seconds of the first wait, and of one that does not grow any more.
    """

    def __init__(self, first_s: float, longest_s: float) -> None:
        self._first_s, self._longest_s = first_s, longest_s
        self.reset()

    def reset(self) -> None:
        """Ask again at once."""
        self._over_at, self._next_s = 0.0, self._first_s

    def longer(self, least_s: float = 0.0) -> None:
        """Wait, and twice as long the next time; at least as long as the other side asked for."""
        jitter = 0.5 + secrets.randbelow(501) / 1000
        self._over_at = monotonic() + max(least_s, self._next_s * jitter)
        self._next_s = min(2 * self._next_s, self._longest_s)

    def is_over(self) -> bool:
        """Whether to ask now."""
        return monotonic() >= self._over_at
