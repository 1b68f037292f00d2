"""The worker on a real store and a real reader; the reading itself is a stand-in where its outcome matters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from sqlite_utils import Database

from edge import clock
from edge.config import Settings
from edge.dicom.image import ParsedImage, ParsedSlices
from edge.dicom.reader import Reader
from edge.dicom.readers import Readers
from edge.errors import EdgeError, SetupError, StorageError, UnreadableError
from edge.pipeline.reading import SourceImage, read_study
from edge.pipeline.worker import Worker
from edge.store import instances, quarantine, queue, studies
from edge.types import State, StudyResult
from tests.support import inputs
from tests.support.results import AGE_UNKNOWN
from tests.support.studies import new_instance


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    with Reader() as shared:
        yield shared


@pytest.fixture(scope="module")
def readers(reader: Reader) -> Iterator[Readers]:
    with Readers(reader) as shared:
        yield shared


def answer(images: Iterable[SourceImage], claimed: queue.Claim, *_: object) -> StudyResult:
    """A reading that finds nothing in the picture it was given."""
    sources = list(images)
    assert isinstance(sources[0].outcome, (ParsedImage, ParsedSlices))
    return StudyResult(
        study_key=claimed.study_key,
        source=tuple(image.source for image in sources),
        study_instance_uid=sources[0].outcome.study_instance_uid,
        modality="DX",
        state=State.DONE,
        reasons=(),
        stages=(),
        software_version="0",
        completed_at=clock.utc(),
        view_pixels=np.full((2000, 1000), 128, np.uint8),
    )


def receive(box: Settings, database: Database, path: Path, **changes: str) -> str:
    name = f"{new_instance().path}"
    path.rename(box.incoming / name)
    return instances.add_received(database, new_instance(path=Path(name), **changes)).study_key


def drain(worker: Worker) -> int:
    steps = 0
    while worker.step():
        steps += 1
        assert steps < 50
    return steps


def view_of(database: Database, study_key: str) -> studies.StudyView:
    view = studies.study(database, study_key)
    assert view is not None
    return view


def test_a_received_radiograph_becomes_a_result_with_pictures(
    box: Settings, database: Database, readers: Readers, tmp_path: Path
) -> None:
    told: list[int] = []
    key = receive(box, database, inputs.chest_dicom(tmp_path / "a.dcm"))
    assert drain(Worker(box, database, readers, answer, told.append)) == 2
    view = view_of(database, key)
    assert (view.state, view.version, view.has_preview, view.patient_id) == (State.DONE, 1, True, "PHANTOM-1")
    assert view.result is not None and view.result["schema"] == "chest-edge/result/1"
    assert len(told) == 3
    preview = cv2.imread(str(studies.preview_path(box, key, 1)), cv2.IMREAD_GRAYSCALE)
    thumbnail = cv2.imread(str(studies.thumbnail_path(box, key, 1)), cv2.IMREAD_GRAYSCALE)
    assert (preview.shape, thumbnail.shape) == ((1600, 800), (160, 80))


def test_a_lone_radiograph_is_decoded_once(
    box: Settings, database: Database, readers: Readers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []
    real = Reader.read_any
    monkeypatch.setattr(Reader, "read_any", lambda *given: read.append(given[-1]) or real(*given))
    receive(box, database, inputs.chest_dicom(tmp_path / "a.dcm"))
    drain(Worker(box, database, readers, answer, lambda number: None))
    assert len(read) == 1


def test_a_later_image_of_a_study_makes_a_version_from_both(
    box: Settings, database: Database, readers: Readers, tmp_path: Path
) -> None:
    worker = Worker(box, database, readers, answer, lambda number: None)
    first = inputs.dx()
    second = inputs.dx(StudyInstanceUID=first.StudyInstanceUID)
    key = receive(box, database, inputs.save(first, tmp_path / "a.dcm"))
    drain(worker)
    receive(box, database, inputs.save(second, tmp_path / "b.dcm"))
    drain(worker)
    view = view_of(database, key)
    assert (view.versions, view.instance_count, len(studies.worklist(database, 10))) == ([1, 2], 2, 1)
    assert view.result is not None and len(view.result["source"]) == 2
    assert studies.preview_path(box, key, 1).exists() and studies.preview_path(box, key, 2).exists()


def test_a_stated_age_has_the_study_read_again_with_it(
    box: Settings, database: Database, readers: Readers, tmp_path: Path
) -> None:
    claims: list[queue.Claim] = []

    def read(sources: Iterable[SourceImage], claimed: queue.Claim, *_: object) -> StudyResult:
        claims.append(claimed)
        return replace(answer(sources, claimed), remarks=(AGE_UNKNOWN,))

    worker = Worker(box, database, readers, read, lambda number: None)
    key = receive(box, database, inputs.chest_dicom(tmp_path / "a.dcm"))
    drain(worker)
    assert queue.state_age(database, key, 34)
    drain(worker)
    assert [claimed.stated_age_years for claimed in claims] == [None, 34]
    assert view_of(database, key).versions == [1, 2]


def test_the_slices_of_a_series_that_are_already_here_make_one_version(
    box: Settings, database: Database, readers: Readers, tmp_path: Path
) -> None:
    study = inputs.dx().StudyInstanceUID
    for number in range(3):
        slice_ = inputs.dx(StudyInstanceUID=study, Modality="CT", InstanceNumber=number)
        key = receive(box, database, inputs.save(slice_, tmp_path / f"{number}.dcm"))
    worker = Worker(box, database, readers, answer, lambda number: None)
    assert worker.step()
    assert view_of(database, key).version == 0, "a slice was read before the others were looked at"
    drain(worker)
    view = view_of(database, studies.worklist(database, 10)[0].study_key)
    assert (view.versions, view.instance_count) == ([1], 3)


def test_a_study_that_breaks_the_reading_is_failed_and_the_next_is_read(
    box: Settings, database: Database, readers: Readers, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    keys = [receive(box, database, inputs.chest_dicom(tmp_path / f"{number}.dcm")) for number in range(2)]

    def read(sources: Iterable[SourceImage], claimed: queue.Claim, *_: object) -> StudyResult:
        if claimed.study_key == keys[0]:
            raise ZeroDivisionError("CANARY")
        return answer(sources, claimed)

    drain(Worker(box, database, readers, read, lambda number: None))
    assert [view_of(database, key).state for key in keys] == [State.FAILED, State.DONE]
    assert view_of(database, keys[0]).reasons[0]["code"] == "reading_failed"
    logged = capfd.readouterr().err
    assert "ZeroDivisionError" in logged and "CANARY" not in logged


def test_an_unreadable_object_is_set_aside_with_its_reason(
    box: Settings, database: Database, readers: Readers, tmp_path: Path
) -> None:
    told: list[int] = []
    key = receive(box, database, inputs.truncated(tmp_path / "cut.dcm"))
    drain(Worker(box, database, readers, answer, told.append))
    view = view_of(database, key)
    assert (view.state, view.reasons[0]["code"], view.patient_id != "") == (State.QUARANTINED, "truncated", True)
    assert len(told) == 1


def test_a_conflicting_duplicate_is_set_aside_and_the_first_stays(
    box: Settings, database: Database, readers: Readers, tmp_path: Path
) -> None:
    keys = [receive(box, database, path, sop_instance_uid="1.2.3") for path in inputs.duplicate_uid_pair(tmp_path)]
    drain(Worker(box, database, readers, answer, lambda number: None))
    first, second = (view_of(database, key) for key in keys)
    assert (first.state, second.state, second.reasons[0]["code"]) == (
        State.DONE,
        State.QUARANTINED,
        "conflicting_duplicate",
    )
    assert first.instance_count == 1


def test_an_image_that_names_the_study_of_another_patient_is_set_aside(
    box: Settings, database: Database, readers: Readers, tmp_path: Path
) -> None:
    first = inputs.dx(PatientID="A")
    others = [inputs.dx(PatientID=patient, StudyInstanceUID=first.StudyInstanceUID) for patient in ("B", "", "A")]
    saved = [inputs.save(dataset, tmp_path / f"{number}.dcm") for number, dataset in enumerate([first, *others])]
    keys = [receive(box, database, path) for path in saved]
    drain(Worker(box, database, readers, answer, lambda number: None))
    strange = view_of(database, keys[1])
    assert (strange.state, strange.patient_id) == (State.QUARANTINED, "B")
    assert strange.reasons[0]["code"] == "other_patient"
    whole = view_of(database, keys[0])
    assert (whole.state, whole.patient_id, whole.instance_count) == (State.DONE, "A", 3)


def test_the_slices_of_a_series_that_names_another_patients_study_share_a_row(
    box: Settings, database: Database, readers: Readers, tmp_path: Path
) -> None:
    names = {"StudyInstanceUID": "1.2.3", "SeriesInstanceUID": "1.2.3.4"}
    patients = ["A", "B", "B", "C", "B"]
    made = [inputs.dx(PatientID=patient, **names) for patient in patients]
    saved = [inputs.save(dataset, tmp_path / f"{number}.dcm") for number, dataset in enumerate(made)]
    keys = [receive(box, database, path) for path in saved]
    worker = Worker(box, database, readers, answer, lambda number: None)
    drain(worker)
    for _ in range(2):  # as they came, and tried again
        rows = database.query("SELECT study_key FROM studies")
        views = [view_of(database, row["study_key"]) for row in rows]
        shown = [(view.patient_id, view.state, view.instance_count) for view in views]
        assert sorted(shown) == [("A", State.DONE, 1), ("B", State.QUARANTINED, 3), ("C", State.QUARANTINED, 1)]
        assert quarantine.retry(database) == 4
        drain(worker)
    assert view_of(database, keys[0]).patient_id == "A"


def test_an_object_that_came_truncated_is_read_once_it_is_sent_again(
    box: Settings, database: Database, readers: Readers, tmp_path: Path
) -> None:
    whole = inputs.chest_dicom(tmp_path / "whole.dcm")
    cut = inputs.truncated(tmp_path / "cut.dcm", whole)
    keys = [receive(box, database, path, sop_instance_uid="1.2.3") for path in (cut, whole)]
    drain(Worker(box, database, readers, answer, lambda number: None))
    assert studies.study(database, keys[0]) is None, "solved"
    assert view_of(database, keys[1]).state is State.DONE
    assert [item.came_whole for item in quarantine.listed(database)] == [True]


def test_an_object_that_ended_the_worker_twice_is_set_aside(
    box: Settings, database: Database, readers: Readers, tmp_path: Path
) -> None:
    key = receive(box, database, inputs.chest_dicom(tmp_path / "a.dcm"))
    for _ in range(2):
        instances.next_arrivals(database, 1)
    drain(Worker(box, database, readers, answer, lambda number: None))
    assert view_of(database, key).reasons[0]["code"] == "reader_crashed"


@pytest.mark.parametrize("error", [StorageError("disk_full"), SetupError("no_reader")])
def test_a_machine_that_cannot_read_files_is_no_fault_of_the_study(
    box: Settings, database: Database, readers: Readers, tmp_path: Path, error: EdgeError
) -> None:
    class Broken(Reader):
        def read_any(self, path: Path) -> ParsedImage:
            raise error

    key = receive(box, database, inputs.chest_dicom(tmp_path / "a.dcm"))
    assert Worker(box, database, readers, answer, lambda number: None).step()
    for _ in range(3):
        with Readers(Broken()) as broken, pytest.raises(type(error)):
            Worker(box, database, broken, answer, lambda number: None).step()
        queue.release(database)
        assert view_of(database, key).state is State.READY
    drain(Worker(box, database, readers, answer, lambda number: None))
    assert view_of(database, key).state is State.DONE


def test_a_full_disk_is_no_fault_of_the_study(
    box: Settings, database: Database, readers: Readers, tmp_path: Path
) -> None:
    worker = Worker(box, database, readers, answer, lambda number: None)
    key = receive(box, database, inputs.chest_dicom(tmp_path / "a.dcm"))
    box.results.rmdir()
    box.results.write_text("in the way")
    for _ in range(3):
        with pytest.raises(StorageError):
            drain(worker)
        queue.release(database)
        assert view_of(database, key).state is State.READY
    box.results.unlink()
    drain(worker)
    assert view_of(database, key).state is State.DONE


@pytest.fixture
def finished(box: Settings, database: Database, readers: Readers, tmp_path: Path) -> str:
    """Key of a study that was read, and is to be read once more with an age, by another worker."""

    def read(sources: Iterable[SourceImage], claimed: queue.Claim, *_: object) -> StudyResult:
        return replace(answer(sources, claimed), remarks=(AGE_UNKNOWN,))

    key = receive(box, database, inputs.chest_dicom(tmp_path / "a.dcm"))
    drain(Worker(box, database, readers, read, lambda number: None))
    assert queue.state_age(database, key, 34)
    return key


def answer_or_set_aside(sources: Iterable[SourceImage], claimed: queue.Claim, *_: object) -> StudyResult:
    images = list(sources)
    if all(isinstance(image.outcome, UnreadableError) for image in images):
        return read_study(images, {}, claimed.study_key)
    return answer(images, claimed)


def slow(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    left, real = iter(range(times)), Reader.read_any

    def read(reader: Reader, path: Path) -> ParsedImage | ParsedSlices:
        if next(left, None) is not None:
            raise UnreadableError("too_slow")
        return real(reader, path)

    monkeypatch.setattr(Reader, "read_any", read)


def test_a_moment_of_slowness_costs_a_finished_study_nothing(
    box: Settings, database: Database, readers: Readers, finished: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow(monkeypatch, 1)
    drain(Worker(box, database, readers, answer_or_set_aside, lambda number: None))
    view = view_of(database, finished)
    assert (view.state, view.version, quarantine.listed(database)) == (State.DONE, 2, [])


def test_an_image_that_stays_too_slow_is_set_aside_where_the_retry_finds_it(
    box: Settings, database: Database, readers: Readers, finished: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow(monkeypatch, 2)
    drain(Worker(box, database, readers, answer_or_set_aside, lambda number: None))
    assert [item.reason["code"] for item in quarantine.listed(database)] == ["too_slow"]
    assert quarantine.retry(database) == 1


def test_a_finished_study_whose_file_is_gone_keeps_its_result(
    box: Settings, database: Database, readers: Readers, finished: str
) -> None:
    next(box.incoming.glob("*.dcm")).unlink()
    drain(Worker(box, database, readers, answer_or_set_aside, lambda number: None))
    view = view_of(database, finished)
    assert (view.state, view.version) == (State.DONE, 1)
    assert [item.reason["code"] for item in quarantine.listed(database)] == ["file_lost"]


def test_a_new_patient_goes_before_priors_that_were_fetched(
    box: Settings, database: Database, readers: Readers, tmp_path: Path
) -> None:
    read: list[str] = []

    def watched(sources: Iterable[SourceImage], claimed: queue.Claim, *_: object) -> StudyResult:
        read.append(claimed.study_key)
        return answer(sources, claimed)

    worker = Worker(box, database, readers, watched, lambda number: None)
    prior = receive(box, database, inputs.save(inputs.dx(), tmp_path / "a.dcm"))
    worker.step()
    with database.conn:
        database.execute("UPDATE studies SET is_prior = 1")
    new = receive(box, database, inputs.save(inputs.dx(), tmp_path / "b.dcm"))
    drain(worker)
    assert read == [new, prior]
