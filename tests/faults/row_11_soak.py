"""Associations by the thousand, four at a time; memory and threads are looked at on the way."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

from tests.faults.row import Outcome, Row, Trial
from tests.support import inputs, peers
from tests.support.box import WAIT_S, eventually, storescu
from tests.support.receivers import Receiver, receiver

_PARALLEL = 4
_LOOKS = 10
_MOST_GROWTH = 1.05


def run(trial: Trial) -> Outcome:
    """C-ECHO all the time and an image now and then; compare the end with the time after a warm-up."""
    count = int(os.environ.get("SOAK") or trial.count(400, 10_000))
    image = inputs.chest_dicom(trial.folder / "a.dcm")
    with receiver(trial.folder) as box, ThreadPoolExecutor(_PARALLEL) as pool:
        _associate(box, pool, 200)
        threads = eventually(lambda: _settled(box), WAIT_S)
        sizes = [peers.rss_mib(box.process.pid)]
        done = 0
        for _ in range(_LOOKS):
            done += _associate(box, pool, count // _LOOKS)
            stored = storescu(box.port, [image])
            sizes.append(peers.rss_mib(box.process.pid))
        after = eventually(lambda: now if (now := peers.threads(box.process.pid)) <= threads else 0)
    half = sizes[len(sizes) // 2]
    figure = (
        f"{done} of {count} associations: RSS {sizes[0]:.1f} MiB after 200, {half:.1f} half way, {sizes[-1]:.1f} at "
        f"the end; threads {threads} and {after}"
    )
    is_flat = sizes[-1] <= half * _MOST_GROWTH or not trial.is_long
    return Outcome(figure=figure, ok=done == count // _LOOKS * _LOOKS and stored == 0 and is_flat)


def _associate(box: Receiver, pool: ThreadPoolExecutor, count: int) -> int:
    sources = (f"127.0.0.{2 + number % 100}" for number in range(count))
    return sum(seconds is not None for seconds in pool.map(lambda source: peers.quick_echo(box.port, source), sources))


def _settled(box: Receiver) -> int:
    threads = peers.threads(box.process.pid)
    return threads if threads <= 6 else 0


ROW = Row(number=11, goal="10,000 associations: RSS flat, threads flat", run=run)
