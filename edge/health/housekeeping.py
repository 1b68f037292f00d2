"""The housekeeping: counts the time that the box runs, measures what it fills, and makes room.

It also runs the audit relay in a thread, and keeps the last known time for the next start.
A process of its own, so that walking over the files never holds up the receiver or the page.
Rejected: doing it in the worker, where a long reading would put it off.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable

from sqlite_utils import Database

from edge import clock, log
from edge.audit import relay
from edge.bus import Speaker
from edge.config import Settings
from edge.errors import StorageError
from edge.store import facts, reserve
from edge.store.budget import measure
from edge.store.database import connect, writing
from edge.store.retention import finish_deletions, make_room
from edge.store.timekeeping import keep_floor

_TICK_S = 5.0
_STOCK_EVERY_S = 60.0  # each time costs a flush of the disk


class Housekeeping:
    """Does all the chores, one round at a time.

    Parameters
    ----------
    changed : told how many studies went, for whoever shows them.
    """

    def __init__(self, settings: Settings, database: Database, changed: Callable[[int], None]) -> None:
        self._settings = settings
        self._database = database
        self._changed = changed
        self._counted_to = self._stock_at = clock.monotonic()

    def step(self) -> None:
        """One round.

        Raises
        ------
        StorageError
            The disk or the database cannot be written; the next round tries again.
        """
        if clock.monotonic() >= self._stock_at:
            self._take_stock()
        if gone := make_room(self._database, self._settings):
            self._changed(gone)

    def _take_stock(self) -> None:
        used_bytes, now = measure(self._settings), clock.monotonic()
        with writing(self._database):
            facts.add(self._database, facts.RUNNING_S, now - self._counted_to)
            facts.keep(self._database, facts.USED_BYTES, used_bytes)
        self._counted_to, self._stock_at = now, now + _STOCK_EVERY_S
        reserve.take(self._settings)


def run(settings: Settings) -> int:
    """Keep house until SIGTERM, and return the exit status."""
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda number, frame: stopped.set())
    database = connect(settings.database)
    speaker = Speaker(settings.run_dir, "housekeeping")
    house = Housekeeping(settings, database, speaker.wake)
    audit = threading.Thread(target=relay.run, args=(settings, stopped))
    audit.start()
    try:
        while audit.is_alive() and not stopped.is_set():
            _round(house, database, settings)
            stopped.wait(_TICK_S)
        told_to = stopped.is_set()
    finally:
        stopped.set()
        audit.join()
        speaker.close()
        database.close()
    return 0 if told_to else 1  # without its audit trail a box starts again


def _round(house: Housekeeping, database: Database, settings: Settings) -> None:
    try:
        keep_floor(settings.data_dir)
        finish_deletions(database, settings)
        house.step()
    except (StorageError, OSError) as error:
        log.event("housekeeping_failed", error_type=type(error).__name__, where=log.where(error))
