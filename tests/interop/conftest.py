"""A box with its receiver as a real process, and what the tests of other peers ask of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlite_utils import Database

from edge.config import DicomSettings, Settings
from edge.dicom.reader import Reader
from edge.dicom.readers import Readers
from edge.pipeline.reading import Known, read_study
from edge.pipeline.worker import Worker
from tests.pipeline.test_reading import OPAQUE, with_opacities
from tests.support import unclosed
from tests.support.box import eventually, running
from tests.support.pacs import free_port
from tests.support.studies import ready_box
from tests.support.unclosed import swept

__all__ = ["swept"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    unclosed.tolerate(items, Path(__file__).parent)


@pytest.fixture
def box(tmp_path: Path) -> Settings:
    """Prepared folders and a port for the receiver, which may not run yet."""
    return replace(ready_box(tmp_path / "box"), dicom=DicomSettings(port=free_port()))


@pytest.fixture
def receiver(box: Settings) -> Iterator[int]:
    """The port of the box's receiver."""
    with running("receiver", box):
        eventually((box.run_dir / "receiver.port").exists)
        yield box.dicom.port


@pytest.fixture
def read(box: Settings, database: Database) -> Iterator[Callable[[], None]]:
    """Parse and read what the box has by now, with networks that see opacities in every chest."""
    by = with_opacities(OPAQUE, adult_other_pneumonia=20.0)
    with Readers(Reader()) as readers:

        def answer(sources, claimed, begin):  # type: ignore[no-untyped-def]
            return read_study(sources, by, claimed.study_key, Known(prior=claimed.prior), begin)

        worker = Worker(box, database, readers, answer, lambda number: None)

        def drain() -> None:
            while worker.step():
                pass

        yield drain
