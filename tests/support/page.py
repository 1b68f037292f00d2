"""Starts the page of a box as its own process, and makes results for it to show."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from edge.config import Settings
from edge.stages.radiograph.classification import AGE_UNKNOWN
from edge.types import Remark, Severity

_PROGRAM = """
import sys
from pathlib import Path
from edge.config import Settings, WebSettings
from edge.web.server import run
sys.exit(run(Settings(data_dir=Path(sys.argv[1]), web=WebSettings(port=0))))
"""
_PATIENCE_S = 30.0
RIGHT_LUNG = [[100, 80], [100, 280], [700, 280], [700, 80]]
LEFT_LUNG = [[100, 360], [100, 560], [700, 560], [700, 360]]
OFF_CENTRE = Remark(code="off_centre", text="The disk is full. Make room on it.", severity=Severity.WARN)


def make_result(decision: str | None, group: str = "adult", **probabilities: float | None) -> dict[str, Any]:
    """A ``chest-edge/result/1`` object; without a decision the image was refused."""
    classification = {"group": group, "probabilities": probabilities, "set": [], "decision": decision}
    read = decision is not None
    asking = [AGE_UNKNOWN.as_json()] if group == "unknown" else []
    contours = {"right_lung": [RIGHT_LUNG], "left_lung": [LEFT_LUNG]}
    return {
        "schema": "chest-edge/result/1",
        "completed_at": "2026-11-24T10:20:00+00:00",
        "state": "done" if read else "no_result",
        "quality": [OFF_CENTRE.as_json(), *asking] if read else [],
        "classification": classification if read else None,
        "segmentation": {"contours": contours, "image_size_px": [800, 640], "turned_deg": 0} if read else None,
        "stages": [
            _stage("quality", "ok", "frontal_gate"),
            _stage("segmentation", "ok" if read else "skipped", "lung_field" if read else None),
            _stage("classification", "ok" if read else "skipped", "pneumonia" if read else None),
        ],
    }


def _stage(name: str, status: str, model: str | None) -> dict[str, Any]:
    sha256 = "0123456789abcdef" * 4 if model else None
    return {
        "name": name,
        "status": status,
        "seconds": 0.1234,
        "model": model,
        "model_sha256": sha256,
        "model_precision": "int8",
    }


@contextmanager
def serving(settings: Settings) -> Generator[str, None, None]:
    """The page of this box, on a free port; gives its address, and ends it by SIGTERM."""
    process = subprocess.Popen([sys.executable, "-c", _PROGRAM, str(settings.data_dir)], stderr=subprocess.DEVNULL)
    try:
        yield _address(process, settings)
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(_PATIENCE_S) == 0


def _address(process: subprocess.Popen[bytes], settings: Settings) -> str:
    port = settings.run_dir / "web.port"
    end = time.monotonic() + _PATIENCE_S
    while time.monotonic() < end and process.poll() is None:
        try:
            address = f"http://127.0.0.1:{int(port.read_text())}"
            with urlopen(f"{address}/healthz"):  # noqa: S310
                return address
        except (FileNotFoundError, URLError):
            time.sleep(0.05)
    raise AssertionError("the page did not start")
