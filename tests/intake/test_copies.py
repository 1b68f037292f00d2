"""One object that comes two ways is one object, whatever its bringer said of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import UID, ExplicitVRLittleEndian, RLELossless
from sqlite_utils import Database

from edge.config import Settings
from edge.dicom.reader import Reader
from edge.dicom.readers import Readers
from edge.pipeline.worker import Worker
from edge.store.part10 import take_apart
from edge.store.spool import Delivery, Spool
from edge.store.studies import worklist
from edge.types import State
from tests.pipeline.test_worker import answer, drain
from tests.support import inputs
from tests.support.ways import bare


@pytest.fixture(scope="module")
def readers() -> Iterator[Readers]:
    with Readers(Reader()) as shared:
        yield shared


def by_network(spool: Spool, content: bytes, uid: str) -> None:
    spool.keep(b"", content, Delivery(sop_instance_uid=uid, calling_ae_title="MODALITY"))


def by_file(spool: Spool, content: bytes) -> None:
    whole = take_apart([content])
    spool.keep(whole.file_meta, whole.content, whole.delivery)


def read(box: Settings, database: Database, readers: Readers) -> list[tuple[State, int]]:
    drain(Worker(box, database, readers, answer, lambda number: None))
    assert len(list(box.incoming.iterdir())) == sum(row.instance_count for row in worklist(database, 10))
    return [(row.state, row.instance_count) for row in worklist(database, 10)]


def test_a_bare_file_of_an_object_that_came_by_network_is_dropped(
    box: Settings, database: Database, spool: Spool, readers: Readers
) -> None:
    dataset = inputs.dx()
    by_network(spool, bare(dataset), dataset.SOPInstanceUID)
    by_file(spool, bare(dataset))
    assert read(box, database, readers) == [(State.DONE, 1)]


def test_an_object_that_came_as_a_bare_file_is_dropped_when_the_network_brings_it(
    box: Settings, database: Database, spool: Spool, readers: Readers
) -> None:
    dataset = inputs.dx()
    by_file(spool, bare(dataset))
    assert read(box, database, readers) == [(State.DONE, 1)]
    by_network(spool, bare(dataset), dataset.SOPInstanceUID)
    assert read(box, database, readers) == [(State.DONE, 1)]


def test_other_content_under_an_identifier_that_only_the_data_set_tells_is_a_conflict(
    box: Settings, database: Database, spool: Spool, readers: Readers
) -> None:
    first = inputs.dx()
    second = inputs.dx(SOPInstanceUID=first.SOPInstanceUID, PatientAge="020Y")
    by_file(spool, bare(first))
    by_file(spool, bare(second))
    drain(Worker(box, database, readers, answer, lambda number: None))
    rows = worklist(database, 10)
    assert [row.state for row in rows] == [State.QUARANTINED, State.DONE]
    assert rows[0].reasons[0]["code"] == "conflicting_duplicate"


def test_bare_files_of_two_objects_are_two(box: Settings, database: Database, spool: Spool, readers: Readers) -> None:
    study = inputs.dx()
    for dataset in (study, inputs.dx(StudyInstanceUID=study.StudyInstanceUID)):
        by_file(spool, bare(dataset))
    assert read(box, database, readers) == [(State.DONE, 2)]


def encoded(transfer_syntax: UID, **changes: object) -> Dataset:
    dataset = inputs.dx(SOPInstanceUID="1.2.3.4", SeriesInstanceUID="1.2.3", StudyInstanceUID="1.2", **changes)
    if transfer_syntax == RLELossless:
        dataset.compress(RLELossless, generate_instance_uid=False)
    return dataset


def states(box: Settings, database: Database, folder: Path, datasets: list[Dataset]) -> list[State]:
    spool = Spool(box, lambda number: None)
    for number, dataset in enumerate(datasets):
        by_file(spool, inputs.save(dataset, folder / f"{number}.dcm").read_bytes())
    spool.close()
    with Readers(Reader()) as readers:
        return sorted(state for state, count in read(box, database, readers) for _ in range(count))


@pytest.mark.parametrize("second", ["rle", "padded"])
def test_one_image_in_two_encodings_is_one_object(
    box: Settings, database: Database, tmp_path: Path, second: str
) -> None:
    again = encoded(RLELossless if second == "rle" else ExplicitVRLittleEndian)
    if second == "padded":
        again.DataSetTrailingPadding = bytes(64)
    assert states(box, database, tmp_path, [encoded(ExplicitVRLittleEndian), again]) == [State.DONE]


@pytest.mark.parametrize("changes", [{"PatientName": "Other^Name"}, {"PixelSpacing": [0.1, 0.1]}])
def test_another_patient_or_size_under_one_identifier_is_no_copy(
    box: Settings, database: Database, tmp_path: Path, changes: dict[str, object]
) -> None:
    datasets = [encoded(ExplicitVRLittleEndian), encoded(ExplicitVRLittleEndian, **changes)]
    assert states(box, database, tmp_path, datasets) == [State.DONE, State.QUARANTINED]
