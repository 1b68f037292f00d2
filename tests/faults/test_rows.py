"""The rows of the torture table, each with as many repetitions as a test run has time for."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from tests.faults.row import Row, Skipped, Trial
from tests.faults.torture import ROWS


# The library that sends leaves sockets open whose other side was killed.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"row {row.number}")
def test_the_goal_is_reached(row: Row, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seed = secrets.randbelow(1 << 32)
    try:
        outcome = row.run(Trial(folder=tmp_path, seed=seed, is_long=False))
    except Skipped as reason:
        pytest.skip(str(reason))
    with capsys.disabled():
        print(f"\nrow {row.number} | {row.goal} | {outcome.figure} | seed {seed}")
    assert outcome.ok, outcome.figure
