"""The worker: parses what was received, reads what is ready, stores what was found.

The database says what to do; a wake-up only saves the wait. An error sets a study aside. A
crash, a step that does not end in its time and a lack of memory end the worker, and the next
one takes the study up once more before it sets it aside. Rejected: a queue of messages, which
would be a second truth.
"""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from sqlite_utils import Database

from edge import clock, log
from edge.bus import Listener, Speaker
from edge.config import Settings
from edge.dicom.image import Header, ParsedImage, PatientInfo, UnreadableImageError, content_sha256
from edge.dicom.reader import NoRoomError, Reader
from edge.errors import ModelError, ReadingError, SetupError, StorageError, UnreadableError
from edge.lifeline import identity
from edge.pipeline.pictures import write_pictures
from edge.pipeline.reading import Known, SourceImage, load_engines, read_study
from edge.pipeline.schema import to_json
from edge.pipeline.step_budget import DECODING, OUT_OF_MEMORY, STORING, Budget, fault
from edge.store import completeness, instances, quarantine, queue
from edge.store.database import connect
from edge.types import State, StudyResult

ReadStudy = Callable[[Iterable[SourceImage], queue.Claim, Callable[[str], None]], StudyResult]

_LOOK_S = 1.0
_MAX_PARSE_ATTEMPTS = 2
_SPARE_BYTES = 1 << 20  # beside the pixels of an image: what a file system needs itself


class _DecodeAgainError(Exception):
    """An image was readable when it came, and now is not, by chance or for lack of room: its study has to wait."""

    def __init__(self, instance_id: int) -> None:
        super().__init__()
        self.instance_id = instance_id


class Worker:
    """Does one piece of work at a time.

    Parameters
    ----------
    read : the reading itself: images and what is known of their study to its result; it tells each step first.
    changed : told the id of whatever changed, for whoever shows it.
    """

    def __init__(
        self, settings: Settings, database: Database, reader: Reader, read: ReadStudy, changed: Callable[[int], None]
    ) -> None:
        self._settings = settings
        self._database = database
        self._reader = reader
        self._read = read
        self._changed = changed
        self._budget = Budget(settings)
        self._run_id = identity(os.getppid())  # of the supervisor: work that another one's worker left was cut off
        self._last: tuple[int, ParsedImage] | None = None  # saves decoding a lone radiograph twice

    def step(self) -> bool:
        """Read one ready radiograph, else parse one received object, else read a CT study.

        A CT study waits for its slices, or each of them would make a version of its own.
        Then see which studies need not wait any longer.
        False where there was nothing to do.

        Raises
        ------
        SetupError, StorageError
            The machine cannot read or store; no study is at fault.
        MemoryError
            This process is in no state to go on.
        """
        try:
            if self._read_one(series=False) or self._parse_one() or self._read_one(series=True):
                return True
        finally:
            self._budget.end()
        return self._look()

    def _look(self) -> bool:
        moved = completeness.look(self._database)
        if moved:
            self._changed(0)
        return moved

    def _read_one(self, *, series: bool) -> bool:
        claimed = queue.claim(self._database, series=series, run_id=self._run_id)
        if claimed is None:
            return False
        self._changed(claimed.study_id)
        self._finish(claimed)
        self._changed(claimed.study_id)
        return True

    def _parse_one(self) -> bool:
        free_bytes = shutil.disk_usage(self._settings.run_dir).free
        arrival = instances.next_arrival(self._database, self._run_id, free_bytes)
        if arrival is None:
            return False
        self._budget.begin(DECODING)
        try:
            self._parse(arrival)
        except NoRoomError as full:
            self._hold(arrival.instance_id, full)
            return full.needed_bytes > free_bytes  # else it would be tried again and again without a pause
        self._changed(arrival.instance_id)
        return True

    def _hold(self, instance_id: int, full: NoRoomError) -> None:
        log.event("waits_for_room", instance_id=instance_id, code=full.code)
        instances.hold(self._database, instance_id, full.needed_bytes + _SPARE_BYTES)
        self._changed(instance_id)

    def _parse(self, arrival: instances.Arrival) -> None:
        try:
            image = self._readable(arrival)
            if image is None:
                return
            instances.attach(self._database, arrival.instance_id, _attributes(image), self._quiet_s(image))
            self._last = (arrival.instance_id, image)
        except UnreadableError as error:
            if not self._path(arrival.path).exists():
                instances.lose(self._database, arrival.instance_id, arrival.path)
                return
            header = error.header if isinstance(error, UnreadableImageError) else None
            attributes = _attributes(header) if header else None
            instances.quarantine(self._database, arrival.instance_id, error.remark(), attributes)
            log.event("quarantined", instance_id=arrival.instance_id, code=error.code)

    def _quiet_s(self, image: ParsedImage) -> int:
        study = self._settings.study
        return study.quiet_ct_s if image.modality == "CT" else study.quiet_radiograph_s

    def _readable(self, arrival: instances.Arrival) -> ParsedImage | None:
        """The image of a received object, or None for a copy, of which nothing is left."""
        if arrival.attempts > _MAX_PARSE_ATTEMPTS:
            raise UnreadableError("reader_crashed")
        image = self._reader.read(self._path(arrival.path))
        seen = content_sha256(image)
        identity = instances.identify(self._database, arrival.instance_id, image.sop_instance_uid, seen)
        if identity is instances.Identity.COPY:
            self._path(arrival.path).unlink(missing_ok=True)
            return None
        if identity is instances.Identity.CONFLICT:
            raise UnreadableImageError("conflicting_duplicate", image)
        if instances.names_other_patient(self._database, _attributes(image)):
            raise UnreadableImageError("other_patient", image)
        return image

    def _finish(self, claimed: queue.Claim) -> None:
        started = clock.monotonic()
        try:
            result = self._read(self._sources(claimed), claimed, self._budget.begin)
            report = to_json(result)
        except (SetupError, StorageError, MemoryError):
            raise
        except _DecodeAgainError as again:
            queue.decode_again(self._database, claimed, again.instance_id)
            return
        except Exception as error:  # whatever a study does to the reading, the next one gets its turn
            log.event(
                "reading_failed", study_id=claimed.study_id, error_type=type(error).__name__, where=log.where(error)
            )
            queue.fail(self._database, claimed.study_id, ReadingError("reading_failed").remark(), clock.utc())
            return
        self._budget.begin(STORING)
        if result.state is State.QUARANTINED and queue.keep_result(self._database, claimed):
            return
        self._store(claimed, result, report)
        seconds = round(clock.monotonic() - started, 3)
        log.event("read", study_id=claimed.study_id, state=result.state.value, seconds=seconds)

    def _store(self, claimed: queue.Claim, result: StudyResult, report: dict[str, Any]) -> None:
        if result.view_pixels is not None:
            write_pictures(self._settings, claimed.study_key, claimed.next_version, result.view_pixels)
        outcome = queue.Outcome(
            state=result.state,
            decision=(report.get("classification") or {}).get("decision"),
            reasons=report.get("reasons", []),
            result=report,
            completed_at=result.completed_at,
            has_preview=result.view_pixels is not None,
        )
        queue.complete(self._database, claimed, outcome, self._settings.destination)

    def _sources(self, claimed: queue.Claim) -> Iterator[SourceImage]:
        return (SourceImage(source=path.name, outcome=self._image(number, path)) for number, path in claimed.sources)

    def _image(self, instance_id: int, path: Path) -> ParsedImage | UnreadableError:
        self._budget.begin(DECODING)
        last, self._last = self._last, None
        if last is not None and last[0] == instance_id:
            return last[1]
        try:
            return self._reader.read(self._path(path))
        except NoRoomError as full:
            self._hold(instance_id, full)
            raise _DecodeAgainError(instance_id) from full
        except UnreadableError as error:
            return self._unread(instance_id, path, error)

    def _unread(self, instance_id: int, path: Path, error: UnreadableError) -> UnreadableError:
        if not self._path(path).exists():
            error = UnreadableError("file_lost")
            instances.lose(self._database, instance_id, path)
        elif error.code in quarantine.CHANCE_CODES:
            raise _DecodeAgainError(instance_id)
        return error

    def _path(self, name: Path) -> Path:
        return self._settings.incoming / name


def run(settings: Settings, last_exit: int = 0) -> int:
    """Work until SIGTERM, and return the exit status.

    Parameters
    ----------
    last_exit : the exit code of the worker before this one, 0 where there was none.

    Raises
    ------
    ModelError
        Where a model must not be used.
    """
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda number, frame: stopped.set())
    database = connect(settings.database)
    engines = load_engines(settings)
    speaker, listener = Speaker(settings.run_dir, "worker"), Listener(settings.run_dir, "worker")
    queue.recover(database, clock.utc(), run_id=identity(os.getppid()), fault=fault(settings, last_exit))
    faults = [engine for engine in engines.values() if isinstance(engine, ModelError)]
    for refused in faults:
        log.event("model_refused", model=refused.values.get("model"), code=refused.code)
    if not faults:
        queue.retry(database, ModelError.texts)
    log.event("tried_again", count=quarantine.retry(database, judged_elsewhere=True))

    def read(sources: Iterable[SourceImage], claimed: queue.Claim, begin: Callable[[str], None]) -> StudyResult:
        known = Known(stated_age_years=claimed.stated_age_years, prior=claimed.prior)
        return read_study(sources, engines, claimed.study_key, known, begin)

    with Reader(folder=settings.run_dir) as reader:
        status = _work(Worker(settings, database, reader, read, speaker.wake), database, listener, stopped)
    for part in (listener, speaker, database):
        part.close()
    return status


def _work(worker: Worker, database: Database, listener: Listener, stopped: threading.Event) -> int:
    is_interrupted = False
    while not stopped.is_set():
        try:
            if is_interrupted:
                queue.release(database)
            is_interrupted = False
            is_busy = worker.step()
        except (SetupError, StorageError) as error:
            log.event("work_interrupted", code=error.code)
            is_interrupted, is_busy = True, False
        except MemoryError:  # a new process gets it all back
            log.event("out_of_memory")
            return OUT_OF_MEMORY
        if not is_busy:
            listener.wait(_LOOK_S)
    return 0


def _attributes(header: Header) -> instances.Attributes:
    patient = header.patient or PatientInfo()
    return instances.Attributes(
        study_instance_uid=header.study_instance_uid,
        series_instance_uid=header.series_instance_uid,
        modality=header.modality,
        accession_number=header.accession_number,
        patient_name=patient.name,
        patient_id=patient.patient_id,
        birth_date=patient.birth_date,
        sex=patient.sex,
        acquired_at=header.acquired_at,
    )
