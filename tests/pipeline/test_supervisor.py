"""The whole box as real processes: killed, restarted, stopped, started again, and nothing acknowledged lost."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from edge.config import DicomSettings, Settings, WebSettings
from edge.pipeline import supervisor
from edge.pipeline.step_budget import OUT_OF_MEMORY, TIMED_OUT
from edge.pipeline.supervisor import Kept
from edge.store.files import held
from edge.types import State
from tests.support import inputs
from tests.support.box import WAIT_S, Box, box_settings, echoscu, eventually, served, storescu
from tests.support.damage import empty, missing
from tests.support.tls import dcmtk_options, issued

ENDED = {State.DONE, State.NO_RESULT, State.FAILED, State.QUARANTINED}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return box_settings(tmp_path / "var")


@pytest.fixture
def box(settings: Settings) -> Iterator[Box]:
    with served(settings) as running:
        yield running


def page_answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=WAIT_S) as answer:  # noqa: S310
            return int(answer.status) == 200
    except OSError:
        return False


def all_ended(box: Box, count: int) -> bool:
    rows = box.rows()
    return len(rows) == count and all(row.state in ENDED for row in rows)


def started_with(settings: Settings, *options: str) -> subprocess.CompletedProcess[str]:
    file = settings.data_dir.parent / "second.toml"
    file.write_text(
        f'data_dir = "{settings.data_dir}"\n[dicom]\nport = {settings.dicom.port}\nae_title = '
        f'"{settings.dicom.ae_title}"\nhost = "{settings.dicom.host}"\naddresses = {list(settings.dicom.addresses)}\n'
        f"[web]\nport = {settings.web.port}\n"
    )
    command = [sys.executable, "-m", "edge", "--config", str(file), "serve", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S, check=False)


def test_a_box_that_lets_only_certain_senders_in_still_finds_itself_ready(settings: Settings, tmp_path: Path) -> None:
    lists = {"tls": True, "addresses": ("192.0.2.1",), "calling_ae_titles": ("XRAY",)}
    strict = replace(settings, dicom=replace(settings.dicom, **lists))  # type: ignore[arg-type]
    with served(strict) as box:
        assert echoscu(box.receiver_port) != 0
        stick = issued(strict, tmp_path / "stick")
        assert echoscu(box.receiver_port, "-aet", "XRAY", *dcmtk_options(stick)) == 0


def test_both_doors_answer_once_it_says_ready(box: Box) -> None:
    assert page_answers(box.address)
    assert echoscu(box.receiver_port) == 0


def test_a_sent_radiograph_is_read_and_everything_bad_has_its_reason(box: Box, tmp_path: Path) -> None:
    good = inputs.chest_dicom(tmp_path / "good.dcm")
    first, second = inputs.duplicate_uid_pair(tmp_path)
    refused = {
        "colour_image": inputs.colour_dicom(tmp_path / "colour.dcm"),
        "no_pixel_data": inputs.no_pixel_data(tmp_path / "none.dcm"),
        "image_too_large": inputs.huge_header(tmp_path / "huge.dcm"),
    }
    assert storescu(box.receiver_port, [good, first, *refused.values()]) == 0
    assert storescu(box.receiver_port, [second]) == 0
    eventually(lambda: all_ended(box, 6))
    quarantined = [row for row in box.rows() if row.state is State.QUARANTINED]
    assert {row.reasons[0]["code"] for row in quarantined} == {*refused, "conflicting_duplicate"}
    assert {row.patient_id for row in quarantined} == {"PHANTOM-1"}
    assert len([row for row in box.rows() if row.has_preview]) == 2


@pytest.mark.parametrize("name", ["receiver", "worker", "web"])
def test_a_killed_process_comes_back_and_the_others_stay(box: Box, tmp_path: Path, name: str) -> None:
    others = {other: eventually(lambda other=other: box.pid(other)) for other in {"receiver", "worker", "web"} - {name}}
    port = box.receiver_port
    box.kill(name)
    assert {other: box.pid(other) for other in others} == others
    eventually(lambda: echoscu(port) == 0)
    assert storescu(port, [inputs.chest_dicom(tmp_path / "a.dcm")]) == 0
    eventually(lambda: all_ended(box, 1))
    eventually(lambda: page_answers(box.address))


def test_a_worker_that_a_study_ended_is_started_again_soon_and_others_later_each_time(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    kept = Kept("worker", tmp_path / "settings.json")
    for exit_code in (1, TIMED_OUT, OUT_OF_MEMORY, 1, -signal.SIGKILL, TIMED_OUT):
        kept._ended(exit_code, lived_s=1.0)
    delays_s = [json.loads(line)["seconds"] for line in capfd.readouterr().err.splitlines()]
    assert delays_s == [0.5, 0.5, 0.5, 1.0, 2.0, 0.5]


def test_what_was_acknowledged_while_the_worker_was_dead_is_read(box: Box, tmp_path: Path) -> None:
    worker = eventually(lambda: box.pid("worker"))
    os.kill(worker, signal.SIGSTOP)
    paths = [inputs.chest_dicom(tmp_path / f"{number}.dcm") for number in range(3)]
    assert storescu(box.receiver_port, paths) == 0
    assert [row.state for row in box.rows()] == [State.RECEIVED] * 3
    os.kill(worker, signal.SIGKILL)
    eventually(lambda: all_ended(box, 3))


def test_nothing_acknowledged_is_lost_when_the_receiver_dies_in_between(box: Box, tmp_path: Path) -> None:
    acknowledged = 0
    for number in range(6):
        path = inputs.chest_dicom(tmp_path / f"{number}.dcm")
        sender = subprocess.Popen(["storescu", "-aec", "CHESTEDGE", "127.0.0.1", str(box.receiver_port), str(path)])
        if number % 2:
            box.kill("receiver")
        acknowledged += sender.wait(WAIT_S) == 0
        eventually(lambda: echoscu(box.receiver_port) == 0)
    assert acknowledged >= 3
    assert len(box.rows()) >= acknowledged


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_stops_cleanly_and_leaves_no_process(box: Box, number: signal.Signals) -> None:
    children = psutil.Process(box.process.pid).children(recursive=True)
    assert len(children) >= 3
    assert box.stop(number) == 0
    _, alive = psutil.wait_procs(children, timeout=WAIT_S)
    assert alive == []


def test_its_processes_die_with_it(box: Box) -> None:
    eventually(lambda: all(box.pid(name) for name in ("receiver", "worker", "web")))
    children = psutil.Process(box.process.pid).children(recursive=True)
    box.process.kill()
    _, alive = psutil.wait_procs(children, timeout=WAIT_S)
    assert alive == []


def broken_index(path: Path) -> None:
    """Noise in the index that receiving needs; the page reads nothing of it."""
    connection = sqlite3.connect(path)
    (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'sqlite_autoindex_instances_1'")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    connection.close()
    with path.open("r+b") as file:
        file.seek((page[0] - 1) * 4096)
        file.write(os.urandom(4096))


@pytest.mark.parametrize("damage", [missing, empty, broken_index])
def test_a_database_that_breaks_while_it_runs_is_made_anew(
    box: Box, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    assert storescu(box.receiver_port, [inputs.chest_dicom(tmp_path / "a.dcm")]) == 0
    eventually(lambda: all_ended(box, 1))
    (before,) = box.rows()
    damage(box.settings.database)
    storescu(box.receiver_port, [inputs.chest_dicom(tmp_path / "b.dcm")])  # refused, perhaps
    log = box.settings.data_dir.parent / "box.log"
    eventually(lambda: log.read_text().count('"page_ready"') == 2)
    eventually(lambda: {row.state for row in box.rows()} <= ENDED and box.rows())
    assert before.study_key not in {row.study_key for row in box.rows()}
    eventually(lambda: page_answers(box.address))
    assert box.stop() == 0


def test_a_start_clears_what_killed_processes_left_and_nothing_that_is_in_use(settings: Settings) -> None:
    left = [
        settings.run_dir / "scratch-a/snapshot.sqlite",
        settings.run_dir / "tmpa",
        settings.restoring / "settings.toml",
    ]
    in_use = settings.run_dir / "scratch-b/snapshot.sqlite"
    for file in (*left, in_use):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("a name")
    with held(in_use.parent), supervisor.locked(settings):
        assert [file.exists() for file in (*left, in_use)] == [False, False, False, True]


def test_a_second_start_shows_the_same_studies(settings: Settings, tmp_path: Path) -> None:
    with served(settings) as box:
        assert storescu(box.receiver_port, [inputs.chest_dicom(tmp_path / "a.dcm")]) == 0
        eventually(lambda: all_ended(box, 1))
        before = box.rows()
        assert box.stop() == 0
    with served(settings) as again:
        assert again.rows() == before


def test_the_demonstration_sends_two_studies_once(settings: Settings) -> None:
    for _ in range(2):
        with served(settings, "--demo") as box:
            eventually(lambda box=box: all_ended(box, 2))
            log = settings.data_dir.parent / "box.log"
            eventually(lambda log=log: '"event": "examples_sent", "count": 2' in log.read_text())
            assert box.stop() == 0
        assert len(box.rows()) == 2


def test_it_says_one_line_and_no_more(settings: Settings) -> None:
    with served(settings) as box:
        assert box.stop() == 0
        assert box.process.stdout is not None
        assert box.process.stdout.read() == ""


def test_a_second_box_on_the_same_folder_is_refused(box: Box) -> None:
    second = started_with(box.settings)
    assert (second.returncode, second.stdout) == (2, "")
    assert "Another box already runs" in second.stderr


@pytest.mark.parametrize("door", ["dicom", "web"])
def test_a_port_of_another_program_is_named(settings: Settings, door: str) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        taken = {
            "dicom": replace(settings, dicom=DicomSettings(port=port)),
            "web": replace(settings, web=WebSettings(port=port)),
        }[door]
        refused = started_with(taken)
    assert refused.returncode == 2
    assert f"Port {port} is in use by another program" in refused.stderr


@pytest.mark.parametrize(
    ("dicom", "expected"),
    [
        (DicomSettings(port=0, ae_title="LONGER THAN SIXTEEN"), "dicom.ae_title"),
        (DicomSettings(port=0, addresses=("192.168.1.0/24", "clinic.lan")), "clinic.lan"),
        (DicomSettings(port=0, host="203.0.113.7"), "dicom.host"),
        (DicomSettings(port=99999), "dicom.port"),
    ],
)
def test_impossible_settings_are_named(settings: Settings, dicom: DicomSettings, expected: str) -> None:
    refused = started_with(replace(settings, dicom=dicom))
    assert refused.returncode == 2
    assert expected in refused.stderr and "Traceback" not in refused.stderr


def test_a_folder_too_deep_for_sockets_is_named(tmp_path: Path) -> None:
    refused = started_with(box_settings(tmp_path / ("x" * 120)))
    assert refused.returncode == 2
    assert "too long for a socket" in refused.stderr


def test_no_patient_data_is_logged(box: Box, tmp_path: Path) -> None:
    named = inputs.dx(PatientName="CANARY^NAME", PatientID="CANARY-ID", AccessionNumber="CANARY-ACC")
    broken = inputs.dx(PatientName="CANARY^BROKEN", Rows=20_000)
    paths = [inputs.save(named, tmp_path / "a.dcm"), inputs.save(broken, tmp_path / "b.dcm")]
    for path in paths:
        path.write_bytes(path.read_bytes().replace(b"056Y", b"CANA"))  # a value that pydicom warns of
    assert storescu(box.receiver_port, paths) == 0
    eventually(lambda: all_ended(box, 2))
    assert {row.patient_name for row in box.rows()} == {"CANARY^NAME", "CANARY^BROKEN"}
    box.stop()
    assert "CANARY" not in (box.settings.data_dir.parent / "box.log").read_text()
