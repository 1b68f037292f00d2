"""Row 5: the Nth write or flush of the disk fails, for every N, while objects arrive.

The object whose storing meets the failure is not acknowledged. Two failures harm nothing and need no
refusal: a write that the kernel splits comes back short and is repeated (write(2)), and SQLite copies a
log that is durable already. So the power is cut in the end, and what was acknowledged must be there.
"""

from __future__ import annotations

import errno
import random

from pynetdicom.association import Association

from edge.config import Settings
from tests.faults.row import Outcome, Row, Skipped, Trial
from tests.faults.row_02_power_cuts import new_box, port_of, reconciled, start_again
from tests.support import forgetful
from tests.support.box import running
from tests.support.forgetful import Disk
from tests.support.ledger import Ledger, associate, faults, small_image, store

_BEFORE_A_CUT = 50
_MOST_OBJECTS = 100
_ERRORS = (errno.EIO, errno.ENOSPC)


def _run(trial: Trial) -> Outcome:
    if reason := forgetful.why_not():
        raise Skipped(reason)
    step, chance = (1 if trial.is_long else 25), trial.random()
    numbers, ledger, hits, found = list(range(1, 501, step)), Ledger(), [], []
    with forgetful.mounted(trial.folder / "disk") as disk:
        box = new_box(disk, trial.folder, "box")
        while numbers:
            batch, numbers = numbers[:_BEFORE_A_CUT], numbers[_BEFORE_A_CUT:]
            with running("receiver", box):
                hits += [_hit(disk, box, ledger, chance, number) for number in batch]
                disk.cut(chance.getrandbits(32))
            disk.power_on()
            start_again(box, trial.folder)
            found += [fault for fault in faults(box, ledger) if fault.startswith("integrity")]
            found += reconciled(box, ledger)
    found += [f"acknowledged: {place}" for place, status in hits if status == 0 and _is_final(place)]
    refused = sum(status != 0 for _, status in hits)
    figure = (
        f"{len(hits)} failures while {sum(ledger.statuses.values())} objects came: {refused} refused, "
        f"{len(hits) - refused} harmless; {len(found)} wrongly acknowledged, lost, torn or corrupt"
    )
    return Outcome(figure=figure, ok=not found and all(place for place, _ in hits))


def _is_final(place: str) -> bool:
    """Whether a failure leaves an object that must not be acknowledged, whatever follows."""
    return place.startswith("fsync") and "/incoming" in place


def _hit(disk: Disk, box: Settings, ledger: Ledger, chance: random.Random, number: int) -> tuple[str, int | None]:
    """Where the failure of this number struck, and what was answered to the object that came then."""
    association = associate(port_of(box))
    disk.fail(number, _ERRORS[number % len(_ERRORS)])
    status: int | None = None
    for _ in range(_MOST_OBJECTS):
        status = _send(association, ledger, chance)
        if disk.hit():
            break
    place = disk.hit()
    disk.fail(0, 0)
    association.release()
    return place, status


def _send(association: Association, ledger: Ledger, chance: random.Random) -> int | None:
    dataset = small_image(chance)
    status = store(association, dataset)
    ledger.write(dataset, status)
    return status


ROW = Row(number=5, goal="the Nth write or flush fails, N to 500: no acknowledgement, no corruption", run=_run)
