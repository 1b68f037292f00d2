"""Times and what stands in the table for them."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager


def summary(seconds: Sequence[float]) -> str:
    """Median and 95th percentile in milliseconds."""
    return f"{1000 * statistics.median(seconds):.0f} ms, p95 {1000 * p95(seconds):.0f} ms"


def p95(seconds: Sequence[float]) -> float:
    """95th percentile."""
    return sorted(seconds)[min(len(seconds) - 1, int(0.95 * len(seconds)))]


def timed(action: Callable[[], object]) -> float:
    """Seconds that something takes."""
    started = time.monotonic()
    action()
    return time.monotonic() - started


@contextmanager
def meanwhile(action: Callable[[], object], every_s: float) -> Generator[None, None, None]:
    """Do something again and again while the block runs, at least once."""
    ended = threading.Event()

    def repeat() -> None:
        while True:
            action()
            if ended.wait(every_s):
                return

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
