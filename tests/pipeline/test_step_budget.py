"""The time of a step: what the kernel does when it is over, and what the next worker says of it."""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from edge.config import Settings, StudySettings
from edge.dicom.reader import LONGEST_S
from edge.errors import ReadingError
from edge.pipeline import step_budget
from edge.pipeline.step_budget import DECODING, OUT_OF_MEMORY, TIMED_OUT, Budget
from tests.support.box import WAIT_S
from tests.support.studies import ready_box

HANG = """
import ctypes, signal, sys
from pathlib import Path
from edge.config import Settings, StudySettings
from edge.pipeline.step_budget import Budget
signal.signal(signal.SIGALRM, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
budget = Budget(Settings(data_dir=Path(sys.argv[1]), study=StudySettings(stage_s=1)))
budget.begin("decoding")
budget.begin("segmentation")
if sys.argv[2] == "end":
    budget.end()
print("begun", flush=True)
ctypes.PyDLL(None).sleep(2)
"""


@pytest.fixture
def box(tmp_path: Path) -> Settings:
    return replace(ready_box(tmp_path / "box"), study=StudySettings(stage_s=7))


def hung(box: Settings, how: str) -> int:
    command = [sys.executable, "-c", HANG, str(box.data_dir), how]
    return subprocess.run(command, timeout=WAIT_S, check=False, capture_output=True).returncode


def test_a_hang_with_the_lock_of_python_held_is_ended_by_the_kernel_and_named(box: Settings) -> None:
    assert hung(box, "hang") == TIMED_OUT
    fault = step_budget.fault(box, TIMED_OUT)
    assert (fault.code, fault.values) == ("stage_timeout", {"stage": "segmentation"})


def test_after_the_last_step_nothing_is_timed(box: Settings) -> None:
    assert hung(box, "end") == 0


@pytest.mark.parametrize(
    ("exit_code", "code"), [(OUT_OF_MEMORY, "out_of_memory"), (-9, "reading_crashed"), (0, "reading_crashed")]
)
def test_every_other_end_has_its_own_words(box: Settings, exit_code: int, code: str) -> None:
    assert step_budget.fault(box, exit_code).code == code


def test_a_step_that_could_not_be_written_down_is_a_timeout_all_the_same(box: Settings) -> None:
    assert step_budget.fault(box, TIMED_OUT).values == {"stage": "?"}
    (box.run_dir / "worker.step").mkdir()
    budget = Budget(box)
    budget.begin("quality")
    budget.end()
    assert isinstance(step_budget.fault(box, TIMED_OUT), ReadingError)


def test_the_reader_has_time_for_its_own_limits_first(box: Settings) -> None:
    budget = Budget(box)
    left_s = {}
    for step in ("quality", DECODING):
        budget.begin(step)
        left_s[step] = signal.getitimer(signal.ITIMER_REAL)[0]
    budget.end()
    assert 0 < left_s["quality"] <= 7
    assert left_s[DECODING] > 100
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0


def test_the_reader_ends_a_file_before_the_worker_is_ended_for_it(box: Settings) -> None:
    budget = Budget(replace(box, study=StudySettings(stage_s=1)))
    budget.begin(DECODING)
    remaining_s, _ = signal.getitimer(signal.ITIMER_REAL)
    budget.end()
    assert remaining_s > LONGEST_S
