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
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from sqlite_utils import Database

from edge import clock, log
from edge.bus import Listener, Speaker
from edge.config import Settings
from edge.dicom.image import Header, PatientInfo, UnreadableImageError, content_sha256
from edge.dicom.reader import NoRoomError, Reader
from edge.dicom.readers import Outcome, Readers
from edge.errors import ModelError, ReadingError, SetupError, StorageError, UnreadableError
from edge.lifeline import identity
from edge.pipeline.decoded import Decoded, Image
from edge.pipeline.pictures import write_pictures
from edge.pipeline.reading import Known, SourceImage, load_engines, read_study
from edge.pipeline.schema import to_json
from edge.pipeline.stacks import prior_scan, write_stack
from edge.pipeline.step_budget import DECODING, OUT_OF_MEMORY, STORING, Budget, fault
from edge.stages.tomography.scan import PriorScan
from edge.store import completeness, instances, quarantine, queue
from edge.store.database import connect
from edge.store.studies import stack_path
from edge.types import State, StudyResult, Tomogram

ReadStudy = Callable[[Iterable[SourceImage], queue.Claim, Callable[[str], None]], StudyResult]

_LOOK_S = 1.0
_MAX_PARSE_ATTEMPTS = 2
_READERS = 2
"""As many as a small box has processor cores; the receiver and the page hardly need any."""
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
        self, settings: Settings, database: Database, readers: Readers, read: ReadStudy, changed: Callable[[int], None]
    ) -> None:
        self._settings = settings
        self._database = database
        self._readers = readers
        self._read = read
        self._changed = changed
        self._budget = Budget(settings)
        self._run_id = identity(os.getppid())  # of the supervisor: work that another one's worker left was cut off
        self._decoded = Decoded()

    def step(self) -> bool:
        """Read one ready radiograph, else parse a few received objects, else read a CT study.

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
            if self._read_one(series=False) or self._parse_some() or self._read_one(series=True):
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

    def _parse_some(self) -> bool:
        """Parse as many objects as are decoded at once; whether anything was done."""
        free_bytes = shutil.disk_usage(self._settings.run_dir).free
        arrivals = instances.next_arrivals(self._database, self._readers.count, self._run_id, free_bytes)
        self._budget.begin(DECODING)
        tried = [arrival for arrival in arrivals if arrival.attempts <= _MAX_PARSE_ATTEMPTS]
        outcomes = self._readers.read_all(self._path(arrival.path) for arrival in tried)
        is_busy = False
        for arrival in arrivals:
            outcome = next(outcomes) if arrival in tried else UnreadableError("reader_crashed")
            is_busy = self._parse(arrival, outcome, free_bytes) or is_busy
        return is_busy

    def _hold(self, instance_id: int, full: NoRoomError) -> None:
        log.event("waits_for_room", instance_id=instance_id, code=full.code)
        instances.hold(self._database, instance_id, full.needed_bytes + _SPARE_BYTES)
        self._changed(instance_id)

    def _parse(self, arrival: instances.Arrival, outcome: Outcome, free_bytes: int) -> bool:
        """Put an object where it belongs; False where it only waits on for room, as it did before."""
        if isinstance(outcome, NoRoomError):
            self._hold(arrival.instance_id, outcome)
            return outcome.needed_bytes > free_bytes  # else it would be tried again and again without a pause
        try:
            image = self._readable(arrival, outcome)
            if image is not None:
                instances.attach(self._database, arrival.instance_id, _attributes(image), self._quiet_s(image))
                self._decoded.keep(arrival.instance_id, image)
        except UnreadableError as error:
            self._set_aside(arrival, error)
        self._changed(arrival.instance_id)
        return True

    def _set_aside(self, arrival: instances.Arrival, error: UnreadableError) -> None:
        if not self._path(arrival.path).exists():
            instances.lose(self._database, arrival.instance_id, arrival.path)
            return
        header = error.header if isinstance(error, UnreadableImageError) else None
        attributes = _attributes(header) if header else None
        instances.quarantine(self._database, arrival.instance_id, error.remark(), attributes)
        log.event("quarantined", instance_id=arrival.instance_id, code=error.code)

    def _quiet_s(self, image: Header) -> int:
        study = self._settings.study
        return study.quiet_ct_s if image.modality == "CT" else study.quiet_radiograph_s

    def _readable(self, arrival: instances.Arrival, image: Image | UnreadableError) -> Image | None:
        """The image of a received object, or None for a copy, of which nothing is left."""
        if isinstance(image, UnreadableError):
            raise image
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
        if result.tomogram is not None:
            self._keep_slices(stack_path(self._settings, claimed.study_key, claimed.next_version), result.tomogram)
        outcome = queue.Outcome(
            state=result.state,
            decision=(report.get("classification") or {}).get("decision"),
            reasons=report.get("reasons", []),
            result=report,
            completed_at=result.completed_at,
            has_preview=result.view_pixels is not None,
        )
        queue.complete(self._database, claimed, outcome, self._settings.destination)

    def _keep_slices(self, path: Path, tomogram: Tomogram) -> None:
        try:
            write_stack(path, tomogram)
        except StorageError as error:  # a result without its slices is worth more than a reading for ever
            log.event("slices_not_kept", code=error.code)

    def _sources(self, claimed: queue.Claim) -> Iterator[SourceImage]:
        """Every image of a study; what is not in memory any more is decoded again."""
        kept = self._decoded.take(number for number, _ in claimed.sources)
        missing = [(number, path) for number, path in claimed.sources if number not in kept]
        again = self._readers.read_all(self._path(path) for _, path in missing)
        for number, path in claimed.sources:
            self._budget.begin(DECODING)
            image = kept.pop(number) if number in kept else self._again(number, path, next(again))
            yield SourceImage(source=path.name, outcome=image)

    def _again(self, instance_id: int, path: Path, outcome: Outcome) -> Image | UnreadableError:
        if isinstance(outcome, NoRoomError):
            self._hold(instance_id, outcome)
            raise _DecodeAgainError(instance_id) from outcome
        return self._unread(instance_id, path, outcome) if isinstance(outcome, UnreadableError) else outcome

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

    def kept_scan(prior: Mapping[str, Any]) -> PriorScan | None:
        return prior_scan(stack_path(settings, prior["study_key"], prior["version"]), prior)

    def read(sources: Iterable[SourceImage], claimed: queue.Claim, begin: Callable[[str], None]) -> StudyResult:
        known = Known(stated_age_years=claimed.stated_age_years, prior=claimed.prior, prior_scan_of=kept_scan)
        return read_study(sources, engines, claimed.study_key, known, begin)

    with Readers(*(Reader(folder=settings.run_dir) for _ in range(_READERS))) as readers:
        status = _work(Worker(settings, database, readers, read, speaker.wake), database, listener, stopped)
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
