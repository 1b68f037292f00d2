"""A scripted peer sends malformed PDUs from many addresses; the receiver answers others all the while."""

from __future__ import annotations

from collections import Counter

from tests.faults.measured import meanwhile, summary
from tests.faults.row import Outcome, Row, Trial
from tests.support import peers
from tests.support.box import eventually
from tests.support.receivers import receiver

_GOAL_S = 1.0


def run(trial: Trial) -> Outcome:
    """Play the scripts one after the other, with a C-ECHO every 50 ms."""
    randomly = trial.random()
    echoes: list[float | None] = []
    played: Counter[str] = Counter()
    with receiver(trial.folder) as box:
        before = peers.threads(box.process.pid)
        with meanwhile(lambda: echoes.append(peers.quick_echo(box.port)), 0.05):
            for number in range(trial.count(500, 10_000)):
                script = peers.malformed(randomly)
                played[script.name] += 1
                peers.play(script, box.port, f"127.0.0.{2 + number % 250}")
        after = eventually(lambda: count if (count := peers.threads(box.process.pid)) <= before else 0)
        is_alive = box.process.poll() is None and peers.quick_echo(box.port) is not None
    answered = [seconds for seconds in echoes if seconds is not None]
    figure = (
        f"{played.total()} malformed PDUs of {len(played)} kinds: threads {before} before and {after} after; "
        f"{len(answered)} of {len(echoes)} C-ECHO answered meanwhile, {summary(answered)}, "
        f"longest {1000 * max(answered):.0f} ms"
    )
    is_quick = max(answered) < _GOAL_S or not trial.is_long
    return Outcome(figure=figure, ok=is_alive and len(answered) == len(echoes) and is_quick)


ROW = Row(number=7, goal="10,000 malformed PDUs: no leaked thread; C-ECHO < 1 s meanwhile", run=run)
