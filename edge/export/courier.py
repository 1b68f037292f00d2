"""Brings the objects of one destination there, in a thread of its own: a slow archive delays no other one.

A destination that is down is asked once after each wait, whatever waits for it, and that makes no object
``dead``: only what is said of the object itself does, or failures of its own while others were taken. All
waits are on the monotonic clock and end with the process. Rejected: a wait for each object, which would
ask an archive that is down once for each of them.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from pathlib import Path

from sqlite_utils import Database

from edge import clock, log
from edge.config import DestinationSettings, Settings
from edge.dicom import commitment
from edge.errors import EdgeError, SendError, SetupError, StorageError
from edge.export.answers import Answer, Asked, Fate
from edge.export.cstore import CStore
from edge.export.making import Maker
from edge.export.stow import Stow
from edge.store import outbox, sent, troubles
from edge.store.outbox import Item

BATCH = 20
_ASKED_AT_ONCE = 200
_FIRST_WAIT_S, _LONGEST_WAIT_S = 5.0, 600.0
_LONGEST_OWN_WAIT_S = 3600.0
_FIRST_ANSWER_S, _LONGEST_ANSWER_S = 600.0, 24 * 3600.0


class Courier:
    """Sends to one destination, and asks it for its commitment.

    Parameters
    ----------
    changed : told that a page has something new to show.
    """

    def __init__(
        self,
        settings: Settings,
        destination: DestinationSettings,
        database: Database,
        maker: Maker,
        changed: Callable[[int], None],
    ) -> None:
        self._settings = settings
        self._destination = destination
        self._database = database
        self._maker = maker
        self._changed = changed
        self._dicom = CStore(settings, destination, commitment.handler(settings.database, changed))
        self._carrier = Stow(settings, destination) if destination.kind == "stow" else self._dicom
        self._wait = clock.Wait(_FIRST_WAIT_S, _LONGEST_WAIT_S)
        self._asking = clock.Wait(_FIRST_WAIT_S, _LONGEST_WAIT_S)
        self._own_waits: dict[int, clock.Wait] = {}
        self._taken = 0
        self._taken_at_failure: dict[int, int] = {}
        self._answer_s = _FIRST_ANSWER_S
        self._answer_by: dict[str, float] = {}
        outbox.recover(database, destination)

    def step(self) -> bool:
        """Send what is due, else ask for commitments; False where nothing is to be done now.

        Raises
        ------
        StorageError
            The database or the disk cannot be used.
        """
        self._expire()
        if not self._wait.is_over():
            return False
        items = outbox.due(self._database, self._destination.name, BATCH, self._resting())
        if items:
            self._deliver(items)
        elif not self._ask():
            return False
        self._changed(0)
        return True

    def _resting(self) -> list[int]:
        return [row_id for row_id, wait in self._own_waits.items() if not wait.is_over()]

    def _deliver(self, items: Iterable[Item]) -> None:
        made = [(item, outbox.path_of(self._settings, item)) for item in items if self._is_made(item)]
        if not made:
            return
        with self._telling(), self._carrier.connected([path for _, path in made]) as asked:
            for item, path in made:
                if not outbox.begin(self._database, item):
                    continue  # a newer result came meanwhile
                if not self._settled(item, self._answer(asked, item, path)):
                    break

    def _is_made(self, item: Item) -> bool:
        try:
            return self._maker.ensure(self._database, item, self._destination)
        except SetupError as error:  # told at the object, which waits; those that need no key go on
            log.event("not_made", study_id=item.study_id, code=error.code)
            outbox.put_back(self._database, item, troubles.trouble(error))
            self._rest(item)
            return False

    def _answer(self, asked: Asked, item: Item, path: Path) -> Answer:
        failed = SendError("object_failed", peer=self._destination.name, status="–")
        try:
            return asked.send(path)
        except Exception as error:
            if not isinstance(error, EdgeError):  # one that nobody expected must not hold up the others
                log.event("not_sent", study_id=item.study_id, error_type=type(error).__name__, where=log.where(error))
                return Answer(fate=Fate.BROKEN, error=failed)
            outbox.put_back(self._database, item, troubles.trouble(error))
            raise
        except BaseException:
            outbox.put_back(self._database, item, troubles.trouble(failed))
            raise

    def _settled(self, item: Item, answer: Answer) -> bool:
        """Note what came of an object; whether the next one can follow at once."""
        error = answer.error
        log.event("sent", study_id=item.study_id, state=answer.fate.value, code=error.code if error else "")
        told = (
            troubles.trouble(error, answer.words, troubles.identifiers(self._database, item.study_id))
            if error
            else None
        )
        if answer.fate is Fate.TAKEN:
            outbox.take(self._database, item, self._destination, told)
            self._taken += 1
        elif told is None or error is None:
            raise ValueError("expected an error with whatever was not taken")
        elif answer.fate is Fate.REFUSED:
            outbox.bury(self._database, item, self._destination, told)
        elif answer.fate is Fate.NO_ROOM:
            outbox.put_back(self._database, item, told)
            raise error
        else:
            return self._failed(item, answer, told)
        self._forget(item)
        return True

    def _failed(self, item: Item, answer: Answer, told: str) -> bool:
        before = self._taken_at_failure.get(item.row_id)
        # Alone it proves nothing: the archive itself may be ill for weeks.
        is_its_own = before is not None and self._taken > before
        self._taken_at_failure[item.row_id] = self._taken
        outbox.put_back(self._database, item, told, strike=is_its_own)
        self._rest(item)
        if answer.fate is Fate.BROKEN and before is None and answer.error is not None:
            raise answer.error  # one that broke off before must not hold up the others each time
        return answer.fate is not Fate.BROKEN

    def _rest(self, item: Item) -> None:
        self._own_waits.setdefault(item.row_id, clock.Wait(_FIRST_WAIT_S, _LONGEST_OWN_WAIT_S)).longer()

    def _forget(self, item: Item) -> None:
        self._own_waits.pop(item.row_id, None)
        self._taken_at_failure.pop(item.row_id, None)

    def _ask(self) -> bool:
        items = outbox.to_ask(self._database, self._destination.name, _ASKED_AT_ONCE) if self._asking.is_over() else []
        if not items:
            return False
        begun: list[str] = []

        def note(uid: str) -> None:
            begun.append(uid)
            outbox.ask(self._database, items, uid)

        with self._telling():
            try:
                self._dicom.ask(items, note, lambda uid: uid not in self._open())
                self._asking.reset()
            except SendError as error:
                if error.code == "no_commitment":
                    outbox.no_commitment(self._database, self._destination.name, troubles.trouble(error))
                elif error.code == "commitment_refused":
                    self._asking.longer()
                    outbox.unanswered(self._database, begun[0], troubles.trouble(error))
                else:
                    raise
        return True

    def _open(self) -> set[str]:
        return outbox.transactions(self._database, self._destination.name)

    def _expire(self) -> None:
        """Have what was asked for too long ago asked again; a restart gives the other side the whole time once more."""
        now, unanswered = clock.monotonic(), self._open()
        if self._answer_by.keys() - unanswered:
            self._answer_s = _FIRST_ANSWER_S
        self._answer_by = {uid: self._answer_by.get(uid, now + self._answer_s) for uid in unanswered}
        for uid in [uid for uid, by in self._answer_by.items() if now >= by]:
            told = troubles.trouble(SendError("commitment_late", peer=self._destination.name))
            outbox.unanswered(self._database, uid, told)
            del self._answer_by[uid]
            self._answer_s = min(2 * self._answer_s, _LONGEST_ANSWER_S)

    @contextmanager
    def _telling(self) -> Generator[None, None, None]:
        """Keep how the destination itself answered, and leave it alone for a while where it did not."""
        try:
            yield
        except StorageError:
            raise
        except EdgeError as error:
            log.event("export_failed", code=error.code)
            self._wait.longer(error.wait_s if isinstance(error, SendError) else 0.0)
            sent.note_answer(self._database, self._destination.name, troubles.trouble(error))
        else:
            self._wait.reset()
            sent.note_answer(self._database, self._destination.name, None)
