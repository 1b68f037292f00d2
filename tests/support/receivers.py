"""A receiver, with a page or without, on prepared folders, for tests that attack it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from edge.config import DicomSettings, Settings, WebSettings
from tests.support.box import eventually, running
from tests.support.studies import ready_box


@dataclass(frozen=True)
class Receiver:
    """A running receiver."""

    settings: Settings
    process: subprocess.Popen[bytes]

    @property
    def port(self) -> int:
        """Where it listens."""
        return int((self.settings.run_dir / "receiver.port").read_text())

    def refused(self, code: str) -> list[str]:
        """Hosts that the log says were refused for this reason."""
        lines = (self.settings.run_dir / "receiver.log").read_text().splitlines()
        events = [json.loads(line) for line in lines]
        return [one["host"] for one in events if one["event"] == "connection_refused" and one["code"] == code]


@contextmanager
def receiver(folder: Path, **dicom: object) -> Generator[Receiver, None, None]:
    """One with these settings of ``dicom``."""
    settings = ready_box(folder / "box")
    settings = replace(
        settings,
        dicom=DicomSettings(port=0, **dicom),  # type: ignore[arg-type]
        web=WebSettings(port=0),
    )
    with running("receiver", settings) as process:
        eventually((settings.run_dir / "receiver.port").exists)
        yield Receiver(settings, process)


@contextmanager
def page(settings: Settings) -> Generator[int, None, None]:
    """The page of the same box; its port."""
    announced = settings.run_dir / "web.port"
    with running("web", settings):
        eventually(announced.exists)
        yield int(announced.read_text())
