"""Row 18: a step of a reading that hangs in C code, with Python's lock held, in each place where one can."""

from __future__ import annotations

from itertools import cycle, islice

from edge.pipeline.step_budget import TIMED_OUT
from edge.types import State
from tests.faults.row import Outcome, Row, Trial
from tests.faults.spoilt import spoil
from tests.support.faulty_worker import FIRST_HANGING_PX, STEPS

_STAGE_S = 4  # a good stage takes a tenth of it, also beside other work


def run(trial: Trial) -> Outcome:
    """Hang in each step in turn; the short run takes one of them by chance."""
    first = trial.random().randrange(len(STEPS))
    turns = islice(cycle(range(len(STEPS))), first, first + trial.count(1, 5 * len(STEPS)))
    seen = spoil(trial, [FIRST_HANGING_PX + turn for turn in turns], _STAGE_S)
    set_aside = sum(
        row.state is State.FAILED
        and row.reasons[0]["code"] == "stage_timeout"
        and row.reasons[0]["values"]["stage"] == STEPS[height - FIRST_HANGING_PX]
        for height, row in seen.bad
    )
    killed = [exit_code for exit_code, _ in seen.exits].count(TIMED_OUT)
    longest_s = max((delay_s for _, delay_s in seen.exits), default=0.0)
    return Outcome(
        figure=f"{len(seen.bad)} studies hung in {len({height for height, _ in seen.bad})} of {len(STEPS)} steps, "
        f"{killed} of {len(seen.exits)} ends of the worker by its budget, {set_aside} set aside with the step's name, "
        f"next worker after at most {longest_s} s; {seen.good_read} of {len(seen.good)} others read; "
        f"receiver and page silent {seen.silent} of {seen.asked} times",
        ok=set_aside == len(seen.bad)
        and killed == len(seen.exits) == 2 * len(seen.bad)
        and longest_s < 1
        and seen.good_read == len(seen.good)
        and not seen.silent,
    )


ROW = Row(number=18, goal="a stage hangs: killed at its budget, retried once, set aside, others go on", run=run)
