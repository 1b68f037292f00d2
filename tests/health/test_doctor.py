"""What the doctor says on a machine with one thing wrong at a time."""

from __future__ import annotations

import fcntl
import socket
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edge import clock
from edge.config import DicomSettings, Settings, WebSettings
from edge.dicom import certificates
from edge.errors import ModelError
from edge.health import doctor, libraries
from tests.support.damage import empty, garbage, half, missing
from tests.support.studies import ready_box


@pytest.fixture(autouse=True)
def _libraries_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading them all takes seconds; test_libraries.py does it."""
    monkeypatch.setattr(libraries, "broken", list)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "var", dicom=DicomSettings(port=0), web=WebSettings(port=0))


@contextmanager
def _running(settings: Settings) -> Generator[None, None, None]:
    """The lock of a box that runs."""
    settings.run_dir.mkdir(parents=True, exist_ok=True)
    with settings.lock.open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield other.getsockname()[1]


def _no_models() -> dict[str, None]:
    return {}


def _problems(settings: Settings) -> list[str]:
    return [finding.text for finding in doctor.examine(settings, _no_models) if not finding.ok]


def test_a_healthy_machine_has_no_problem_and_exit_status_zero(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert doctor.doctor(settings, lambda: {"lung_field": None}) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(line.startswith("OK ") for line in lines)
    assert "Model lung_field" in lines[3]


def test_looking_changes_nothing(settings: Settings) -> None:
    list(doctor.examine(settings, _no_models))
    assert not settings.data_dir.exists()


def test_one_problem_makes_exit_status_one_and_hides_no_other_line(
    settings: Settings, taken_port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    lines_when_well = list(doctor.examine(settings, _no_models))
    assert doctor.doctor(replace(settings, web=WebSettings(port=taken_port)), _no_models) == 1
    assert len(capsys.readouterr().out.splitlines()) == len(lines_when_well)


def test_a_port_of_another_program_is_named_with_its_setting(settings: Settings, taken_port: int) -> None:
    (problem,) = _problems(replace(settings, dicom=DicomSettings(port=taken_port)))
    assert f"port {taken_port}" in problem
    assert "in use by another program" in problem
    assert "dicom.port" in problem


def test_ports_are_expected_to_be_taken_while_the_box_itself_runs(settings: Settings, taken_port: int) -> None:
    settings = replace(settings, web=WebSettings(port=taken_port))
    with _running(settings):
        assert _problems(settings) == []
    assert len(_problems(settings)) == 1


def test_an_impossible_address_is_a_problem(settings: Settings) -> None:
    (problem,) = _problems(replace(settings, dicom=DicomSettings(host="192.0.2.1", port=0)))
    assert "not an address of this machine" in problem


def test_a_data_directory_below_a_file_is_a_problem(tmp_path: Path, settings: Settings) -> None:
    (tmp_path / "file").write_text("")
    problems = _problems(replace(settings, data_dir=tmp_path / "file" / "var"))
    assert any("is a file, not a directory" in problem for problem in problems)


def test_a_data_directory_that_takes_no_file_is_a_problem(settings: Settings) -> None:
    problems = _problems(replace(settings, data_dir=Path("/proc/chest-edge")))
    assert any(problem.startswith("Cannot write to /proc") for problem in problems)


def test_a_full_disk_is_a_problem(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: SimpleNamespace(free=10 * 1024**2))
    (problem,) = _problems(settings)
    assert problem.startswith("Only 0.0 GiB free")


@pytest.mark.parametrize("damage", [missing, empty, garbage, half])
def test_a_damaged_or_missing_database_is_a_problem(
    tmp_path: Path, settings: Settings, damage: Callable[[Path], None]
) -> None:
    box = replace(settings, data_dir=ready_box(tmp_path).data_dir)
    (box.incoming / "a.dcm").write_bytes(b"stored")
    assert _problems(box) == []
    damage(box.database)
    (problem,) = _problems(box)
    assert "database is missing or damaged" in problem


def test_a_database_that_cannot_be_opened_is_a_problem_and_hides_no_other_line(
    tmp_path: Path, settings: Settings
) -> None:
    box = replace(settings, data_dir=ready_box(tmp_path).data_dir)
    box.database.unlink()
    box.database.mkdir()
    findings = list(doctor.examine(box, _no_models))
    assert "database could not be read" in " ".join(finding.text for finding in findings if not finding.ok)
    assert findings[-1].text.startswith("Clock")


def test_a_data_directory_too_deep_for_sockets_is_a_problem(tmp_path: Path, settings: Settings) -> None:
    (problem,) = _problems(replace(settings, data_dir=tmp_path / ("d" * 100)))
    assert "too long for a socket" in problem


def test_a_clock_before_the_software_was_written_is_a_problem(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "utc", lambda: datetime(1970, 1, 1, tzinfo=timezone.utc))
    (problem,) = _problems(settings)
    assert "1970-01-01" in problem


def test_a_broken_library_is_named(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libraries, "broken", lambda: ["python-gdcm"])
    (problem,) = _problems(settings)
    assert "python-gdcm" in problem


def test_a_changed_model_file_is_named(settings: Settings) -> None:
    findings = doctor.examine(
        settings, lambda: {"a": None, "lung_field": ModelError("model_hash_mismatch", model="lung_field")}
    )
    (problem,) = [finding.text for finding in findings if not finding.ok]
    assert "lung_field" in problem


@pytest.mark.parametrize(
    "error", [ModelError("threshold_mismatch", model="gate"), ImportError("onnxruntime"), FileNotFoundError("registry")]
)
def test_models_that_cannot_be_listed_are_one_problem(settings: Settings, error: Exception) -> None:
    def models() -> dict[str, None]:
        raise error

    findings = list(doctor.examine(settings, models))
    assert [finding.ok for finding in findings].count(False) == 1
    assert findings[-1].text.startswith("Clock")


@pytest.mark.parametrize(("part", "floor"), [("_PYTHON", (9, 0)), ("_SQLITE", (9, 0, 0))])
def test_an_old_python_or_sqlite_is_a_problem(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, part: str, floor: tuple[int, ...]
) -> None:
    monkeypatch.setattr(doctor, part, floor)
    (problem,) = _problems(settings)
    assert "too old" in problem


def test_a_certificate_that_ends_within_two_months_is_named(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificates.issue(settings, "XRAY-1", tmp_path / "out")
    assert _certificate_problems(settings) == []
    (ends_at,) = (entry.ends_at for entry in certificates.listed(settings) if entry.name == "XRAY-1")
    monkeypatch.setattr(clock, "utc", lambda: ends_at - timedelta(days=61))
    assert _certificate_problems(settings) == []
    monkeypatch.setattr(clock, "utc", lambda: ends_at - timedelta(days=59))
    (problem,) = _certificate_problems(settings)
    assert problem.startswith(f"Certificate XRAY-1 until {ends_at:%Y-%m-%d}. Replace it")
    certificates.revoke(settings, "XRAY-1")
    assert _certificate_problems(settings) == []


def _certificate_problems(settings: Settings) -> list[str]:
    """Without that of the clock, which is years after the last known time here."""
    return [problem for problem in _problems(settings) if problem.startswith("Certificate")]


@pytest.mark.parametrize(
    ("dicom", "name"),
    [({"ae_title": "A" * 17}, "dicom.ae_title"), ({"addresses": ("192.168.1",)}, "dicom.addresses")],
)
def test_settings_that_a_start_refuses_are_told_of(settings: Settings, dicom: dict[str, Any], name: str) -> None:
    wrong = replace(settings, dicom=replace(settings.dicom, **dicom))
    assert any(name in text for text in _problems(wrong))


def test_an_address_that_is_not_of_this_machine_is_told_with_its_setting(settings: Settings) -> None:
    elsewhere = replace(settings, dicom=replace(settings.dicom, host="192.0.2.1", port=11119))
    assert any("setting dicom.host" in text for text in _problems(elsewhere))
