"""An image comes in, is read, and the real objects of its result arrive in Orthanc."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edge.config import DestinationSettings, DicomSettings, Settings
from edge.dicom.send import send
from tests.support import inputs
from tests.support.box import eventually, running
from tests.support.exports import states
from tests.support.pacs import Orthanc, free_port, orthanc
from tests.support.studies import ready_box

PORT = free_port()


@pytest.fixture
def pacs(tmp_path: Path) -> Iterator[Orthanc]:
    with orthanc(tmp_path, PORT) as peer:
        yield peer


@pytest.fixture
def box(tmp_path: Path, pacs: Orthanc) -> Settings:
    there = DestinationSettings(name="Orthanc", ae_title="ORTHANC", host="127.0.0.1", port=pacs.port)
    return replace(ready_box(tmp_path / "box"), dicom=DicomSettings(port=PORT), destination=(there,))


def test_what_the_box_makes_of_an_image_arrives_and_is_committed(
    box: Settings, pacs: Orthanc, receiver: int, read: Callable[[], None], tmp_path: Path
) -> None:
    dataset = inputs.dx()
    assert send([inputs.save(dataset, tmp_path / "image.dcm")], "127.0.0.1", receiver, "CHESTEDGE") == [0]

    def queued() -> int:
        read()  # nothing is to be read before the receiver has seen the end of the association
        return len(states(box))

    assert eventually(queued) == 5
    with running("export", box):
        eventually(lambda: states(box) and set(states(box)) <= {"committed", "dead"})
    assert set(states(box)) == {"committed"}
    (study,) = pacs.api("/studies?expand")
    assert study["MainDicomTags"]["StudyInstanceUID"] == dataset.StudyInstanceUID
    kinds = {series["MainDicomTags"]["Modality"] for series in pacs.api("/series?expand")}
    assert kinds == {"OT", "SR", "SEG", "PR", "DOC"} and len(pacs.api("/instances")) == len(states(box)) == 5
