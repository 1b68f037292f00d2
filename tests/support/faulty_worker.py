"""The worker's own process, in which some images meet a fault: ``python -I faulty_worker.py worker SETTINGS ...``.

Which image meets which fault is told by its height. Everything else is the worker as it ships.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import cv2
import numpy as np

from edge import process
from edge.engines.engine import Engine
from edge.pipeline import reading, runner, worker
from edge.stages.radiograph.case import Case
from edge.stages.stage import Outcome, Stage

STEPS = (*(stage.name for stage in runner.RADIOGRAPH_STAGES), "storing")
FIRST_HANGING_PX = 600
"""An image of so many rows hangs in the first step, one of a row more in the second, and so on."""
FIRST_GREEDY_PX = 700
"""An image of so many rows meets the first of the lacks of memory, and so on."""
_ROOM_BYTES = 256 << 20


def main() -> int:
    """Run the worker with its faults."""
    stages = tuple(_faulty(number, stage) for number, stage in enumerate(runner.RADIOGRAPH_STAGES))
    reading.RADIOGRAPH_STAGES = stages
    worker.write_pictures = partial(_store, worker.write_pictures)  # type: ignore[assignment]
    return process.main()


def _faulty(number: int, stage: Stage[Case]) -> Stage[Case]:
    def read(case: Case, engine: Engine) -> Outcome[Case]:
        rows = case.radiograph.pixels.shape[0]
        if rows == FIRST_HANGING_PX + number:
            _hang()
        if FIRST_GREEDY_PX <= rows < FIRST_GREEDY_PX + len(LACKS):
            _limit_memory()
            LACKS[rows - FIRST_GREEDY_PX](engine)
        is_to_hang_later = FIRST_HANGING_PX <= rows < FIRST_HANGING_PX + len(STEPS)
        assert stage.read is not None
        return Outcome(case=case) if is_to_hang_later else stage.read(case, engine)

    return replace(stage, read=read)


def _store(real: Callable[..., None], *arguments: Any) -> None:
    if arguments[-1].shape[0] == FIRST_HANGING_PX + STEPS.index("storing"):
        _hang()
    real(*arguments)


def _hang() -> None:
    ctypes.PyDLL(None).sleep(3600)  # a PyDLL keeps Python's lock: nothing of Python runs any more


def _limit_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + _ROOM_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _in_python(engine: Engine) -> NoReturn:
    kept = []
    while True:
        kept.append(bytearray(16 << 20))


def _in_numpy(engine: Engine) -> None:
    np.zeros(_ROOM_BYTES, np.uint8).astype(np.float64)


def _in_opencv(engine: Engine) -> None:
    cv2.resize(np.zeros((100, 100), np.uint8), (20_000, 20_000))


def _in_the_runtime(engine: Engine) -> None:
    side = engine.card.side
    engine.run(np.zeros((512, side, side), np.float32))


def _by_the_kernel(engine: Engine) -> None:
    os.kill(os.getpid(), signal.SIGKILL)  # as its out-of-memory killer does


LACKS: tuple[Callable[[Engine], None], ...] = (_in_python, _in_numpy, _in_opencv, _in_the_runtime, _by_the_kernel)


if __name__ == "__main__":
    sys.exit(main())
