"""The receiver as a process of its own, spoken to with dcmtk: what it acknowledges, it has."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    CTImageStorage,
    DigitalXRayImageStorageForProcessing,
    EnhancedCTImageStorage,
    SecondaryCaptureImageStorage,
)

from edge.config import DicomSettings, Settings
from edge.dicom.receive import Server
from edge.dicom.send import echo, send
from edge.store.database import connect
from edge.store.studies import worklist
from edge.types import State
from tests.dicom.test_reader import SHARED, needs_shared
from tests.support import inputs
from tests.support.box import WAIT_S, echoscu, eventually, running, storescu
from tests.support.studies import ready_box


def port_of(settings: Settings) -> int:
    announced = settings.run_dir / "receiver.port"
    eventually(announced.exists)
    return int(announced.read_text())


@pytest.fixture
def box(tmp_path: Path) -> Settings:
    return replace(ready_box(tmp_path / "box"), dicom=DicomSettings(port=0))


@pytest.fixture
def port(box: Settings) -> Iterator[int]:
    with running("receiver", box):
        yield port_of(box)


def stored(box: Settings) -> list[Path]:
    return sorted(box.incoming.iterdir())


def test_an_echo_is_answered(port: int) -> None:
    assert echoscu(port) == 0
    assert echo("127.0.0.1", port, "CHESTEDGE")


def test_it_receives_while_it_takes_in_files_without_a_row(box: Settings, tmp_path: Path) -> None:
    os.mkfifo(box.incoming / "0.dcm")  # as slow as a file can be
    with running("receiver", box) as process:
        assert storescu(port_of(box), [inputs.chest_dicom(tmp_path / "a.dcm")]) == 0
        process.terminate()
        assert process.wait(WAIT_S) == 0


def test_an_accepted_object_is_stored_as_it_came(box: Settings, port: int, tmp_path: Path) -> None:
    path = inputs.chest_dicom(tmp_path / "a.dcm")
    assert storescu(port, [path]) == 0
    (file,) = stored(box)
    assert re.fullmatch(r"[0-9a-f]{32}\.dcm", file.name)
    assert file.read_bytes()[:132] == bytes(128) + b"DICM"
    assert dcmread(file) == dcmread(path)
    (row,) = worklist(box.database, 10)
    assert row.state is State.RECEIVED
    with connect(box.database) as database:
        kept = dict(database.execute("SELECT path, sha256, size_bytes, sop_instance_uid FROM instances").fetchone())
    content = file.read_bytes()[-kept["size_bytes"] :]
    assert kept["path"] == file.name
    assert kept["sha256"] == hashlib.sha256(content).hexdigest()
    assert kept["sop_instance_uid"] == dcmread(path).SOPInstanceUID


def test_every_offered_class_is_accepted_and_others_are_not(box: Settings, port: int, tmp_path: Path) -> None:
    classes = (
        ComputedRadiographyImageStorage,
        DigitalXRayImageStorageForProcessing,
        CTImageStorage,
        EnhancedCTImageStorage,
        SecondaryCaptureImageStorage,
    )
    paths = [inputs.save(inputs.dx(SOPClassUID=uid), tmp_path / f"{number}.dcm") for number, uid in enumerate(classes)]
    assert storescu(port, paths) == 0
    assert len(stored(box)) == len(classes)
    assert storescu(port, [inputs.ultrasound_multi_frame(tmp_path / "us.dcm")]) != 0
    assert len(stored(box)) == len(classes)


def test_the_same_object_again_is_acknowledged_and_kept_once(box: Settings, port: int, tmp_path: Path) -> None:
    path = inputs.chest_dicom(tmp_path / "a.dcm")
    assert [storescu(port, [path]) for _ in range(3)] == [0, 0, 0]
    assert len(stored(box)) == 1
    assert len(worklist(box.database, 10)) == 1


def test_other_content_under_the_same_identifier_is_kept_too(box: Settings, port: int, tmp_path: Path) -> None:
    assert storescu(port, inputs.duplicate_uid_pair(tmp_path)) == 0
    assert len(stored(box)) == 2
    assert len(worklist(box.database, 10)) == 2


def test_a_disk_that_refuses_is_answered_with_out_of_resources(box: Settings, tmp_path: Path) -> None:
    small = inputs.chest_dicom(tmp_path / "small.dcm")
    with running("receiver", box, prefix=["prlimit", "--fsize=2000000"]):
        port = port_of(box)
        assert send([inputs.example("RG1_UNCR.dcm")], "127.0.0.1", port, "CHESTEDGE") == [0xA700]
        assert (stored(box), worklist(box.database, 10)) == ([], [])
        assert send([small], "127.0.0.1", port, "CHESTEDGE") == [0]
        assert len(stored(box)) == 1


def test_a_database_that_refuses_is_answered_with_out_of_resources(box: Settings, port: int, tmp_path: Path) -> None:
    with connect(box.database) as database:
        database.execute("BEGIN EXCLUSIVE")
        assert send([inputs.chest_dicom(tmp_path / "a.dcm")], "127.0.0.1", port, "CHESTEDGE") == [0xA700]
    assert stored(box) == []


def test_a_row_that_cannot_be_written_leaves_no_file(box: Settings, port: int, tmp_path: Path) -> None:
    with connect(box.database) as database:
        database.execute("CREATE TRIGGER t BEFORE INSERT ON instances BEGIN SELECT RAISE(ABORT, 'no'); END")
    assert send([inputs.chest_dicom(tmp_path / "a.dcm")], "127.0.0.1", port, "CHESTEDGE") == [0x0110]
    assert (stored(box), worklist(box.database, 10)) == ([], [])


def test_a_connection_that_fails_is_logged_without_what_it_said(capfd: pytest.CaptureFixture[str]) -> None:
    try:
        raise ValueError("CANARY")
    except ValueError:
        Server.handle_error(Server.__new__(Server), None, None)
    logged = capfd.readouterr().err
    assert "ValueError" in logged and "CANARY" not in logged


def test_an_interrupted_file_is_gone_after_a_restart(box: Settings) -> None:
    (box.incoming / f"{'0' * 32}.dcm.part").write_bytes(b"half")
    with running("receiver", box):
        port_of(box)
    assert stored(box) == []


def test_it_ends_in_order_when_told_to(box: Settings) -> None:
    with running("receiver", box) as process:
        port = port_of(box)
        assert echoscu(port) == 0
        process.send_signal(signal.SIGTERM)
        assert process.wait(WAIT_S) == 0


def test_it_ends_with_its_parent(box: Settings) -> None:
    with running("receiver", box, prefix=["sh", "-c", '"$@" & wait', "sh"]) as parent:
        # Its parent is the shell, not the process that it was told to expect.
        assert parent.wait(WAIT_S) == 0
    assert not (box.run_dir / "receiver.port").exists()


def test_no_patient_data_is_logged(box: Settings, port: int, tmp_path: Path) -> None:
    dataset = inputs.dx(PatientName="CANARY^NAME", PatientID="CANARY-ID", AccessionNumber="CANARY-ACC")
    dataset.StudyInstanceUID = dataset.SOPInstanceUID = "1.2.3.4.987654321"
    assert storescu(port, [inputs.save(dataset, tmp_path / "a.dcm")]) == 0
    subprocess.run(["storescu", "127.0.0.1", str(port), str(tmp_path / "absent")], capture_output=True, check=False)
    written = (box.run_dir / "receiver.log").read_text()
    assert '"event": "stored"' in written
    assert "CANARY" not in written and "987654321" not in written


@needs_shared
def test_every_offered_transfer_syntax_is_accepted(box: Settings, port: int) -> None:
    not_offered = ("Deflated", "Process10_12", "Process6_8")
    paths = sorted((SHARED / "transfer_syntax").glob("*.dcm"))
    offered = [path for path in paths if not any(name in path.name for name in not_offered)]
    assert len(offered) == 12
    for path in offered:
        assert send([path], "127.0.0.1", port, "CHESTEDGE") == [0], path.name
    for path in set(paths) - set(offered):
        assert send([path], "127.0.0.1", port, "CHESTEDGE") == [None], path.name
