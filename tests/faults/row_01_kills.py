"""Row 1: any process of the box is killed at random while objects arrive, the supervisor included.

Where the supervisor dies, it is started again, as systemd does.
"""

from __future__ import annotations

import os
import signal
import socket
import time
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
from tests.support.ledger import Ledger, faults, sending

_GOAL_S = 10.0
_SUPERVISOR, _READER = "supervisor", "reader"


def _run(trial: Trial) -> Outcome:
    kills, chance, ledger = trial.count(4, 1000), trial.random(), Ledger()
    settings = _with_ports(box_settings(trial.folder / "var"))
    waits = []
    with ExitStack() as life:
        box = life.enter_context(served(settings))
        with sending(settings.dicom.port, ledger, chance, threads=2):
            for number in range(kills):
                time.sleep(chance.uniform(0, 0.5))
                name = (*NAMES, _READER, _SUPERVISOR)[number % (len(NAMES) + 2)] if trial.is_long else _short(number)
                started = time.monotonic()
                if name == _SUPERVISOR:
                    box.process.kill()
                    life.close()
                    box = life.enter_context(served(settings))
                else:
                    _kill(box, name)
                eventually(lambda box=box: _is_ready(box))
                waits.append(time.monotonic() - started)
    with opened(settings.database) as database:
        reconcile(database, settings)
    found = faults(settings, ledger)
    figure = (
        f"{kills} kills, {len(ledger.acknowledged)} acknowledged: {len(found)} lost, torn or corrupt; "
        f"ready again after {sum(waits) / kills:.1f} s, {max(waits):.1f} s at most"
    )
    in_time = max(waits) < _GOAL_S or not trial.is_long
    return Outcome(figure=figure, ok=not found and in_time and len(ledger.acknowledged) >= kills)


def _short(number: int) -> str:
    return ("receiver", "worker", _SUPERVISOR, "housekeeping")[number % 4]


def _with_ports(settings: Settings) -> Settings:
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        ports = one.getsockname()[1], other.getsockname()[1]
    return replace(settings, dicom=DicomSettings(port=ports[0]), web=WebSettings(port=ports[1]))


def _kill(box: Box, name: str) -> None:
    if name != _READER:
        box.kill(name)
        return
    worker = box.pid("worker")
    for child in psutil.Process(worker).children() if worker else ():
        os.kill(child.pid, signal.SIGKILL)


def _is_ready(box: Box) -> bool:
    if not all(box.pid(name) for name in NAMES) or not echo("127.0.0.1", box.receiver_port, "CHESTEDGE"):
        return False
    try:
        return '"status":"ok"' in page(f"{box.address}healthz")
    except OSError:
        return False


ROW = Row(number=1, goal="1,000 kills: no acknowledged instance lost, integrity_check ok, ready again < 10 s", run=_run)
