"""An image whose pixels have no room on the disk waits for it; the others go on. A small file system is the disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pydicom.uid import RLELossless
from sqlite_utils import Database

from edge.config import Settings
from edge.dicom.reader import Reader
from edge.dicom.readers import Readers
from edge.pipeline.worker import Worker
from edge.store import associations
from edge.store.database import connect
from edge.types import State
from edge.web.app import create_app
from tests.faults.row import Skipped
from tests.faults.row_04_full_disk import grow, small_disk
from tests.pipeline.test_worker import answer, drain, receive, view_of
from tests.support import inputs
from tests.support.box import eventually, running
from tests.support.studies import ready_box

WORDS = "Waits for room on the disk"


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Settings]:
    try:
        with small_disk(tmp_path / "var") as folder:
            grow(folder, 24)
            yield ready_box(folder)
    except Skipped as reason:
        pytest.skip(str(reason))


@pytest.fixture
def database(box: Settings) -> Iterator[Database]:
    with connect(box.database) as database:
        yield database


def large_dicom(path: Path) -> Path:
    """A small file of 36 MB of pixels."""
    dataset = inputs.dx(np.zeros((3000, 3000), np.uint16))
    dataset.compress(RLELossless)
    return inputs.save(dataset, path)


def states(database: Database, *keys: str) -> list[State]:
    return [view_of(database, key).state for key in keys]


def test_an_image_without_room_holds_up_no_other_and_is_read_once_there_is_room(
    box: Settings, database: Database
) -> None:
    large = receive(box, database, large_dicom(box.data_dir / "large.dcm"))
    small = receive(box, database, inputs.chest_dicom(box.data_dir / "small.dcm"))
    page = create_app(box).test_client()
    with running("worker", box) as worker:
        eventually(lambda: view_of(database, small).state is State.NO_RESULT)  # the phantom is no chest
        assert view_of(database, large).state is State.RECEIVED
        assert all(WORDS in page.get(address).text for address in ("/", f"/study/{large}"))
        assert all("Not read yet" in page.get(address).text for address in ("/", f"/study/{large}"))
        before = page.get(f"/study/{large}/stamp").text
        grow(box.data_dir, 80)
        eventually(lambda: view_of(database, large).state is State.NO_RESULT)
        assert worker.poll() is None
    assert not any(WORDS in page.get(address).text for address in ("/", f"/study/{large}"))
    assert page.get(f"/study/{large}/stamp").text != before


def test_an_image_is_tried_again_when_there_is_room_and_not_before(box: Settings, database: Database) -> None:
    tried = []

    class Counting(Reader):
        def read_any(self, path: Path) -> object:  # type: ignore[override]
            tried.append(path)
            return super().read_any(path)

    key = receive(box, database, large_dicom(box.data_dir / "large.dcm"))
    with Readers(Counting(folder=box.run_dir)) as readers:
        worker = Worker(box, database, readers, answer, lambda number: None)
        assert worker.step()
        for _ in range(5):
            assert not worker.step()
        assert (len(tried), states(database, key)) == (1, [State.RECEIVED])
        grow(box.data_dir, 80)
        drain(worker)
    assert (len(tried), states(database, key)) == (2, [State.DONE])


def test_a_study_whose_image_finds_no_room_when_it_is_read_again_lets_the_others_go_on(
    box: Settings, database: Database
) -> None:
    grow(box.data_dir, 80)
    large = receive(box, database, large_dicom(box.data_dir / "large.dcm"))
    with Readers(Reader(folder=box.run_dir)) as readers:
        drain(Worker(box, database, readers, answer, lambda number: None))
        small = receive(box, database, inputs.chest_dicom(box.data_dir / "small.dcm"))
        database.execute("UPDATE studies SET state = 'ready' WHERE study_key = ?", (large,))
        database.execute("UPDATE results SET set_sha256 = '' WHERE study_id = 1")
        database.conn.commit()
        other = box.data_dir / "other"
        other.write_bytes(bytes(50 << 20))
        worker = Worker(box, database, readers, answer, lambda number: None)
        drain(worker)
        assert states(database, large, small) == [State.DONE, State.DONE]
        assert (view_of(database, large).version, view_of(database, large).waits_for_room) == (1, True)
        other.unlink()
        drain(worker)
    assert (view_of(database, large).version, view_of(database, large).waits_for_room) == (2, False)


def test_images_of_the_same_delivery_do_not_wait_for_it(box: Settings, database: Database) -> None:
    delivery = associations.begin(database, "XRAY")
    keys = [receive(box, database, make(box.data_dir / "a.dcm")) for make in (large_dicom, inputs.chest_dicom)]
    database.execute("UPDATE instances SET association_id = ?", (delivery,))
    database.conn.commit()
    associations.finish(database, delivery, associations.End.RELEASED)
    with Readers(Reader(folder=box.run_dir)) as readers:
        drain(Worker(box, database, readers, answer, lambda number: None))
    assert states(database, *keys) == [State.RECEIVED, State.DONE]
