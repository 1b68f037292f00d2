"""The time of one step of a reading: the kernel ends the process where a step takes longer.

A step may hang inside C code that holds Python's lock, where no thread and no Python handler
runs any more. So the timer's signal keeps its default action (setitimer(2), signal(7)), which
needs nothing of the process. What it was doing stands in a file of the run folder, for the
worker that comes after it. Rejected: a watching thread, which a hang with the lock held stops
too; a process for each step, which loads the networks anew.
"""

from __future__ import annotations

import signal
from contextlib import suppress
from pathlib import Path

from edge.config import Settings
from edge.dicom.reader import LONGEST_S
from edge.errors import ReadingError

TIMED_OUT = -signal.SIGALRM
"""Exit code of a process that a budget ended, as its parent sees it."""
OUT_OF_MEMORY = 3
"""Exit code of a worker that a reading left without memory."""
DECODING, STORING = "decoding", "storing"
_READER_S = 60.0 + LONGEST_S  # the reader has limits of its own, which must come first


class Budget:
    """Times the steps of this process. Only for its main thread."""

    def __init__(self, settings: Settings) -> None:
        self._step_s = settings.study.stage_s
        self._note = _note(settings)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)  # both may come otherwise from whoever started the box
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})

    def begin(self, step: str) -> None:
        """A step begins, and the one before it has ended."""
        with suppress(OSError):  # on a full disk only the name of the step is lost
            self._note.write_text(step, encoding="utf-8")
        signal.setitimer(signal.ITIMER_REAL, self._step_s + (_READER_S if step == DECODING else 0.0))

    def end(self) -> None:
        """The last step has ended."""
        signal.setitimer(signal.ITIMER_REAL, 0.0)


def fault(settings: Settings, exit_code: int) -> ReadingError:
    """Why the worker before this one ended in the middle of a study.

    Parameters
    ----------
    exit_code : its own, as the supervisor saw it; 0 where there was none.
    """
    if exit_code == OUT_OF_MEMORY:
        return ReadingError("out_of_memory")
    if exit_code != TIMED_OUT:
        return ReadingError("reading_crashed")
    try:
        step = _note(settings).read_text(encoding="utf-8")
    except OSError:
        step = ""
    return ReadingError("stage_timeout", stage=step or "?")


def _note(settings: Settings) -> Path:
    return settings.run_dir / "worker.step"
