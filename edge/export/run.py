"""The process ``export``: a courier for each destination of the settings, and one maker of objects for all."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable

from edge import log
from edge.bus import Listener, Speaker
from edge.config import DestinationSettings, Settings
from edge.errors import StorageError
from edge.export.courier import Courier
from edge.export.making import Maker
from edge.store.database import connect

_LOOK_S = 1.0
_STORE_FAILED_S = 5.0


class _Round(threading.Thread):
    """Goes to one destination again and again until told to stop."""

    def __init__(
        self, settings: Settings, destination: DestinationSettings, maker: Maker, changed: Callable[[int], None]
    ) -> None:
        super().__init__(daemon=True)
        self.is_due = threading.Event()
        self.exit_status = 1  # of whoever is ended by an error
        self._parts = (settings, destination, maker, changed)
        self._stopped = threading.Event()

    def run(self) -> None:
        """Work until ``stop``."""
        settings, destination, maker, changed = self._parts
        database = connect(settings.database)
        try:
            courier = Courier(settings, destination, database, maker, changed)
            while not self._stopped.is_set():
                self.is_due.clear()
                if not self._step(courier):
                    self.is_due.wait(_LOOK_S)
            self.exit_status = 0
        except StorageError as error:
            log.event("process_failed", process="export", code=error.code)
        finally:
            database.close()

    def _step(self, courier: Courier) -> bool:
        try:
            return courier.step()
        except StorageError as error:
            log.event("export_interrupted", code=error.code)
            self._stopped.wait(_STORE_FAILED_S)
            return False
        except Exception as error:  # whatever it is, the other destinations and the next try go on
            log.event("export_interrupted", error_type=type(error).__name__, where=log.where(error))
            self._stopped.wait(_STORE_FAILED_S)
            return False

    def stop(self) -> None:
        """End after what is being done now."""
        self._stopped.set()
        self.is_due.set()


def run(settings: Settings) -> int:
    """Send until SIGTERM, and return the exit status."""
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda number, frame: stopped.set())
    speaker, listener = Speaker(settings.run_dir, "export"), Listener(settings.run_dir, "export")
    maker = Maker(settings)
    rounds = [_Round(settings, destination, maker, speaker.wake) for destination in settings.destination]
    for each in rounds:
        each.start()
    while not stopped.is_set() and all(each.is_alive() for each in rounds):
        if listener.wait(_LOOK_S) is not None:
            for each in rounds:
                each.is_due.set()
    failed = [each.exit_status for each in rounds if not each.is_alive()]
    for each in rounds:
        each.stop()
    for each in rounds:
        each.join(_LOOK_S)  # whatever hangs in a connection ends with the process; its object is asked for then
    listener.close()
    speaker.close()
    return max(failed, default=0)
