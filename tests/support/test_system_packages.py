"""What ``make test`` does where one of the programs is missing, with a pretended package manager."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("system-packages")


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A folder that is the whole PATH; it holds only what each test puts there."""
    _pretend(tmp_path, "id", "echo 0")
    return tmp_path


def _pretend(folder: Path, name: str, script: str) -> None:
    program = folder / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def _run(programs: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": str(programs)}
    return subprocess.run(["/bin/sh", SCRIPT], env=environment, capture_output=True, text=True, check=False)


def _installs(programs: Path, exit_status: int = 0) -> Path:
    log = programs / "log"
    _pretend(programs, "apt-get", f'echo "$@" >> {log}; exit {exit_status}')
    return log


def test_nothing_is_installed_where_nothing_is_missing(programs: Path) -> None:
    log = _installs(programs)
    for name in ("dcmdump", "dciodvfy", "pdftotext", "chromium", "Orthanc", "fusermount3", "age"):
        _pretend(programs, name, "")
    assert _run(programs).returncode == 0
    assert not log.exists()


def test_only_what_is_missing_is_installed(programs: Path) -> None:
    log = _installs(programs)
    for name in ("dciodvfy", "pdftotext", "chromium", "Orthanc", "fusermount3", "age"):
        _pretend(programs, name, "")
    assert _run(programs).returncode == 0
    assert log.read_text().splitlines()[-1].endswith(" dcmtk")


def test_pynetdicoms_own_storescu_does_not_pass_for_dcmtk(programs: Path) -> None:
    log = _installs(programs)
    _pretend(programs, "storescu", "")
    _run(programs)
    assert "dcmtk chromium" in log.read_text()


def test_a_user_without_rights_goes_through_sudo(programs: Path) -> None:
    log = _installs(programs)
    _pretend(programs, "id", "echo 1000")
    _pretend(programs, "sudo", f'echo sudo >> {log}; exec "$@"')
    assert _run(programs).returncode == 0
    assert log.read_text().splitlines()[0] == "sudo"


@pytest.mark.parametrize("obstacle", ["no package manager", "no sudo", "no network"])
def test_where_installing_is_impossible_the_command_for_it_is_said(programs: Path, obstacle: str) -> None:
    if obstacle != "no package manager":
        _installs(programs, exit_status=100 if obstacle == "no network" else 0)
    if obstacle == "no sudo":
        _pretend(programs, "id", "echo 1000")
    result = _run(programs)
    assert result.returncode == 1
    assert "sudo apt-get install dcmtk chromium" in result.stderr
