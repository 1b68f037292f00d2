"""Weeks without an archive, and an export process that is killed at any moment: everything arrives, once."""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from edge.config import Settings
from edge.errors import SendError
from edge.store import sent
from edge.types import Kind
from tests.export.test_courier import Clock
from tests.support import small_exporter
from tests.support.box import eventually, running
from tests.support.exports import Archive, archive, box_with, courier, drain, on_the_same, put_result, states
from tests.support.pacs import free_port

ALL = tuple(kind.value for kind in Kind)
WEEK_S = 7 * 24 * 3600


@pytest.mark.usefixtures("small_objects")
def test_after_a_week_of_outage_500_objects_arrive_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    later, port = Clock(monkeypatch), free_port()
    box = box_with(tmp_path, archive(port, objects=ALL, commitment=True))
    for number in range(100):
        put_result(box, ("normal", "refer", "abnormal")[number % 3], "severe" if number == 50 else None)
    peer = Archive(report=on_the_same())
    asked = 0
    with courier(box) as sender:
        drain(sender)  # the peer is really down; for the rest of the week only the box is tried
        with monkeypatch.context() as down:
            down.setattr(sender._carrier, "connected", unreachable)
            while later.now < WEEK_S:
                asked += drain(sender)
                later.now += 60
        assert states(box) == ["queued"] * 500 and states(box, "strikes") == [0] * 500
        assert WEEK_S / 700 <= asked <= 2.5 * WEEK_S / 600, "one question a wait, whatever waits"
        assert sent.standings(box.database, box)[0].waiting == 500
        with peer.running(port):
            later.now += 700
            eventually(lambda: drain(sender) == 0 and states(box) == ["committed"] * 500, 120)
    assert (len(peer.stored), set(peer.stored.values())) == (500, {1})
    first = states(box, "sop_instance_uid")[250:255]
    assert peer.order[:5] == first, "the severe one leaves first"


def unreachable(paths: object) -> Any:
    raise SendError("unreachable", peer="PACS")


@contextmanager
def exporting(box: Settings) -> Generator[subprocess.Popen[bytes], None, None]:
    with running("export", box, program=(str(small_exporter.__file__),)) as process:
        yield process


class Witness:
    """Watches an archive: what comes again after it was committed and the box had said that it knows."""

    def __init__(self, chance: random.Random) -> None:
        self.known: set[str] = set()
        self.again: list[str] = []
        self._chance = chance
        self.archive = Archive(status=self._store, report=self._report)

    def _store(self, number: int) -> Any:
        uid = self.archive.order[-1]
        if uid in self.known:
            self.again.append(uid)
        fate = self._chance.random()
        return None if fate < 0.02 else 0x0110 if fate < 0.04 else 0

    def _report(self, association: Any, transaction: str, pairs: list[tuple[str, str]]) -> None:
        from edge.dicom import commitment
        from tests.support.exports import told

        held = [pair for pair in pairs if pair[1] in self.archive.stored]
        lost = [pair for pair in pairs if pair[1] not in self.archive.stored]
        try:
            event = told(transaction, held, lost)
            kind = 2 if lost else 1
            status, _ = association.send_n_event_report(event, kind, commitment.PUSH_MODEL, commitment.INSTANCE)
        except RuntimeError:  # the box was killed meanwhile
            return
        if status.get("Status") == 0:
            self.known |= {uid for _, uid in held}


@pytest.mark.parametrize("seed", [1])
def test_whenever_it_is_killed_everything_arrives_and_nothing_comes_after_its_commitment(
    tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    witness = Witness(chance)
    with witness.archive.running() as port:
        box = box_with(tmp_path / "box", archive(port, objects=ALL, commitment=True))
        kills = 0
        for number in range(6):
            for _ in range(4):
                put_result(box, "abnormal" if number % 2 else "normal")
            with exporting(box):
                eventually(lambda: "sent" in (box.run_dir / "export.log").read_text() or not waiting(box))
                time.sleep(chance.uniform(0, 1.5))
                kills += 1
        with exporting(box) as process:
            eventually(lambda: not waiting(box))
            process.terminate()
            assert process.wait(20) == 0
    assert states(box) == ["committed"] * 120
    assert witness.again == []
    assert len(witness.archive.stored) == 120
    assert all(len(digests) == 1 for digests in witness.archive.digests.values())


def waiting(box: Settings) -> bool:
    return any(state not in ("committed", "dead") for state in states(box))
