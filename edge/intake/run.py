"""The process of the other ways in: it looks at the drop folder and at the sticks, again and again.

Without either it only waits to be told to stop. Rejected: doing this in the receiver, whose
associations a stick that hangs would hold up.
"""

from __future__ import annotations

import signal
import threading
from pathlib import Path

from edge.bus import Listener, Speaker
from edge.config import Settings
from edge.intake.drop import Drop
from edge.store.spool import Spool

_LOOK_S = 1.0


def run(settings: Settings) -> int:
    """Take in until SIGTERM, and return the exit status."""
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda number, frame: stopped.set())
    signal.signal(signal.SIGIO, signal.SIG_IGN)  # sent where a program opens a file on which a lease was just taken
    speaker, listener = Speaker(settings.run_dir, "intake"), Listener(settings.run_dir, ["web"])
    spool = Spool(settings, speaker.wake)
    drop = Drop(Path(settings.intake.folder), spool) if settings.intake.folder else None
    while not stopped.is_set():
        if drop is not None:
            drop.step()
        listener.wait(_LOOK_S)
    for part in (spool, listener, speaker):
        part.close()
    return 0
