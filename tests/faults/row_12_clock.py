"""Row 12: the wall clock jumps while a box reads; only the marks beside the times change.

A few lines of C, preloaded, move CLOCK_REALTIME alone: the timers of the kernel and the monotonic clock
go on, as they do where somebody sets a clock.
"""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
import time
import urllib.request
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from pydicom.dataset import Dataset

from edge.config import Settings, StorageSettings
from edge.store import budget, facts, retention
from edge.store.database import opened, writing
from edge.store.studies import WorklistRow, worklist
from edge.types import State
from tests.faults.row import Outcome, Row, Trial
from tests.support.box import Box, box_settings, echoscu, eventually, served, storescu
from tests.support.inputs import dx, save

_DAY_NS = 86_400 * 10**9
_JUMPS_NS = {
    "-5 y": -5 * 365 * _DAY_NS,
    "+10 y": 10 * 365 * _DAY_NS,
    "-1 d": -_DAY_NS,
    "-1 h": -_DAY_NS // 24,
    "+1 h": _DAY_NS // 24,
}
_POSSIBLE = {"+1 h"}  # the box cannot know that such a time is wrong
_ENDED = (State.DONE, State.NO_RESULT)
_NAMES = ("receiver", "worker", "web", "housekeeping")
_BUDGET_MB, _PRESSED = 20, 0.85
_ROUNDS_S = 11.0  # two rounds of the housekeeping


class _Clock:
    """The clock of a box, moved by a file that all its processes have mapped."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "shift"
        library = folder / "clockshift.so"
        source = Path(__file__).with_name("clockshift.c")
        subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", library, source], check=True)
        self.environment = {"LD_PRELOAD": str(library), "CLOCK_SHIFT_FILE": str(self._file), "TZ": "Europe/Paris"}
        self.move(0)

    @contextmanager
    def served(self, settings: Settings) -> Generator[Box, None, None]:
        """A box that lives by this clock; what it is sent comes from machines that do not."""
        with ExitStack() as stack:
            with patch.dict(os.environ, self.environment):
                box = stack.enter_context(served(settings))
            yield box

    def move(self, nanoseconds: int) -> None:
        with self._file.open("r+b" if self._file.exists() else "wb") as file:
            file.write(struct.pack("=q", nanoseconds))

    def shift_s(self) -> float:
        return float(struct.unpack("=q", self._file.read_bytes())[0]) / 1e9


def run(trial: Trial) -> Outcome:
    """Jump again and again, each time with a study in the middle of its reading."""
    if shutil.which("gcc") is None:
        if trial.is_long:
            return Outcome(figure="not run: gcc is not installed", ok=False)
        pytest.skip("gcc is not installed")
    clock, settings = _Clock(trial.folder), box_settings(trial.folder / "var")
    wrong: list[str] = []
    jumps = 0
    with ExitStack() as stack:
        box = stack.enter_context(clock.served(settings))
        eventually((settings.data_dir / "clock").exists)
        pids = {name: box.pid(name) for name in _NAMES}
        for number in range(trial.count(1, 20)):
            for name, nanoseconds in _JUMPS_NS.items():
                wrong += [f"{name}: {what}" for what in _jump(box, clock, nanoseconds, name in _POSSIBLE)]
                jumps += 1
            wrong += _set_by_hand(box, clock, number)
        wrong += [f"{name} was restarted" for name, pid in pids.items() if box.pid(name) != pid]
        rows = box.rows() if 3 * jumps < 100 else []
        marked = urllib.request.urlopen(box.address).read().decode().count("Time may be wrong")  # noqa: S310
        if marked != sum(not row.clock_trusted for row in rows) and rows:
            wrong.append("the worklist marks others than the store")
        kept = len(list(settings.incoming.glob("*.dcm")))
        if kept != 3 * jumps:
            wrong.append(f"{kept} of {3 * jumps} images are there")
        stopped = box.stop()
    pressed = [what for _ in range(trial.count(1, 5)) for what in _under_pressure(trial.folder, clock)]
    figure = (
        f"{jumps} jumps around {3 * jumps} studies, {kept} kept, {marked} marked; "
        f"{trial.count(1, 5)} boxes with too little room started ten years ahead; faults: {wrong + pressed or 'none'}"
    )
    return Outcome(figure=figure, ok=not wrong and not pressed and stopped == 0)


def _under_pressure(folder: Path, clock: _Clock) -> list[str]:
    """A box that would delete what was seen long ago: started ten years ahead, it deletes nothing."""
    settings = replace(box_settings(folder / "full"), storage=StorageSettings(budget_mb=_BUDGET_MB))
    settings.data_dir.mkdir()
    with clock.served(settings) as box:
        while _used_share(settings) < _PRESSED:
            _ended(box, _send(box, dx(np.full((1024, 512), 7, np.uint16))))
        for row in box.rows():
            _view(settings, row)
        box.stop()
    keys = {row.study_key for row in worklist(settings.database, 100)}
    clock.move(_JUMPS_NS["+10 y"])
    try:
        with clock.served(settings) as box:
            time.sleep(_ROUNDS_S)
            wrong = ["studies were deleted"] * (keys != {row.study_key for row in box.rows()})
            with opened(settings.database) as database, writing(database):
                facts.add(database, facts.RUNNING_S, settings.storage.keep_days * 86_400)
            eventually(lambda: len(box.rows()) < len(keys))  # there was too little room all the time
            box.stop()
    finally:
        clock.move(0)
        shutil.rmtree(settings.data_dir)
    return wrong


def _used_share(settings: Settings) -> float:
    return budget.used_share(settings.database, settings)


def _view(settings: Settings, row: WorklistRow) -> None:
    with opened(settings.database) as database:
        retention.note_view(database, row.study_key, row.state, row.version)


def _jump(box: Box, clock: _Clock, nanoseconds: int, possible: bool) -> list[str]:
    wrong = []
    _send(box)  # is being read when the clock jumps
    clock.move(nanoseconds)
    during = _send(box)
    if echoscu(box.receiver_port) != 0:
        wrong.append("no answer to C-ECHO")
    _ended(box, during)
    if _trusted(box, during) is not possible:
        wrong.append(f"a time is {'not ' * possible}trusted")
    clock.move(0)
    after = _send(box)
    _ended(box, after)
    # The kept time never follows an impossible one; after a possible one it is rightly in doubt until set by hand.
    if not possible and not _trusted(box, after):
        wrong.append("the right time after it is not trusted")
    return wrong


def _set_by_hand(box: Box, clock: _Clock, number: int) -> list[str]:
    """From ten years ahead back to now, with the command."""
    clock.move(_JUMPS_NS["+10 y"])
    file = box.settings.data_dir.parent / "box.toml"
    right = f"{datetime.now().astimezone():%Y-%m-%d %H:%M:%S%z}"
    command = [sys.executable, "-m", "edge", "--config", str(file), "clock", "set", right[:-2] + ":" + right[-2:]]
    environment = {**os.environ, **clock.environment}
    done = subprocess.run(command, env=environment, capture_output=True, timeout=60, check=False)
    is_set = done.returncode == 0 and abs(clock.shift_s()) < 60
    clock.move(0)
    return [] if is_set else [f"the command set the clock {clock.shift_s()} s off (round {number})"]


def _send(box: Box, image: Dataset | None = None) -> int:
    """Send a study of its own, and return the number of its image."""
    before = _newest(box)
    path = save(image or dx(), box.settings.data_dir.parent / "image.dcm")
    assert storescu(box.receiver_port, [path]) == 0
    return eventually(lambda: newest if (newest := _newest(box)) > before else 0)


def _newest(box: Box) -> int:
    with opened(box.settings.database) as database:
        return int(database.execute("SELECT coalesce(max(id), 0) FROM instances").fetchone()[0])


def _row(box: Box, instance_id: int) -> tuple[str, bool]:
    query = """SELECT study_key FROM studies JOIN instances ON studies.id = study_id WHERE instances.id = ?"""
    with opened(box.settings.database) as database:
        key = database.execute(query, (instance_id,)).fetchone()[0]
    row = next(row for row in box.rows() if row.study_key == key)
    return row.state, row.clock_trusted


def _ended(box: Box, instance_id: int) -> None:
    eventually(lambda: _row(box, instance_id)[0] in _ENDED)


def _trusted(box: Box, instance_id: int) -> bool:
    return _row(box, instance_id)[1]


ROW = Row(number=12, goal="clock jumps: timers unaffected, nothing deleted, untrusted times marked", run=run)
