"""Row 1: any process of the box is killed at random while objects arrive, the supervisor included.

Where the supervisor dies, it is started again, as systemd does. The rows are looked at before anything
is started again: a receiver takes in files without a row, which would hide a missing commit.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace

import psutil

from edge.config import DicomSettings, Settings, WebSettings
from edge.dicom.send import echo
from edge.pipeline.supervisor import NAMES
from edge.store.database import opened
from edge.store.reconcile import reconcile
from tests.faults.row import Outcome, Row, Trial
from tests.faults.row_04_full_disk import page
from tests.support.box import Box, box_settings, eventually, served
from tests.support.ledger import Ledger, faults, sending, without_a_row

_GOAL_S = 10.0
_SUPERVISOR, _READER = "supervisor", "reader"
_NAMES = (*NAMES, _READER, _SUPERVISOR)


def _run(trial: Trial) -> Outcome:
    kills, chance, ledger = trial.count(len(_NAMES), 1000), trial.random(), Ledger()
    settings = _with_ports(box_settings(trial.folder / "var"))
    waits, missing = [], set[str]()
    with ExitStack() as life:
        box = life.enter_context(served(settings))
        with sending(settings.dicom.port, ledger, chance, threads=2):
            for number in range(kills):
                time.sleep(chance.uniform(0, 0.5))
                name = _NAMES[number % len(_NAMES)]
                started = time.monotonic()
                missing |= _killed(box, name, lambda: without_a_row(settings, ledger))
                if name == _SUPERVISOR:
                    life.close()
                    box = life.enter_context(served(settings))
                eventually(lambda box=box: _is_ready(box))
                waits.append(time.monotonic() - started)
    missing |= without_a_row(settings, ledger)
    with opened(settings.database) as database:
        reconcile(database, settings)
    found = faults(settings, ledger)
    figure = (
        f"{kills} kills, {len(ledger.acknowledged)} acknowledged: {len(missing)} without a row right after a kill, "
        f"{len(found)} lost, torn or corrupt in the end; "
        f"ready again after {sum(waits) / kills:.1f} s, {max(waits):.1f} s at most"
    )
    in_time = max(waits) < _GOAL_S or not trial.is_long
    return Outcome(figure=figure, ok=not found and not missing and in_time and len(ledger.acknowledged) >= kills)


def _with_ports(settings: Settings) -> Settings:
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        ports = one.getsockname()[1], other.getsockname()[1]
    return replace(settings, dicom=DicomSettings(port=ports[0]), web=WebSettings(port=ports[1]))


def _killed(box: Box, name: str, look: Callable[[], set[str]]) -> set[str]:
    """Kill one process, and look at what it left before the supervisor may start it again."""
    receiver = box.pid("receiver")
    if name == _SUPERVISOR:
        box.process.kill()
        box.process.wait()
        eventually(lambda: receiver is None or not psutil.pid_exists(receiver))
        return look()
    box.process.send_signal(signal.SIGSTOP)
    try:
        for pid in _pids(box, name):
            os.kill(pid, signal.SIGKILL)
        eventually(lambda: name == _READER or box.pid(name) is None)
        return look()
    finally:
        box.process.send_signal(signal.SIGCONT)


def _pids(box: Box, name: str) -> list[int]:
    if name != _READER:
        return [pid] if (pid := box.pid(name)) else []
    worker = box.pid("worker")
    return [child.pid for child in psutil.Process(worker).children()] if worker else []


def _is_ready(box: Box) -> bool:
    if not all(box.pid(name) for name in NAMES) or not echo("127.0.0.1", box.receiver_port, "CHESTEDGE"):
        return False
    try:
        return '"status":"ok"' in page(f"{box.address}healthz")
    except OSError:
        return False


ROW = Row(number=1, goal="1,000 kills: no acknowledged instance lost, integrity_check ok, ready again < 10 s", run=_run)
