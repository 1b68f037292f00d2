"""The log: an allow-list of fields, and no way for a message of an error to get into it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from edge import log


def test_an_event_is_one_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    log.event("stored", size_bytes=3, seconds=0.5)
    (line,) = capsys.readouterr().err.splitlines()
    written = json.loads(line)
    assert written.pop("time").endswith("+00:00")
    assert written == {"event": "stored", "size_bytes": 3, "seconds": 0.5}


def test_a_field_that_is_not_allowed_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="patient_name"):
        log.event("stored", patient_name="CANARY")
    assert capsys.readouterr().err == ""


def test_a_place_names_module_and_line_and_no_value() -> None:
    try:
        raise KeyError("CANARY")
    except KeyError as error:
        place = log.where(error)
    module, line = place.split(":")
    assert (module, line.isdecimal()) == (__name__, True)


def test_an_error_that_ends_a_thread_is_logged_without_its_message() -> None:
    program = """
import threading
from edge import log
log.report_threads()
def fail():
    raise ValueError("CANARY")
thread = threading.Thread(target=fail)
thread.start()
thread.join()
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    (line,) = run.stderr.splitlines()
    written = json.loads(line)
    assert (written["event"], written["error_type"]) == ("thread_failed", "ValueError")
    assert "CANARY" not in run.stderr
