"""The process that asks the PACS and the worklist, so that a slow one delays nothing else.

One request at a time. A peer that fails is left alone for a while, twice as long each time, on
the monotonic clock; other peers go on. A study whose priors came and were read is read again
once, as a new version. Rejected: a thread of the worker, which a hanging PACS would share.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import UID
from sqlite_utils import Database

from edge import clock, log
from edge.bus import Listener, Speaker
from edge.config import Settings
from edge.dicom import query, worklist
from edge.dicom.attributes import text
from edge.dicom.peer import Limits, Peer
from edge.errors import EdgeError, PeerError
from edge.store import pulls
from edge.store.database import connect
from edge.store.journal import Action, Outcome
from edge.store.priors import is_same_patient
from edge.store.pulls import Kind, Pull
from edge.store.spool import Spool

_LOOK_S = 1.0
_FIRST_WAIT_S, _LONGEST_WAIT_S = 5.0, 600.0
_MOST_PRIORS = 3
_MOST_SEARCHED = 10
"""Studies whose series are asked for in the search of the few that are fetched."""
_PRIOR_LIMITS = Limits(size_bytes=256 << 20, seconds=300.0)
_MOST_PRIOR_IMAGES = 20
_STUDY_LIMITS = Limits(size_bytes=4 << 30, seconds=3600.0)
_MOST_STUDY_IMAGES = 5000


class Fetcher:
    """Does one job at a time.

    Parameters
    ----------
    changed : told the id of each study that changed.
    """

    def __init__(self, settings: Settings, database: Database, spool: Spool, changed: Callable[[int], None]) -> None:
        self._database = database
        self._spool = spool
        self._changed = changed
        self._pacs = Peer(settings, settings.pacs)
        self._worklist = Peer(settings, settings.worklist)
        self._tasks: dict[Kind, Callable[[Pull], None]] = {}
        if settings.pacs.host and settings.pacs.priors:
            self._tasks |= {Kind.PRIORS: self._search, Kind.STUDY: self._fetch}
        if settings.worklist.host:
            self._tasks[Kind.WORKLIST] = self._match
        self._waits = {kind: clock.Wait(_FIRST_WAIT_S, _LONGEST_WAIT_S) for kind in self._tasks}
        if Kind.STUDY in self._tasks:
            self._waits[Kind.STUDY] = self._waits[Kind.PRIORS]

    def step(self) -> bool:
        """Do the job that was tried least; False where none is due.

        Raises
        ------
        StorageError
            The database cannot be used.
        """
        pulls.plan(self._database, self._tasks.keys() - {Kind.STUDY})
        for study_id in pulls.settle(self._database):
            self._changed(study_id)
        due = [kind for kind in self._tasks if self._waits[kind].is_over()]
        pull = pulls.claim(self._database, due)
        if pull is None:
            return False
        self._do(pull)
        self._changed(int(pull.study["id"]))
        return True

    def _do(self, pull: Pull) -> None:
        wait = self._waits[pull.kind]
        try:
            self._tasks[pull.kind](pull)
            wait.reset()
            return
        except PeerError as error:
            code, retriable = error.code, error.retriable
        except EdgeError as error:
            code, retriable = error.code, True
        except Exception as error:  # whatever a peer sends, the next job gets its turn
            log.event("fetch_broke", error_type=type(error).__name__, where=log.where(error))
            code, retriable = "broken_answer", True
        log.event("fetch_failed", code=code, study_id=int(pull.study["id"]))
        pulls.fail(self._database, pull, code, retriable=retriable)
        if retriable:
            wait.longer()

    def _search(self, pull: Pull) -> None:
        pulls.add_studies(self._database, pull, find_priors(self._pacs, pull.study))

    def _fetch(self, pull: Pull) -> None:
        asked = query.Asked(
            study_instance_uid=pull.study_instance_uid,
            series_instance_uids=pull.series_instance_uids,
            patient=pull.study,
            most=_MOST_PRIOR_IMAGES,
        )
        count = _pull(self._pacs, asked, self._spool, _PRIOR_LIMITS)
        log.event("prior_fetched", study_id=int(pull.study["id"]), count=count)
        pulls.end(self._database, pull, None if count else "nothing_came")

    def _match(self, pull: Pull) -> None:
        steps = worklist.find_steps(self._worklist, pull.study["patient_id"])
        code, accession_number = worklist.match(pull.study, steps)
        log.event("worklist_asked", study_id=int(pull.study["id"]), code=code)
        if accession_number:
            pulls.fill_accession_number(self._database, pull, accession_number)
        else:
            pulls.end(self._database, pull, code)


def find_priors(pacs: Peer, study: Mapping[str, Any]) -> dict[str, list[str]]:
    """The newest earlier chest radiographs of a study's patient: their series by Study Instance UID.

    Raises
    ------
    PeerError
    """
    found: dict[str, list[str]] = {}
    for earlier in _earlier(query.find_studies(pacs, PatientID=study["patient_id"]), study)[:_MOST_SEARCHED]:
        series = [text(one, "SeriesInstanceUID") for one in query.find_series(pacs, earlier) if _is_chest(one)]
        if series and len(found) < _MOST_PRIORS:
            found[earlier] = series
    return found


def pull_by_hand(settings: Settings, *, study_uid: str = "", accession_number: str = "") -> int:
    """Fetch one study from the PACS now, and return how many images came.

    Raises
    ------
    PeerError
        With what to do, also where the number fits no study or several.
    StorageError
        The box was never started, or cannot store.
    """
    pacs = Peer(settings, settings.pacs)
    if not settings.pacs.host:
        raise pacs.error("no_pacs")
    asked = query.Asked(study_instance_uid=_found_uid(pacs, study_uid, accession_number), most=_MOST_STUDY_IMAGES)
    spool = Spool(settings, lambda instance_id: None)  # the worker looks by itself each second
    try:
        return _pull(pacs, asked, spool, _STUDY_LIMITS)
    finally:
        spool.close()


def _pull(pacs: Peer, asked: query.Asked, spool: Spool, limits: Limits) -> int:
    pacs.note(Action.PULL_BEGUN)
    try:
        count = query.fetch(pacs, asked, spool, limits)
    except EdgeError as error:
        pacs.note(Action.PULLED, outcome=Outcome.FAILED.value, code=error.code)
        raise
    pacs.note(Action.PULLED, count=count)
    return count


def run(settings: Settings) -> int:
    """Ask until SIGTERM, and return the exit status."""
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda number, frame: stopped.set())
    database = connect(settings.database)
    speaker, listener = Speaker(settings.run_dir, "fetch"), Listener(settings.run_dir, "fetch")
    spool = Spool(settings, speaker.wake)
    pulls.recover(database)
    fetcher = Fetcher(settings, database, spool, speaker.wake)
    while not stopped.is_set():
        spool.sweep()
        if not fetcher.step():
            listener.wait(_LOOK_S)
    for part in (listener, spool, speaker, database):
        part.close()
    return 0


def _found_uid(pacs: Peer, study_uid: str, accession_number: str) -> str:
    # A wildcard or an empty text would ask for everything that the PACS has (PS3.4 section C.2.2.2.4).
    is_number = bool(accession_number.strip()) and not set(accession_number) & set("*?\\")
    if not (UID(study_uid).is_valid if study_uid else is_number):
        raise pacs.error("bad_number")
    key = {"StudyInstanceUID": study_uid} if study_uid else {"AccessionNumber": accession_number}
    uids = {text(study, "StudyInstanceUID") for study in query.find_studies(pacs, **key)}
    if len(uids) != 1 or not UID(min(uids)).is_valid:
        raise pacs.error("several_found" if len(uids) > 1 else "nothing_found", count=len(uids))
    return uids.pop()


def _earlier(matches: Iterable[Dataset], study: Mapping[str, Any]) -> list[str]:
    """Study Instance UIDs of the same patient's studies that were taken before, newest first."""
    taken = (study["acquired_at"] or "9999").replace("-", "").replace(":", "").replace("T", "")
    dated = [
        (text(found, "StudyDate") + text(found, "StudyTime")[:6], text(found, "StudyInstanceUID"))
        for found in matches
        if is_same_patient(query.patient_of(found), study)
    ]
    return [
        uid
        for moment, uid in sorted(dated, reverse=True)
        if moment and moment < taken and uid != study["study_instance_uid"] and UID(uid).is_valid
    ]


def _is_chest(series: Dataset) -> bool:
    part = text(series, "BodyPartExamined").upper()
    is_radiograph = text(series, "Modality") in pulls.RADIOGRAPHY and UID(text(series, "SeriesInstanceUID")).is_valid
    return is_radiograph and (not part or any(name in part for name in ("CHEST", "THORAX", "LUNG")))
