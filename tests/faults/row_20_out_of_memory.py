"""Row 20: the worker without memory, in Python, numpy, OpenCV and the runtime, and killed for it by the kernel."""

from __future__ import annotations

from itertools import cycle, islice

from edge.pipeline.step_budget import OUT_OF_MEMORY
from edge.types import State
from tests.faults.row import Outcome, Row, Trial
from tests.faults.spoilt import spoil
from tests.support.faulty_worker import FIRST_GREEDY_PX, LACKS

_STAGE_S = 60
_CODES = frozenset({"out_of_memory", "reading_crashed"})


def run(trial: Trial) -> Outcome:
    """Take the memory away in each way in turn; the short run takes one of them by chance."""
    first = trial.random().randrange(len(LACKS))
    turns = islice(cycle(range(len(LACKS))), first, first + trial.count(1, 50))
    seen = spoil(trial, [FIRST_GREEDY_PX + turn for turn in turns], _STAGE_S)
    set_aside = sum(row.state is State.FAILED and row.reasons[0]["code"] in _CODES for _, row in seen.bad)
    own = [exit_code for exit_code, _ in seen.exits].count(OUT_OF_MEMORY)
    return Outcome(
        figure=f"worker ended {len(seen.exits)} times, {own} of them by itself; "
        f"{set_aside} of {len(seen.bad)} studies set aside after two; "
        f"{seen.good_read} of {len(seen.good)} others read; "
        f"receiver and page silent {seen.silent} of {seen.asked} times",
        ok=set_aside == len(seen.bad)
        and len(seen.exits) == 2 * len(seen.bad)
        and seen.good_read == len(seen.good)
        and not seen.silent,
    )


ROW = Row(number=20, goal="worker out of memory 100 times: receiver and page stay up", run=run)
