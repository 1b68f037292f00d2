"""Which studies may go: only seen ones, the oldest first, each written down; and no clock can hurry it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import pytest
from sqlite_utils import Database

from edge import clock
from edge.config import DestinationSettings, PacsSettings, Settings, StorageSettings
from edge.errors import UnreadableError
from edge.store import facts, instances, outbox, queue, retention, studies
from edge.store.database import writing
from edge.store.retention import deletions, make_room, note_view
from edge.store.spool import Spool
from edge.types import State
from tests.support.objects import put
from tests.support.studies import ATTRIBUTES, finish, ready_box

DAY_S = 24 * 3600
OBJECT_BYTES = 100_000


@pytest.fixture
def box(tmp_path: Path) -> Settings:
    return replace(ready_box(tmp_path), storage=StorageSettings(budget_mb=1, keep_days=30))


@pytest.fixture
def keys(box: Settings, database: Database, spool: Spool) -> list[str]:
    """Nine studies that were read, each of a tenth of the budget."""
    return [read(box, database, spool, number) for number in range(9)]


def read(box: Settings, database: Database, spool: Spool, number: int) -> str:
    receipt = put(spool, bytes([number]) * OBJECT_BYTES)
    instances.attach(database, receipt.instance_id, ATTRIBUTES)
    claimed = queue.claim(database)
    assert claimed is not None
    finish(database, claimed)
    (box.results / claimed.study_key / "1").mkdir(parents=True)
    return claimed.study_key


def see(database: Database, *keys: str) -> None:
    for key in keys:
        found = studies.study(database, key)
        assert found is not None
        note_view(database, key, found.state, found.version)


def run_for(database: Database, days: float) -> None:
    with writing(database):
        facts.add(database, facts.RUNNING_S, days * DAY_S)


def deliver(database: Database, *keys: str) -> None:
    with writing(database):
        for key in keys:
            database.execute("UPDATE studies SET delivered_at = ? WHERE study_key = ?", (str(clock.utc()), key))


def left(database: Database) -> set[str]:
    return {row.study_key for row in studies.worklist(database, 100)}


def test_the_oldest_seen_ones_go_until_there_is_room(box: Settings, database: Database, keys: list[str]) -> None:
    see(database, *keys)
    run_for(database, 31)
    assert make_room(database, box) == 2
    assert left(database) == set(keys[2:])
    assert len(list(box.incoming.iterdir())) == 7
    assert {path.name for path in box.results.iterdir()} == set(keys[2:])


def test_each_is_written_down_without_patient_data(box: Settings, database: Database, keys: list[str]) -> None:
    see(database, keys[0])
    run_for(database, 31)
    make_room(database, box)
    (line,) = deletions(database, 10)
    expected = (keys[0], "viewed", OBJECT_BYTES, 1)
    assert (line.study_key, line.reason, line.size_bytes, line.instance_count) == expected
    row = dict(database.execute("SELECT * FROM deletions").fetchone())
    assert not {ATTRIBUTES.patient_name, ATTRIBUTES.patient_id, ATTRIBUTES.accession_number} & set(
        map(str, row.values())
    )


def test_without_need_nothing_goes(box: Settings, database: Database, spool: Spool) -> None:
    see(database, *[read(box, database, spool, number) for number in range(7)])
    run_for(database, 1000)
    assert make_room(database, box) == 0


def test_what_nobody_has_seen_stays_however_full_the_box_is(box: Settings, database: Database, keys: list[str]) -> None:
    deliver(database, *keys)
    run_for(database, 1000)
    assert make_room(database, box) == 0


def test_what_was_seen_lately_stays(box: Settings, database: Database, keys: list[str]) -> None:
    see(database, *keys)
    run_for(database, 29.9)
    assert make_room(database, box) == 0
    see(database, *keys[1:])
    run_for(database, 0.1)
    assert make_room(database, box) == 1
    assert keys[0] not in left(database)


def test_a_newer_result_that_nobody_has_seen_stays(box: Settings, database: Database, keys: list[str]) -> None:
    see(database, keys[0])
    with writing(database):
        database.execute("UPDATE studies SET state = 'ready', stated_age_years = 40 WHERE study_key = ?", keys[:1])
    claimed = queue.claim(database)
    assert claimed is not None and claimed.study_key == keys[0]
    run_for(database, 31)
    assert make_room(database, box) == 0, "it is being read"
    finish(database, claimed)
    assert make_room(database, box) == 0, "its new result was not seen"
    see(database, keys[0])
    run_for(database, 31)
    assert make_room(database, box) == 1


def test_the_view_of_an_older_state_does_not_count(box: Settings, database: Database, keys: list[str]) -> None:
    note_view(database, keys[0], State.DONE, 0)
    run_for(database, 31)
    assert make_room(database, box) == 0


def test_a_pacs_that_is_asked_for_priors_keeps_nothing_here(box: Settings, database: Database, keys: list[str]) -> None:
    box = replace(box, pacs=PacsSettings(host="pacs.example"))
    see(database, *keys)
    run_for(database, 31)
    assert make_room(database, box) == 2
    assert left(database) == set(keys[2:])


@pytest.mark.parametrize("days", [0, 1000])
def test_what_was_delivered_goes_first_and_at_once(
    box: Settings, database: Database, keys: list[str], days: int
) -> None:
    see(database, *keys)
    run_for(database, days)
    deliver(database, keys[4], keys[2])
    assert make_room(database, box) == 2
    assert left(database) == set(keys) - {keys[2], keys[4]}
    assert {line.reason for line in deletions(database, 10)} == {"delivered"}


def test_what_was_set_aside_goes_only_when_seen(box: Settings, database: Database, spool: Spool) -> None:
    receipts = [put(spool, bytes([number]) * OBJECT_BYTES) for number in range(9)]
    for receipt in receipts:
        instances.quarantine(database, receipt.instance_id, UnreadableError("truncated").remark(), None)
    run_for(database, 1000)
    assert make_room(database, box) == 0
    see(database, receipts[3].study_key)
    run_for(database, 31)
    assert make_room(database, box) == 1
    assert receipts[3].study_key not in left(database)


def test_a_study_with_an_image_that_nobody_has_parsed_stays(box: Settings, database: Database, keys: list[str]) -> None:
    see(database, *keys)
    run_for(database, 31)
    database.execute("UPDATE instances SET state = 'received'")
    database.conn.commit()
    assert make_room(database, box) == 0


@pytest.mark.parametrize("year", [2021, 2036])
def test_a_clock_that_jumps_deletes_nothing(
    box: Settings, database: Database, keys: list[str], monkeypatch: pytest.MonkeyPatch, year: int
) -> None:
    see(database, *keys)
    run_for(database, 1)
    monkeypatch.setattr(clock, "utc", lambda: datetime(year, 11, 24, tzinfo=timezone.utc))
    assert make_room(database, box) == 0


def test_files_that_cannot_be_removed_now_are_removed_later(
    box: Settings, database: Database, keys: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    see(database, *keys[:1])
    run_for(database, 31)

    def refuse(path: Path, missing_ok: bool = False) -> None:
        raise PermissionError(path)

    monkeypatch.setattr(Path, "unlink", refuse)
    assert make_room(database, box) == 1
    monkeypatch.undo()
    assert len(list(box.incoming.iterdir())) == 9
    retention.finish_deletions(database, box)
    assert len(list(box.incoming.iterdir())) == 8


@pytest.mark.parametrize(("commitment", "goes"), [("wanted", False), ("asked", False), ("", True)])
def test_what_an_archive_has_not_promised_to_keep_stays(
    box: Settings, database: Database, keys: list[str], commitment: str, goes: bool
) -> None:
    archive = DestinationSettings(name="PACS", ae_title="PACS", host="127.0.0.1", port=104, objects=("sc",))
    box = replace(box, destination=(archive,))
    with writing(database):
        for row in database.execute("SELECT id FROM studies").fetchall():
            outbox.plan(database, row["id"], 1, 0, box.destination)
        database.execute("UPDATE outbox SET state = 'stored', commitment = ?", (commitment,))
    see(database, *keys)
    run_for(database, 31)
    assert (make_room(database, box) > 0) == goes
