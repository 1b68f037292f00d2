"""Row 4: the disk fills up while objects arrive; the box refuses, stays alive, and recovers by itself.

The data folder is a small file system of its own in memory. It is filled by objects up to the
refusal, then by something else to the last byte; then it grows, as where somebody makes room.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from edge.config import Settings
from tests.faults.row import Outcome, Row, Skipped, Trial
from tests.support import inputs
from tests.support.box import WAIT_S, Box, box_settings, echoscu, eventually, served
from tests.support.ledger import Ledger, associate, faults, store

_MEGABYTE = 1 << 20
_FIRST_MB, _MORE_MB = 24, 12
_LARGE_MB = 384  # of which the room that the box keeps back is less than the last twentieth
_BEYOND = 5
_OUT_OF_RESOURCES = 0xA700


def _run(trial: Trial) -> Outcome:
    rounds, chance, ledger = trial.count(2, 20), trial.random(), Ledger()
    answers, alive, found = 0, 0, []
    with small_disk(trial.folder / "var") as folder:
        settings = box_settings(folder)
        grow(folder, _FIRST_MB)
        with served(settings) as box:
            eventually(settings.reserve.exists)
            for number in range(rounds):
                grow(folder, _FIRST_MB + number * _MORE_MB)
                taken = _fill(box, ledger, chance)
                with filler(folder):
                    refused = [_send(box, ledger, chance) for _ in range(_BEYOND)]
                    alive += _is_alive(box)
                answers += refused.count(_OUT_OF_RESOURCES)
                found += [] if taken else ["nothing was taken although there was room"]
                found += faults(settings, ledger)
            box.stop()
        grow(folder, _LARGE_MB)
        started = _starts_full(settings)
    others = {status for status in ledger.statuses if status not in (0, _OUT_OF_RESOURCES)}
    figure = (
        f"{rounds} times full: {ledger.statuses[_OUT_OF_RESOURCES]} of {sum(ledger.statuses.values())} objects refused "
        f"with A700, {len(others)} other answers, {len(found)} acknowledged and lost; "
        f"page and echo answered {alive} times; {'started' if started else 'did not start'} at 100 %"
    )
    return Outcome(
        figure=figure, ok=answers == rounds * _BEYOND and alive == rounds and started and not others and not found
    )


def _starts_full(settings: Settings) -> bool:
    """Whether the box starts on a disk without a free byte, shows what it has, and refuses."""
    with filler(settings.data_dir):
        try:
            with served(settings) as box:
                return _is_alive(box) and _send(box, Ledger(), random.Random(0)) == _OUT_OF_RESOURCES  # noqa: S311
        except AssertionError:
            return False


@contextmanager
def small_disk(folder: Path) -> Generator[Path, None, None]:
    """A folder that is a file system of its own, which ``grow`` gives a size."""
    folder.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(folder)], check=False).returncode:
        raise Skipped("no right to mount a file system here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def grow(folder: Path, megabytes: int) -> None:
    """Set the size of the disk."""
    subprocess.run(["mount", "-o", f"remount,size={megabytes}m", str(folder)], check=True)


def _fill(box: Box, ledger: Ledger, chance: random.Random) -> int:
    """Send until the box refuses; how many objects it took."""
    count = 0
    while _send(box, ledger, chance) == 0:
        count += 1
    return count


def _send(box: Box, ledger: Ledger, chance: random.Random) -> int | None:
    dataset = inputs.dx(np.frombuffer(chance.randbytes(_MEGABYTE), np.uint16).reshape(1024, 512) >> 4)
    association = associate(box.receiver_port)
    status = store(association, dataset)
    ledger.write(dataset, status)
    association.release()
    return status


@contextmanager
def filler(folder: Path) -> Generator[None, None, None]:
    """Something else fills the disk to the last byte."""
    path = folder / "filler"
    try:
        with path.open("wb", buffering=0) as file:
            while file.write(bytes(4096)) == 4096:
                pass
    except OSError:
        yield
    path.unlink()


def _is_alive(box: Box) -> bool:
    key = box.rows()[0].study_key
    pages = [page(f"{box.address}{address}") for address in ("", "status", f"study/{key}")]
    health = json.loads(page(f"{box.address}healthz"))
    return health["disk"] == "full" and "takes no more images" in pages[0] and echoscu(box.receiver_port) == 0


def page(address: str) -> str:
    """What the page answers."""
    with urllib.request.urlopen(address, timeout=WAIT_S) as answer:  # noqa: S310
        return str(answer.read().decode())


ROW = Row(number=4, goal="disk full: always A700, never a false success; the page works; recovers by itself", run=_run)
