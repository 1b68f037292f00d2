"""USB sticks: counted, taken in when asked for, pulled in the middle, hostile. A folder plays the stick."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import EncapsulatedPDFStorage
from sqlite_utils import Database

from edge.config import Settings
from edge.errors import StorageError
from edge.intake.dispatch import Sticks
from edge.intake.mounts import Mount
from edge.intake.studies import Bench
from edge.store import sticks
from edge.store.database import connect
from edge.store.spool import Spool
from edge.store.sticks import Stick, StickState
from tests.support import inputs
from tests.support.ways import dicomdir


@dataclass
class Port:
    """Where sticks are put in: any folders."""

    box: Settings
    database: Database
    spool: Spool
    there: list[Mount] = field(default_factory=list)
    watch: Sticks | None = None

    def put_in(self, stick: Path, key: str = "1", *, is_writable: bool = False) -> None:
        self.there = [Mount(key=key, path=stick, is_writable=is_writable)]
        self.restart()

    def restart(self) -> None:
        bench = Bench(settings=self.box, database=self.database, spool=self.spool)
        self.watch = self.watch or Sticks(lambda: [mount for mount in self.there if mount.is_there()], bench)

    def settle(self) -> Stick:
        assert self.watch is not None
        while self.watch.step():
            pass
        return self.shown()

    def shown(self) -> Stick:
        return sticks.shown(self.database)[0]

    def take(self) -> Stick:
        assert sticks.want(self.database, self.shown().stick_id)
        return self.settle()


@pytest.fixture
def port(box: Settings) -> Iterator[Port]:
    database, spool = connect(box.database), Spool(box, lambda number: None)
    yield Port(box, database, spool)
    spool.close()
    database.close()


@pytest.fixture
def stick(tmp_path: Path) -> Path:
    folder = tmp_path / "stick"
    folder.mkdir()
    return folder


def fill(stick: Path, count: int = 3) -> list[Path]:
    """Images of as many studies."""
    folder = stick / "IMAGES"
    folder.mkdir(exist_ok=True)
    return [inputs.chest_dicom(folder / f"IM{number}") for number in range(count)]


def fingerprint(stick: Path) -> dict[str, tuple[str, int]]:
    return {
        str(path.relative_to(stick)): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in sorted(stick.rglob("*"))
        if path.is_file()
    }


def stored(box: Settings) -> list[Path]:
    return sorted(box.incoming.iterdir())


@pytest.mark.parametrize("has_directory", [True, False], ids=["DICOMDIR", "loose files"])
def test_a_stick_is_counted_and_taken_in_only_when_asked_for(port: Port, stick: Path, has_directory: bool) -> None:
    study = inputs.dx()
    images = fill(stick, 2)
    third = inputs.save(inputs.dx(StudyInstanceUID=study.StudyInstanceUID), stick / "IMAGES" / "IM8")
    fourth = inputs.save(study, stick / "IMAGES" / "IM9")
    if has_directory:
        names = [[("IMAGES", path.name)] for path in images]
        dicomdir(stick, [*names, [("IMAGES", third.name), ("IMAGES", fourth.name)]])
    inputs.text_file(stick / "autorun.inf")
    before = fingerprint(stick)
    port.put_in(stick)
    found = port.settle()
    assert (found.state, found.counts.studies, found.counts.total) == (StickState.READY, 3, 4)
    assert stored(port.box) == []
    done = port.take()
    assert (done.state, done.counts.taken, done.counts.done) == (StickState.TAKEN, 4, 4)
    uids = {dcmread(path).SOPInstanceUID for path in (*images, third, fourth)}
    assert {dcmread(path).SOPInstanceUID for path in stored(port.box)} == uids
    assert [row["way"] for row in port.database.execute("SELECT way FROM associations")] == ["stick"]
    assert fingerprint(stick) == before, "the stick was written to"


def test_images_that_a_directory_leaves_out_are_taken_too(port: Port, stick: Path) -> None:
    first, *_ = fill(stick, 3)
    inputs.text_file(stick / "autorun.inf")
    dicomdir(stick, [[("IMAGES", first.name)]])
    port.put_in(stick)
    found = port.settle()
    assert (found.counts.studies, found.counts.total) == (3, 3)
    assert port.take().counts.taken == 3


def test_files_that_were_copied_after_the_count_are_taken_too(port: Port, stick: Path) -> None:
    fill(stick, 1)
    port.put_in(stick)
    assert port.settle().counts.total == 1
    fill(stick, 3)
    done = port.take()
    assert (done.counts.taken, done.counts.total) == (3, 3)


def test_a_stick_that_was_pulled_is_forgotten_once_one_was_taken_in(port: Port, stick: Path) -> None:
    fill(stick, 1)
    port.put_in(stick)
    sticks.move(port.database, port.settle().stick_id, StickState.TAKING, sticks.NOTHING)
    mounts, port.there = port.there, []
    assert port.settle().state is StickState.PULLED
    port.there = mounts
    port.settle()
    assert [shown.state for shown in sticks.shown(port.database)] == [StickState.READY, StickState.PULLED]
    port.take()
    assert [shown.state for shown in sticks.shown(port.database)] == [StickState.TAKEN]


def test_a_stick_taken_in_twice_adds_nothing(port: Port, stick: Path) -> None:
    fill(stick)
    port.put_in(stick)
    port.settle()
    port.take()
    again = port.take()
    assert (again.counts.taken, again.counts.known, len(stored(port.box))) == (0, 3, 3)


def test_nothing_of_a_stick_is_open_while_nothing_is_done_with_it(port: Port, stick: Path) -> None:
    fill(stick)
    port.put_in(stick)
    port.settle()
    port.take()
    open_now = [
        os.readlink(f"/proc/self/fd/{number}")
        for number in os.listdir("/proc/self/fd")
        if number.isdigit() and os.path.exists(f"/proc/self/fd/{number}")
    ]
    assert not [path for path in open_now if path.startswith(str(stick))]


def test_a_stick_pulled_in_the_middle_keeps_what_was_taken_and_goes_on(
    port: Port, stick: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(stick, 5)
    port.put_in(stick)
    port.settle()
    real, away = port.spool.keep, tmp_path / "pulled"

    def keep(*args: object) -> object:
        if len(stored(port.box)) == 2:
            stick.rename(away)
            shutil.rmtree(away / "IMAGES")
        return real(*args)  # type: ignore[arg-type]

    spare = tmp_path / "spare"
    shutil.copytree(stick, spare)
    monkeypatch.setattr(port.spool, "keep", keep)
    pulled = port.take()
    monkeypatch.undo()
    assert pulled.state is StickState.PULLED
    assert 2 <= pulled.counts.taken < 5
    assert pulled.counts.taken == len(stored(port.box))
    spare.rename(stick)
    port.put_in(stick, key="2")
    again = port.settle()
    assert [shown.state for shown in sticks.shown(port.database)] == [StickState.READY]
    again = port.take()
    assert (again.counts.taken, again.counts.known) == (5 - pulled.counts.taken, pulled.counts.taken)
    assert len(stored(port.box)) == 5


@pytest.mark.parametrize("end", ["pulled", "stopped"])
def test_the_delivery_of_a_stick_ends_at_once_when_it_is_pulled_or_the_process_stops(
    port: Port, stick: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    fill(stick, 3)
    port.put_in(stick)
    port.settle()
    monkeypatch.setattr("edge.intake.studies._TURN_S", 0.0)
    assert sticks.want(port.database, port.shown().stick_id)
    while not stored(port.box):
        assert port.watch is not None and port.watch.step()
    states = "SELECT state FROM associations"
    assert [row["state"] for row in port.database.execute(states)] == ["open"]
    if end == "pulled":
        port.there = []
        port.watch.step()
        assert port.shown().state is StickState.PULLED
    else:
        port.watch.close()
        assert port.shown().state is StickState.TAKING
    assert len(stored(port.box)) == 1
    assert [row["state"] for row in port.database.execute(states)] == ["aborted"]


def test_a_stick_that_is_removed_when_it_may_be_is_shown_no_longer(port: Port, stick: Path) -> None:
    fill(stick, 1)
    port.put_in(stick)
    port.settle()
    port.there = []
    assert port.watch is not None and not port.watch.step()
    assert sticks.shown(port.database) == []


def test_an_import_goes_on_after_the_process_was_killed(port: Port, stick: Path) -> None:
    fill(stick)
    port.put_in(stick)
    number = port.settle().stick_id
    sticks.move(port.database, number, StickState.TAKING, sticks.NOTHING)
    port.watch = None
    port.restart()
    done = port.settle()
    assert (done.stick_id, done.state, done.counts.taken) == (number, StickState.TAKEN, 3)


def test_a_stick_that_went_while_no_process_looked_is_named_as_pulled(port: Port, stick: Path) -> None:
    fill(stick)
    port.put_in(stick)
    sticks.move(port.database, port.settle().stick_id, StickState.TAKING, sticks.NOTHING)
    port.there, port.watch = [], None
    port.restart()
    assert port.shown().state is StickState.PULLED


def test_a_full_box_stops_and_the_next_try_goes_on(port: Port, stick: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(stick)
    port.put_in(stick)
    port.settle()

    def full(*_: object) -> None:
        raise StorageError("disk_full")

    with monkeypatch.context() as patched:
        patched.setattr("edge.store.spool.write_durably", full)
        stopped = port.take()
    assert (stopped.state, stopped.counts.taken) == (StickState.NO_ROOM, 0)
    assert port.take().counts.taken == 3


OUTSIDE = (
    ("..", "..", "etc", "passwd"),
    ("../../etc/passwd",),
    ("/etc/passwd",),
    ("IMAGES", "..", "..", "secret"),
    ("IMAGES", "LINK"),
    ("AWAY", "secret"),
    ("IMAGES", "", "IM0"),
    (".", "IMAGES", "IM0"),
    ("IMAGES", "PIPE"),
    ("IMAGES",),
    ("NOWHERE",),
)


def test_a_directory_that_points_outside_of_the_stick_leads_nowhere(port: Port, stick: Path, tmp_path: Path) -> None:
    (good,) = fill(stick, 1)
    inputs.chest_dicom(tmp_path / "secret")
    (stick / "IMAGES" / "LINK").symlink_to(tmp_path / "secret")
    (stick / "AWAY").symlink_to(tmp_path)
    os.mkfifo(stick / "IMAGES" / "PIPE")
    dicomdir(stick, [[("IMAGES", good.name), *OUTSIDE]])
    port.put_in(stick)
    port.settle()
    done = port.take()
    assert (done.counts.taken, dict(done.counts.refused)) == (1, {"unopenable": len(OUTSIDE)})
    assert [dcmread(path).SOPInstanceUID for path in stored(port.box)] == [dcmread(good).SOPInstanceUID]


@pytest.mark.parametrize(
    "spoil",
    [inputs.noise_file, inputs.noise_behind_a_preamble, inputs.empty_file, inputs.chest_dicom],
    ids=lambda spoil: spoil.__name__,
)
def test_a_directory_that_cannot_be_read_is_done_without(
    port: Port, stick: Path, spoil: Callable[[Path], Path]
) -> None:
    fill(stick)
    spoil(stick / "DICOMDIR")
    port.put_in(stick)
    assert port.settle().counts.total == 3


def test_a_directory_whose_files_are_not_there_is_done_without(port: Port, stick: Path) -> None:
    fill(stick)
    dicomdir(stick, [[("GONE", "IM0")]])
    port.put_in(stick)
    assert port.settle().counts.total == 3


def test_a_directory_in_capitals_leads_to_files_in_small_letters(port: Port, stick: Path) -> None:
    (stick / "images").mkdir()
    inputs.chest_dicom(stick / "images" / "im0")
    dicomdir(stick, [[("IMAGES", "IM0")]], name="dicomdir")
    port.put_in(stick)
    assert port.settle().counts.total == 1
    assert port.take().counts.taken == 1


def test_what_is_refused_has_its_reason_and_the_rest_is_taken(port: Port, stick: Path) -> None:
    fill(stick, 1)
    inputs.save(inputs.dx(SOPClassUID=EncapsulatedPDFStorage), stick / "report.dcm")
    os.truncate(inputs.chest_dicom(stick / "huge.dcm"), 4 << 30)
    inputs.empty_file(stick / "empty")
    (stick / "loop").symlink_to(stick)
    port.put_in(stick)
    found = port.settle()
    assert (found.counts.total, found.counts.others) == (2, 2)
    done = port.take()
    assert (done.counts.taken, dict(done.counts.refused)) == (1, {"other_kind": 1})


def test_a_stick_without_images_has_nothing_to_take(port: Port, stick: Path) -> None:
    inputs.text_file(stick / "letter.txt")
    port.put_in(stick)
    found = port.settle()
    assert (found.state, found.counts.total, found.counts.others) == (StickState.READY, 0, 1)


def test_a_stick_that_can_be_written_to_is_told(port: Port, stick: Path, capfd: pytest.CaptureFixture[str]) -> None:
    port.put_in(stick, is_writable=True)
    assert port.settle().is_writable
    assert "stick_is_writable" in capfd.readouterr().err


def test_no_name_of_a_stick_is_logged_or_stored(port: Port, stick: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (stick / "CANARY^NAME").mkdir()
    inputs.chest_dicom(stick / "CANARY^NAME" / "CANARY 1970.dcm")
    inputs.save(inputs.dx(SOPClassUID=EncapsulatedPDFStorage), stick / "CANARY.dcm")
    port.put_in(stick)
    port.settle()
    port.take()
    rows = str([tuple(row) for row in port.database.execute("SELECT * FROM sticks")])
    assert "CANARY" not in rows + capfd.readouterr().err
    assert not [path for path in port.box.data_dir.rglob("*") if "CANARY" in path.name]


def test_the_end_of_an_import_stands_in_the_journal(port: Port, stick: Path) -> None:
    fill(stick)
    port.put_in(stick)
    port.settle()
    port.take()
    notes = [tuple(row) for row in port.database.execute("SELECT action, fields FROM journal")]
    assert ("imported", '{"count": 3, "outcome": "ok"}') in notes
