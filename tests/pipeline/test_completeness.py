"""When a study is read and when it is final, through real associations with the receiver's own process.

The reading is a stand-in: what matters here is how often, of which images and when.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage
from sqlite_utils import Database

from edge import clock
from edge.config import DicomSettings, Settings, StudySettings
from edge.dicom.image import ParsedImage, ParsedSlices
from edge.dicom.reader import Reader
from edge.dicom.readers import Readers
from edge.pipeline.reading import SourceImage
from edge.pipeline.worker import Worker
from edge.store import queue, studies
from edge.store.database import connect
from edge.store.spool import Delivery, Spool
from edge.types import State, StudyResult
from tests.dicom.test_receive import port_of
from tests.support import inputs
from tests.support.box import WAIT_S, eventually, running
from tests.support.sender import associated, cut, send, store
from tests.support.studies import ready_box


def reading(images: Iterable[SourceImage], claimed: queue.Claim, *_: object) -> StudyResult:
    found = list(images)
    assert all(isinstance(image.outcome, (ParsedImage, ParsedSlices)) for image in found)
    return StudyResult(
        study_key=claimed.study_key,
        source=tuple(image.source for image in found),
        study_instance_uid=None,
        modality=None,
        state=State.DONE,
        reasons=(),
        stages=(),
        software_version="0",
        completed_at=clock.utc(),
    )


class Clinic:
    """The receiver as a process, and the worker step by step."""

    def __init__(self, settings: Settings, database: Database, readers: Readers) -> None:
        self.database = database
        self.settings = settings
        self._worker = Worker(settings, database, readers, reading, lambda number: None)

    @property
    def port(self) -> int:
        return port_of(self.settings)

    def work(self) -> None:
        """Let the worker do all that there is to do now."""
        while self._worker.step():
            pass

    def parsed(self, count: int) -> None:
        """Work until this many objects have been looked at."""

        def are_parsed() -> bool:
            self.work()
            query = "SELECT count(*) FROM instances WHERE state = 'parsed'"
            return bool(self.database.execute(query).fetchone()[0] == count)

        eventually(are_parsed)

    def ended(self, *ends: str) -> None:
        """Work until the deliveries have ended like this, in any order."""

        def have_ended() -> bool:
            self.work()
            return sorted(row[0] for row in self.database.execute("SELECT state FROM associations")) == sorted(ends)

        eventually(have_ended)
        self.work()

    def is_quiet(self) -> None:
        """Let the quiet time pass."""
        with self.database.conn:
            self.database.execute("UPDATE studies SET touched_s = touched_s - 3600")
        self.work()

    def study(self, dataset: Dataset) -> studies.StudyView:
        query = "SELECT study_key FROM studies WHERE study_instance_uid = ?"
        key = self.database.execute(query, (dataset.StudyInstanceUID,)).fetchone()[0]
        view = studies.study(self.database, key)
        assert view is not None
        return view

    def outcome(self, dataset: Dataset) -> tuple[int, int, bool]:
        """Newest version of a study, how many images it was made of, and whether it is final."""
        view = self.study(dataset)
        return view.version, len((view.result or {"source": []})["source"]), not view.is_provisional


@pytest.fixture(scope="module")
def readers() -> Iterator[Readers]:
    with Readers(Reader()) as shared:
        yield shared


@pytest.fixture
def clinic(tmp_path: Path, readers: Readers) -> Iterator[Clinic]:
    settings = ready_box(tmp_path / "box")
    settings = replace(settings, dicom=DicomSettings(port=0), study=StudySettings(quiet_ct_s=3600))
    database = connect(settings.database)
    with running("receiver", settings):
        port_of(settings)
        yield Clinic(settings, database, readers)
    database.close()


def series(count: int) -> list[Dataset]:
    """Slices of one CT study."""
    uid = inputs.dx().StudyInstanceUID
    slices = [inputs.dx(StudyInstanceUID=uid, Modality="CT", InstanceNumber=number + 1) for number in range(count)]
    for slice_ in slices:
        slice_.SOPClassUID = CTImageStorage
    return slices


def test_a_radiograph_is_read_at_the_release_and_is_final_at_once(clinic: Clinic) -> None:
    image = inputs.dx()
    with associated(clinic.port) as association:
        store(association, image)
        clinic.parsed(1)
        assert (clinic.study(image).state, clinic.study(image).version) == (State.PARSED, 0)
        association.release()
        clinic.ended("released")
    assert clinic.outcome(image) == (1, 1, True)


def test_a_ct_study_is_provisional_until_its_quiet_time_and_is_not_read_again_for_it(clinic: Clinic) -> None:
    slices = series(3)
    send(clinic.port, *slices)
    clinic.ended("released")
    assert clinic.outcome(slices[0]) == (1, 3, False)
    clinic.is_quiet()
    assert clinic.outcome(slices[0]) == (1, 3, True)


def test_after_a_new_start_of_the_machine_every_quiet_time_is_over(clinic: Clinic) -> None:
    slices = series(1)
    send(clinic.port, *slices)
    clinic.ended("released")
    assert clinic.outcome(slices[0]) == (1, 1, False)
    with clinic.database.conn:
        clinic.database.execute("UPDATE studies SET boot_id = 'earlier', touched_s = 1e12")
    clinic.work()
    assert clinic.outcome(slices[0]) == (1, 1, True)


def test_slices_that_trickle_in_over_many_associations_make_two_versions(clinic: Clinic) -> None:
    slices = series(6)
    for number, slice_ in enumerate(slices):
        send(clinic.port, slice_)
        clinic.ended(*["released"] * (number + 1))
    assert clinic.outcome(slices[0]) == (1, 1, False)
    assert clinic.study(slices[0]).state is State.DONE, "the provisional result must stay on the page"
    clinic.is_quiet()
    assert clinic.outcome(slices[0]) == (2, 6, True)


def test_slices_out_of_order_make_one_version(clinic: Clinic) -> None:
    slices = series(5)
    send(clinic.port, *(slices[number] for number in (3, 0, 4, 1, 2)))
    clinic.ended("released")
    assert clinic.outcome(slices[0]) == (1, 5, False)


def test_what_was_acknowledged_before_an_abort_is_read_and_marked(clinic: Clinic) -> None:
    image = inputs.dx()
    with associated(clinic.port) as association:
        store(association, image)
        association.abort()
    clinic.ended("aborted")
    assert clinic.outcome(image) == (1, 1, False)
    assert clinic.study(image).is_broken_off
    clinic.is_quiet()
    assert clinic.outcome(image) == (1, 1, False), "no quiet time tells that nothing is missing"


def test_a_lost_connection_is_an_abort(clinic: Clinic) -> None:
    image = inputs.dx()
    with associated(clinic.port) as association:
        store(association, image)
        cut(association)
        clinic.ended("aborted")
    assert clinic.study(image).is_broken_off


def test_the_same_study_sent_again_whole_ends_the_doubt_and_makes_no_version(clinic: Clinic) -> None:
    slices = series(3)
    with associated(clinic.port) as association:
        store(association, *slices[:2])
        association.abort()
    clinic.ended("aborted")
    assert clinic.outcome(slices[0]) == (1, 2, False)
    send(clinic.port, *slices[:2])
    clinic.ended("aborted", "released")
    clinic.is_quiet()
    assert clinic.outcome(slices[0]) == (1, 2, True)
    assert not clinic.study(slices[0]).is_broken_off


def test_duplicates_and_a_study_sent_again_make_no_version(clinic: Clinic) -> None:
    slices = series(2)
    send(clinic.port, *slices, *slices)
    clinic.ended("released")
    clinic.is_quiet()
    send(clinic.port, *slices)
    clinic.ended("released", "released")
    assert clinic.outcome(slices[0]) == (1, 2, True)
    assert clinic.study(slices[0]).instance_count == 2


def test_a_late_image_makes_a_version_and_the_older_one_is_kept(clinic: Clinic) -> None:
    first = inputs.dx()
    late = inputs.dx(StudyInstanceUID=first.StudyInstanceUID)
    send(clinic.port, first)
    clinic.ended("released")
    send(clinic.port, late)
    clinic.ended("released", "released")
    assert clinic.outcome(first) == (2, 2, True)
    view = clinic.study(first)
    older = studies.study(clinic.database, view.study_key, 1)
    assert view.versions == [1, 2]
    assert older is not None and older.result is not None
    assert (older.version, len(older.result["source"])) == (1, 1)


def test_late_slices_of_a_final_ct_study_make_one_version_at_their_release(clinic: Clinic) -> None:
    slices = series(5)
    send(clinic.port, *slices[:2])
    clinic.ended("released")
    clinic.is_quiet()
    with associated(clinic.port) as association:
        store(association, *slices[2:])
        clinic.parsed(5)
        assert clinic.outcome(slices[0]) == (1, 2, False), "more is coming, and the page must say so"
        association.release()
        clinic.ended("released", "released")
    assert clinic.outcome(slices[0]) == (2, 5, False)


def test_a_study_that_comes_over_two_associations_at_once_waits_for_both(clinic: Clinic) -> None:
    slices = series(4)
    with associated(clinic.port) as one, associated(clinic.port) as other:
        store(one, slices[0])
        store(other, slices[1])
        store(one, slices[2])
        clinic.parsed(3)
        one.release()
        clinic.ended("released", "open")
        assert clinic.study(slices[0]).version == 0
        store(other, slices[3])
        other.release()
        clinic.ended("released", "released")
    assert clinic.outcome(slices[0]) == (1, 4, False)


def test_two_studies_in_one_association_are_two_results(clinic: Clinic) -> None:
    one, other = series(2), [inputs.dx()]
    send(clinic.port, one[0], other[0], one[1])
    clinic.ended("released")
    assert (clinic.outcome(one[0]), clinic.outcome(other[0])) == ((1, 2, False), (1, 1, True))


def test_a_receiver_that_is_killed_loses_its_associations_and_nothing_else(tmp_path: Path, readers: Readers) -> None:
    settings = replace(ready_box(tmp_path / "box"), dicom=DicomSettings(port=0))
    with connect(settings.database) as database:
        clinic = Clinic(settings, database, readers)
        image = inputs.dx()
        with running("receiver", settings) as receiver:
            port = port_of(settings)
            with associated(port) as association:
                store(association, image)
                clinic.parsed(1)
                os.kill(receiver.pid, signal.SIGKILL)
                assert receiver.wait(WAIT_S) == -signal.SIGKILL
        clinic.ended("lost")
        assert clinic.outcome(image) == (1, 1, False)
        assert clinic.study(image).is_broken_off


def test_a_sender_that_keeps_its_association_open_does_not_keep_a_study_from_its_reading(clinic: Clinic) -> None:
    image = inputs.dx()
    with associated(clinic.port) as association:
        store(association, image)
        clinic.parsed(1)
        clinic.is_quiet()
        assert clinic.outcome(image) == (1, 1, False)
        association.release()
        clinic.ended("released")
    assert clinic.outcome(image) == (1, 1, True)


def test_other_ways_in_deliver_like_an_association(clinic: Clinic, tmp_path: Path) -> None:
    slices = series(2)
    spool = Spool(clinic.settings, lambda number: None)
    with spool.together("STICK") as association_id:
        for slice_ in slices:
            content = inputs.save(slice_, tmp_path / "slice.dcm").read_bytes()
            delivery = Delivery(sop_instance_uid=slice_.SOPInstanceUID, association_id=association_id)
            spool.keep(b"", content[132:], delivery)
            clinic.work()
        assert clinic.study(slices[0]).version == 0
    clinic.work()
    assert clinic.outcome(slices[0]) == (1, 2, False)
    with pytest.raises(ZeroDivisionError), spool.together():
        raise ZeroDivisionError
    clinic.ended("released", "aborted")
    spool.close()


def test_the_same_set_with_another_age_is_read_again_and_with_the_old_one_not(clinic: Clinic) -> None:
    image = inputs.dx()
    send(clinic.port, image)
    clinic.ended("released")
    for years, version in ((40, 2), (41, 2), (40, 2)):
        with clinic.database.conn:  # as the page does; this reading asks for no age
            clinic.database.execute("UPDATE studies SET stated_age_years = ?, state = 'ready'", (years,))
        if years == 40:
            clinic.work()
        assert clinic.study(image).version == version
    assert clinic.study(image).state is State.DONE
