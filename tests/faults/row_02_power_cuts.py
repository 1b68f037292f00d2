"""Row 2: the power goes while objects arrive, on a disk that keeps nothing but what was flushed.

In every other cut a random part of the rest reaches the disk all the same. Every tenth cut meets a
box that has just been set up, so that the names of its folders and of the database are at stake.
"""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

from edge.config import DicomSettings, Settings
from edge.store.database import opened
from edge.store.files import make_folders
from edge.store.reconcile import reconcile
from edge.store.recovery import prepare
from tests.faults.row import Outcome, Row, Skipped, Trial
from tests.support import forgetful
from tests.support.box import eventually, running
from tests.support.forgetful import Disk
from tests.support.ledger import Ledger, faults, sending

_CUTS_A_BOX = 10


def _run(trial: Trial) -> Outcome:
    if reason := forgetful.why_not():
        raise Skipped(reason)
    cuts, chance = trial.count(4, 300), trial.random()
    acknowledged, found, rebuilt = 0, [], 0
    with forgetful.mounted(trial.folder / "disk") as disk:
        for number in range(cuts):
            if number % (_CUTS_A_BOX if trial.is_long else 2) == 0:
                box, ledger = new_box(disk, trial.folder, f"box{number}"), Ledger()
            before = len(ledger.acknowledged)
            with running("receiver", box):
                with sending(port_of(box), ledger, chance):
                    time.sleep(chance.uniform(0.05, 0.6))
                    disk.cut(chance.getrandbits(32) if number % 2 else None)
                    time.sleep(0.05)
            disk.power_on()
            acknowledged += len(ledger.acknowledged) - before
            rebuilt += start_again(box, trial.folder)
            # Before files without a row are taken in, which would hide a commit that was not durable.
            found += [fault for fault in faults(box, ledger) if not fault.startswith("torn")]
            found += reconciled(box, ledger)
    lost, torn = (sum(fault.startswith(kind) for fault in found) for kind in ("lost", "torn"))
    figure = f"{cuts} cuts, {acknowledged} acknowledged: {lost} lost, {torn} torn, {rebuilt} databases damaged"
    return Outcome(figure=figure, ok=not found and rebuilt == 0 and acknowledged >= cuts)


def new_box(disk: Disk, outside: Path, name: str) -> Settings:
    """A box on this disk, just set up as the supervisor does it; its sockets are elsewhere."""
    settings = Settings(data_dir=disk.path / name, dicom=DicomSettings(port=0))
    start_again(settings, outside)
    return settings


def start_again(settings: Settings, outside: Path) -> bool:
    """What a start of the box does before its processes; whether the database had to be made anew."""
    for folder in (settings.data_dir, settings.incoming, settings.results):
        make_folders(folder)
    run_dir = outside / "run"
    run_dir.mkdir(exist_ok=True)
    with suppress(FileNotFoundError):
        (run_dir / "receiver.port").unlink()
    if not settings.run_dir.is_symlink():
        settings.run_dir.symlink_to(run_dir)
    return prepare(settings)


def reconciled(settings: Settings, ledger: Ledger) -> list[str]:
    """What is wrong with the store once rows and files agree."""
    with opened(settings.database) as database:
        found = reconcile(database, settings)
    return [*faults(settings, ledger), *(f"lost: {path.name}" for _, path in found.lost)]


def port_of(settings: Settings) -> int:
    """Where the receiver listens, once it does."""
    file = settings.run_dir / "receiver.port"
    eventually(file.exists)
    return int(file.read_text())


ROW = Row(number=2, goal="300 power cuts: no acknowledged instance lost, none torn", run=_run)
