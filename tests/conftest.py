"""What most tests begin with: a box with its folders, its database, and the one door into it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlite_utils import Database

from edge.config import Settings
from edge.store.database import connect
from edge.store.spool import Spool
from tests.support.studies import ready_box


@pytest.fixture
def box(tmp_path: Path) -> Settings:
    """Settings of a box with its folders and an empty database; a test file may have others."""
    return ready_box(tmp_path / "box")


@pytest.fixture
def database(box: Settings) -> Iterator[Database]:
    """The database of the box."""
    database = connect(box.database)
    yield database
    database.close()


@pytest.fixture
def spool(box: Settings) -> Iterator[Spool]:
    """The door into the box, which wakes nobody."""
    spool = Spool(box, lambda number: None)
    yield spool
    spool.close()
