"""The housekeeping counts running time by the monotonic clock, measures, and makes room by itself."""

from __future__ import annotations

import signal
import threading
from dataclasses import replace
from datetime import datetime, timezone

import pytest
from sqlite_utils import Database

from edge import clock
from edge.audit import relay
from edge.config import Settings, StorageSettings
from edge.health import housekeeping
from edge.health.housekeeping import Housekeeping
from edge.store import facts
from edge.store.budget import used_share
from edge.store.database import connect
from edge.store.studies import worklist
from edge.types import State
from tests.support.box import WAIT_S, eventually, running
from tests.support.damage import garbage, settle
from tests.support.page import make_result
from tests.support.studies import put_finished_study


class Watch:
    """A monotonic clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    watch = Watch()
    monkeypatch.setattr(clock, "monotonic", watch)
    return watch


def test_running_time_is_counted_once_and_goes_on_after_a_restart(
    box: Settings, database: Database, watch: Watch
) -> None:
    for _ in range(2):
        house = Housekeeping(box, database, lambda count: None)
        for _ in range(10):
            house.step()
            watch.now += 60
    assert facts.number(database, facts.RUNNING_S) == 2 * 9 * 60


def test_the_wall_clock_counts_for_nothing(
    box: Settings, database: Database, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = Housekeeping(box, database, lambda count: None)
    for year in (2026, 2036, 2021):
        monkeypatch.setattr(clock, "utc", lambda year=year: datetime(year, 1, 1, tzinfo=timezone.utc))
        house.step()
        watch.now += 60
    assert facts.number(database, facts.RUNNING_S) == 120


def test_what_fills_the_disk_beside_the_images_is_measured(box: Settings, database: Database, watch: Watch) -> None:
    box = replace(box, storage=StorageSettings(budget_mb=1))
    (box.results / "pictures").write_bytes(bytes(2_000_000))
    Housekeeping(box, database, lambda count: None).step()
    assert used_share(database, box) > 2


def test_its_process_makes_room_and_ends_when_told_to(box: Settings) -> None:
    key = put_finished_study(box, make_result("normal", normal=0.9))
    full = replace(box, storage=StorageSettings(budget_mb=1, keep_days=1))
    (box.incoming / "filler").write_bytes(bytes(1_000_000))
    with connect(box.database) as database, database.conn:
        database.execute("UPDATE studies SET viewed_as = state || ' ' || version, viewed_running_s = -1e6")
    with running("housekeeping", full) as process:
        eventually(lambda: worklist(box.database, 10) == [])
        assert not (box.results / key).exists()
        process.send_signal(signal.SIGTERM)
        assert process.wait(WAIT_S) == 0


def test_a_full_box_without_anything_seen_keeps_everything(box: Settings, database: Database, watch: Watch) -> None:
    put_finished_study(box, make_result("normal", normal=0.9))
    box = replace(box, storage=StorageSettings(budget_mb=1, keep_days=1))
    (box.incoming / "filler").write_bytes(bytes(1_000_000))
    house = Housekeeping(box, database, lambda count: None)
    for _ in range(3):
        house.step()
        watch.now += 100 * 24 * 3600
    assert [row.state for row in worklist(database, 10)] == [State.DONE]


@pytest.fixture
def relays(monkeypatch: pytest.MonkeyPatch) -> list[threading.Event]:
    """What each audit relay was given that waits until it is told to stop."""
    given: list[threading.Event] = []

    def run(settings: Settings, stopped: threading.Event) -> None:
        given.append(stopped)
        stopped.wait(WAIT_S)

    monkeypatch.setattr(relay, "run", run)
    monkeypatch.setattr(housekeeping, "_TICK_S", 0.01)
    monkeypatch.setattr(signal, "signal", lambda number, handler: None)
    return given


def test_it_ends_where_its_audit_relay_has_ended(
    box: Settings, relays: list[threading.Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "run", lambda settings, stopped: None)
    assert housekeeping.run(box) == 1


def test_a_fault_of_the_program_ends_it_and_its_audit_relay(
    box: Settings, relays: list[threading.Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Housekeeping, "step", lambda house: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        housekeeping.run(box)
    assert [stopped.is_set() for stopped in relays] == [True]


def test_a_damaged_database_does_not_end_it(
    box: Settings, relays: list[threading.Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds: list[int] = []

    def finish_deletions(database: Database, settings: Settings) -> None:
        rounds.append(1)
        if len(rounds) == 3:
            relays[0].set()
        if len(rounds) == 1:
            settle(box.database)
            garbage(box.database)
        list(database.execute("SELECT * FROM studies"))

    monkeypatch.setattr(housekeeping, "finish_deletions", finish_deletions)
    assert housekeeping.run(box) == 0
    assert len(rounds) == 3
