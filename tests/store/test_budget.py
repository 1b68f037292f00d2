"""What does not fit is refused before anything is written, and the box recovers by itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edge.config import Settings, StorageSettings
from edge.errors import StorageError
from edge.store import budget, facts
from edge.store.database import connect, writing
from edge.store.spool import Delivery, Spool
from tests.support.objects import put
from tests.support.studies import ready_box


@pytest.fixture
def box(tmp_path: Path) -> Settings:
    return replace(ready_box(tmp_path), storage=StorageSettings(budget_mb=1))


def test_it_takes_up_to_95_percent_of_its_budget_and_writes_nothing_beyond(box: Settings, spool: Spool) -> None:
    for number in range(9):
        put(spool, bytes([number]) * 100_000)
    assert budget.used_share(box.database, box) == pytest.approx(0.9)
    with pytest.raises(StorageError) as refused:
        put(spool, bytes(50_000))
    assert (refused.value.code, refused.value.dicom_status) == ("no_room", 0xA700)
    assert len(list(box.incoming.iterdir())) == 9
    put(spool, bytes(49_000))


def test_a_second_copy_fills_nothing(box: Settings, spool: Spool) -> None:
    for _ in range(3):
        put(spool, bytes(100_000), "1.2.3")
    with connect(box.database) as database:
        assert facts.number(database, facts.USED_BYTES) == 100_000


def test_it_takes_more_once_there_is_room_again(box: Settings, spool: Spool) -> None:
    with connect(box.database) as database, writing(database):
        facts.keep(database, facts.USED_BYTES, 2e6)
    with pytest.raises(StorageError):
        put(spool, b"one")
    with connect(box.database) as database, writing(database):
        facts.keep(database, facts.USED_BYTES, budget.measure(box))
    put(spool, b"one")


def test_the_partition_counts_where_it_is_fuller(box: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    assert 0 < budget.used_share(box.database, box) < 1
    monkeypatch.setattr(budget, "partition_share", lambda folder, extra_bytes=0: 0.97)
    assert budget.used_share(box.database, box) == 0.97
    assert budget.used_share(box.database, replace(box, storage=StorageSettings())) == 0.97


def test_what_is_measured_is_what_the_files_take(box: Settings) -> None:
    before = budget.measure(box)
    (box.results / "a").write_bytes(bytes(1_000_000))
    assert 1_000_000 <= budget.measure(box) - before < 1_010_000


@pytest.mark.parametrize(("share", "expected"), [(0.79, "ok"), (0.8, "warning"), (0.94, "warning"), (0.95, "full")])
def test_the_marks(share: float, expected: str) -> None:
    assert budget.level(share) == expected


def test_what_comes_in_pieces_is_refused_where_it_no_longer_fits(box: Settings, spool: Spool) -> None:
    with pytest.raises(StorageError):
        spool.keep(b"", (bytes(100_000) for _ in range(20)), Delivery())
    assert list(box.incoming.iterdir()) == []
