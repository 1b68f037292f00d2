"""The housekeeping: a process for what must be done from time to time and must hold up nobody."""

from __future__ import annotations

import signal
import threading

from edge import log
from edge.audit import relay
from edge.config import Settings
from edge.errors import StorageError
from edge.store.timekeeping import keep_floor

_TICK_S = 5.0


def run(settings: Settings) -> int:
    """Keep house until SIGTERM, and return the exit status."""
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda number, frame: stopped.set())
    audit = threading.Thread(target=relay.run, args=(settings, stopped))
    audit.start()
    while not stopped.is_set():
        try:
            keep_floor(settings.data_dir)
        except StorageError as error:
            log.event("housekeeping_failed", error_type=type(error).__name__, where=log.where(error))
        stopped.wait(_TICK_S)
    audit.join()
    return 0
