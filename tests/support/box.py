"""The box's real processes, started and watched for tests."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import psutil

from edge import config
from edge.config import DicomSettings, Settings, WebSettings
from edge.store.studies import WorklistRow, worklist

_T = TypeVar("_T")

WAIT_S = 60.0


def eventually(condition: Callable[[], _T], timeout_s: float = WAIT_S) -> _T:
    """The first true value of a condition, looked at again and again; fails after the timeout."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.05)
    return value


def storescu(port: int, paths: Sequence[Path], *options: str) -> int:
    """Send with dcmtk and return its exit status."""
    command = ["storescu", "-aec", "CHESTEDGE", *options, "127.0.0.1", str(port), *map(str, paths)]
    return subprocess.run(command, capture_output=True, timeout=WAIT_S, check=False).returncode


def echoscu(port: int, *options: str, called: str = "CHESTEDGE") -> int:
    """C-ECHO with dcmtk; returns its exit status."""
    command = ["echoscu", "-to", "5", "-aec", called, *options, "127.0.0.1", str(port)]
    return subprocess.run(command, capture_output=True, timeout=WAIT_S, check=False).returncode


@contextmanager
def running(
    name: str, settings: Settings, *, prefix: Sequence[str] = (), program: Sequence[str] = ("-m", "edge.process")
) -> Generator[subprocess.Popen[bytes], None, None]:
    """One of the box's processes on prepared folders; what it logs is in ``run_dir/NAME.log``.

    Parameters
    ----------
    prefix : a command that starts it, such as ``prlimit --fsize=...``.
    program : what Python runs.
    """
    described = settings.run_dir / "settings.json"
    described.write_text(config.to_json(settings))
    command = [*prefix, sys.executable, "-I", *program, name, str(described), str(os.getpid())]
    with (settings.run_dir / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(command, stderr=log)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


@dataclass(frozen=True)
class Box:
    """A running box."""

    settings: Settings
    process: subprocess.Popen[str]
    address: str

    @property
    def receiver_port(self) -> int:
        """Where it receives."""
        return int((self.settings.run_dir / "receiver.port").read_text())

    def rows(self, limit: int = 100) -> list[WorklistRow]:
        """The worklist."""
        return worklist(self.settings.database, limit)

    def pid(self, name: str) -> int | None:
        """The process of this name, if it runs."""
        for child in psutil.Process(self.process.pid).children():
            try:
                if child.cmdline()[3:5] == ["edge.process", name] and child.status() != psutil.STATUS_ZOMBIE:
                    return child.pid
            except psutil.Error:
                continue
        return None

    def kill(self, name: str) -> int:
        """SIGKILL to the process of this name, and the id of the one that takes its place."""
        old = eventually(lambda: self.pid(name))
        os.kill(old, signal.SIGKILL)
        return eventually(lambda: new if (new := self.pid(name)) != old else None) or 0

    def stop(self, number: int = signal.SIGINT) -> int:
        """End the box as a person would, and return its exit status."""
        self.process.send_signal(number)
        return self.process.wait(WAIT_S)


def box_settings(data_dir: Path) -> Settings:
    """Settings with free ports."""
    return Settings(data_dir=data_dir, dicom=DicomSettings(port=0), web=WebSettings(port=0))


def _toml(settings: Settings) -> str:
    """All settings as a file; what JSON writes of a text, a number, a truth value or a list is TOML too."""
    given = json.loads(config.to_json(settings))
    lines = [f"data_dir = {json.dumps(given.pop('data_dir'))}"]
    for name, tables in [(name, values) for name, values in given.items() if isinstance(values, list)]:
        del given[name]
        for values in tables:
            lines += [f"[[{name}]]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
    for table, values in given.items():
        lines += [f"[{table}]", *(f"{name} = {json.dumps(value)}" for name, value in values.items())]
    return "\n".join(lines) + "\n"


@contextmanager
def served(settings: Settings, *options: str, program: str = "edge") -> Generator[Box, None, None]:
    """A whole box, ready; it is killed at the end where the test did not stop it.

    Parameters
    ----------
    program : the module that is run, with the command line of ``edge``.
    """
    file = settings.data_dir.parent / "box.toml"
    file.write_text(_toml(settings))
    command = [sys.executable, "-m", program, "--config", str(file), "serve", *options]
    with (settings.data_dir.parent / "box.log").open("a") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("Chest Edge is ready: http://127.0.0.1:"), line
        yield Box(settings=settings, process=process, address=line.split(": ", 1)[1].strip())
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
