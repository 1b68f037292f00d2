"""Row 3: the database is destroyed, in every way, and made anew from the stored objects."""

from __future__ import annotations

import random
import urllib.request
from pathlib import Path

from edge.config import Settings
from edge.errors import StorageError
from edge.store import studies
from edge.store.database import connect
from edge.store.part10 import take_apart
from edge.store.reconcile import reconcile
from edge.store.recovery import prepare
from edge.store.spool import Spool
from edge.types import State
from tests.faults.row import Outcome, Row, Trial
from tests.support.box import WAIT_S, Box, box_settings, eventually, served
from tests.support.damage import DAMAGES, garbage
from tests.support.ledger import Ledger, associate, faults, small_image, store
from tests.support.objects import new_uid, put
from tests.support.studies import ready_box

_OBJECTS = 100
_ENDED = (State.DONE, State.NO_RESULT, State.FAILED, State.QUARANTINED)


def _run(trial: Trial) -> Outcome:
    chance, rounds = trial.random(), trial.count(1, 20)
    back = sum(_round(trial.folder / f"{n}", chance, n) for n in range(rounds * len(DAMAGES)))
    all_of_them = rounds * len(DAMAGES) * _OBJECTS
    read_again = _whole_box(trial.folder, chance)
    figure = (
        f"{rounds * len(DAMAGES)} databases destroyed in {len(DAMAGES)} ways: {back} of {all_of_them} objects came "
        f"back; {read_again} of 2 x 3 studies of a whole box were read again"
    )
    return Outcome(figure=figure, ok=back == all_of_them and read_again == 6)


def _round(folder: Path, chance: random.Random, number: int) -> int:
    box = ready_box(folder)
    before = _filled(box, chance)
    DAMAGES[number % len(DAMAGES)](box.database)
    (box.incoming / f"{'0' * 32}.dcm").mkdir()  # a file that cannot be read, which comes first
    prepare(box)
    database = connect(box.database)
    reconcile(database, box)
    database.close()
    return len(before & _contents(box)) if not faults(box, Ledger()) else 0


def _filled(box: Settings, chance: random.Random) -> set[tuple[str, str]]:
    spool = Spool(box, lambda number: None)
    for number in range(_OBJECTS):
        content = b"\x08\x00\x05\x00CS" + chance.randbytes(chance.randrange(8, 5000))
        if number % 4:
            put(spool, content, new_uid())
        else:  # as older units write files: without File Meta Information
            whole = take_apart([content])
            spool.keep(whole.file_meta, whole.content, whole.delivery)
    spool.close()
    return _contents(box)


def _contents(box: Settings) -> set[tuple[str, str]]:
    database = connect(box.database)
    query = "SELECT sop_instance_uid, sha256 FROM instances WHERE state = 'received'"
    rows = {(row[0], row[1]) for row in database.execute(query)}
    database.close()
    return rows


def _whole_box(folder: Path, chance: random.Random) -> int:
    """Studies that were read again: after damage while the box ran, and after damage while it stood."""
    settings = box_settings(folder / "var")
    with served(settings) as box:
        association = associate(box.receiver_port)
        for _ in range(3):
            assert store(association, small_image(chance)) == 0
        association.release()
        first = eventually(lambda: _all_read(settings, set()))
        garbage(settings.database)
        second = eventually(lambda: _looked(box) and _all_read(settings, first))
        box.stop()
    garbage(settings.database)
    with served(settings):
        third = eventually(lambda: _all_read(settings, first | second))
    return len(second) + len(third)


def _looked(box: Box) -> bool:
    """Whether the page answers somebody who looks at it, which is when damage is met."""
    try:
        with urllib.request.urlopen(box.address, timeout=WAIT_S) as answer:  # noqa: S310
            return int(answer.status) == 200
    except OSError:
        return False


def _all_read(settings: Settings, but: set[str]) -> set[str]:
    """Keys of the three studies, once they are read and other than those."""
    try:
        rows = studies.worklist(settings.database, 10)
    except StorageError:
        return set()
    ended = {row.study_key for row in rows if row.state in _ENDED}
    return ended if len(ended) == 3 and not ended & but else set()


ROW = Row(number=3, goal="database destroyed: 100 % of the instances come back", run=_run)
