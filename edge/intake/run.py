"""The process of the other ways in: it looks at the drop folder and at the sticks, again and again.

Without either it only waits to be told to stop. Rejected: doing this in the receiver, whose
associations a stick that hangs would hold up.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

from sqlite_utils import Database

from edge import log
from edge.bus import Listener, Speaker
from edge.config import Settings
from edge.errors import EdgeError
from edge.intake import mounts
from edge.intake.dispatch import Sticks
from edge.intake.drop import Drop
from edge.intake.studies import Bench
from edge.store import dropped
from edge.store.database import connect
from edge.store.spool import Spool

_LOOK_S = 1.0


def run(settings: Settings) -> int:
    """Take in until SIGTERM, and return the exit status."""
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda number, frame: stopped.set())
    signal.signal(signal.SIGIO, signal.SIG_IGN)  # sent where a program opens a file on which a lease was just taken
    speaker, listener = Speaker(settings.run_dir, "intake"), Listener(settings.run_dir, "intake")
    spool, database = Spool(settings, speaker.wake), connect(settings.database)
    ways = _ways(settings, spool, database, stopped.is_set)
    while not stopped.is_set():
        spool.sweep()
        if not any([_step(way) for way in ways]):
            listener.wait(_LOOK_S)
    for way in ways:
        if isinstance(way, Sticks):
            way.close()
    for part in (spool, database, listener, speaker):
        part.close()
    return 0


def _ways(settings: Settings, spool: Spool, database: Database, stopping: Callable[[], bool]) -> list[Drop | Sticks]:
    ways: list[Drop | Sticks] = []
    if settings.intake.folder:
        ways.append(Drop(Path(settings.intake.folder), spool, stopping, partial(dropped.keep, database)))
    if settings.intake.usb:
        bench = Bench(settings=settings, database=database, spool=spool)
        ways.append(Sticks(mounts.below(Path(settings.intake.usb).resolve()), bench))
    return ways


def _step(way: Drop | Sticks) -> bool:
    try:
        return way.step()
    except EdgeError as error:
        log.event("intake_interrupted", code=error.code)
        return False
