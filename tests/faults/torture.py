"""``make torture``: the whole table of faults, one line a row; ``make torture ROWS=9,10`` runs only those.

Each finished row is kept in ``build/torture``, so that a table that was interrupted goes on
where it stopped; ``AGAIN=1`` forgets them. ``SEED=N`` repeats a run.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.faults import (
    row_01_kills,
    row_02_power_cuts,
    row_03_lost_database,
    row_04_full_disk,
    row_05_failing_writes,
    row_06_malformed,
    row_07_malformed_pdus,
    row_08_bombs,
    row_09_many_senders,
    row_10_hostile_sockets,
    row_11_soak,
    row_12_clock,
    row_18_hanging_stage,
    row_20_out_of_memory,
    row_21_canary,
    row_26_strangers,
    row_27_hostile_identifiers,
)
from tests.faults.row import Outcome, Row, Skipped, Trial

ROWS: tuple[Row, ...] = (
    row_01_kills.ROW,
    row_02_power_cuts.ROW,
    row_03_lost_database.ROW,
    row_04_full_disk.ROW,
    row_05_failing_writes.ROW,
    row_06_malformed.ROW,
    row_07_malformed_pdus.ROW,
    row_08_bombs.ROW,
    row_09_many_senders.ROW,
    row_10_hostile_sockets.ROW,
    row_11_soak.ROW,
    row_12_clock.ROW,
    row_18_hanging_stage.ROW,
    row_20_out_of_memory.ROW,
    row_21_canary.ROW,
    row_26_strangers.ROW,
    row_27_hostile_identifiers.ROW,
)

_KEPT = Path("build/torture")


def main() -> int:
    """Run the rows that the environment asks for; 0 where all goals were reached."""
    wanted = {int(number) for number in os.environ.get("ROWS", "").split(",") if number}
    seed = int(os.environ.get("SEED") or secrets.randbelow(1 << 32))
    print(f"seed {seed}", flush=True)
    rows = [row for row in ROWS if not wanted or row.number in wanted]
    return int(not all([_report(row, seed) for row in rows]))


def _report(row: Row, seed: int) -> bool:
    try:
        outcome = _kept(row) or _tried(row, seed)
    except Skipped as reason:
        outcome = Outcome(figure=f"not tried: {reason}", ok=False)
    print(f"row {row.number} | {row.goal} | {outcome.figure} | {'ok' if outcome.ok else 'short'}", flush=True)
    return outcome.ok


def _tried(row: Row, seed: int) -> Outcome:
    with tempfile.TemporaryDirectory(prefix="torture-") as folder:
        outcome = row.run(Trial(folder=Path(folder), seed=seed, is_long=True))
    _KEPT.mkdir(parents=True, exist_ok=True)
    kept = {"commit": _commit(), "figure": outcome.figure, "ok": outcome.ok}
    (_KEPT / f"row_{row.number}.json").write_text(json.dumps(kept))
    return outcome


def _kept(row: Row) -> Outcome | None:
    path = _KEPT / f"row_{row.number}.json"
    if os.environ.get("AGAIN") or not path.exists():
        return None
    kept = json.loads(path.read_text())
    return Outcome(figure=kept["figure"], ok=kept["ok"]) if kept["commit"] == _commit() else None


def _commit() -> str:
    return subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
