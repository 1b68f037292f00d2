"""Which clocks are doubted, and what setting one by hand leaves behind."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from edge import clock
from edge.config import Settings
from edge.errors import SetupError
from edge.health.clock_command import print_modality_time, print_status, set_by_hand
from edge.store import associations
from edge.store.database import connect
from edge.store.journal import Action, entries
from edge.store.timekeeping import keep_floor
from tests.support.inputs import dx, save
from tests.support.studies import ATTRIBUTES, instances, new_instance

DAY = timedelta(days=1)


class Hands:
    """The clock, turned by a test."""

    def __init__(self) -> None:
        self.now = clock.RELEASED + 30 * DAY

    def set(self, moment: datetime) -> None:
        self.now = moment


@pytest.fixture
def hands(monkeypatch: pytest.MonkeyPatch) -> Hands:
    hands = Hands()
    monkeypatch.setattr(clock, "utc", lambda: hands.now)
    monkeypatch.setattr(clock, "set_system", hands.set)
    return hands


def test_a_new_box_doubts_only_what_is_before_the_release_or_long_after(hands: Hands, tmp_path: Path) -> None:
    trusted = []
    for now in (-1 * DAY, 1 * DAY, 3000 * DAY, 4000 * DAY):
        hands.now = clock.RELEASED + now
        trusted.append(clock.is_trusted(tmp_path))
    assert trusted == [False, True, True, False]


@pytest.mark.parametrize(
    ("moved", "trusted"),
    [(-5 * 365 * DAY, False), (-1 * DAY, False), (timedelta(seconds=-1), True), (700 * DAY, True), (3650 * DAY, False)],
)
def test_after_the_last_known_time_a_jump_is_doubted(
    hands: Hands, tmp_path: Path, moved: timedelta, trusted: bool
) -> None:
    keep_floor(tmp_path)
    hands.now += moved
    assert clock.is_trusted(tmp_path) is trusted


def test_a_wrong_time_is_never_kept(hands: Hands, tmp_path: Path) -> None:
    keep_floor(tmp_path)
    known = clock.floor(tmp_path)
    for jump in (3650 * DAY, -3650 * DAY):
        hands.now += jump
        keep_floor(tmp_path)
        hands.now -= jump
    assert clock.floor(tmp_path) == known
    assert clock.is_trusted(tmp_path)


def test_the_kept_time_follows_a_right_clock(hands: Hands, tmp_path: Path) -> None:
    keep_floor(tmp_path)
    hands.now += timedelta(minutes=6)
    keep_floor(tmp_path)
    assert clock.floor(tmp_path) == hands.now


def test_a_damaged_file_counts_as_none(hands: Hands, tmp_path: Path) -> None:
    clock.floor_file(tmp_path).write_bytes(b"\xff\x00 not a time")
    assert clock.floor(tmp_path) is None
    assert clock.is_trusted(tmp_path)


def test_a_clock_set_by_hand_is_trusted_even_backwards_and_noted(hands: Hands, box: Settings) -> None:
    keep_floor(box.data_dir)
    before = hands.now
    hands.now += 4000 * DAY
    assert print_status(box) == 1
    wrong = hands.now
    right = (before - DAY).astimezone().replace(tzinfo=None, microsecond=0)
    assert set_by_hand(box, right.isoformat(" ")) == 0
    assert print_status(box) == 0
    (entry,) = entries(connect(box.database), 10)
    assert entry.action is Action.CLOCK_SET
    assert entry.fields["time_before"] == wrong.isoformat()
    assert datetime.fromisoformat(entry.fields["time_after"]) == right.astimezone()


def test_a_right_clock_is_confirmed_without_rights(
    hands: Hands, box: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_floor(box.data_dir)
    hands.now += 1000 * DAY
    monkeypatch.delattr(clock, "set_system")
    assert set_by_hand(box, f"{hands.now.astimezone():%Y-%m-%d %H:%M:%S}") == 0
    assert clock.is_trusted(box.data_dir)


def test_without_rights_nothing_changes_and_the_words_say_so(
    hands: Hands, box: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(moment: datetime) -> None:
        raise PermissionError

    monkeypatch.setattr(clock, "set_system", refuse)
    with pytest.raises(SetupError, match="administrator"):
        set_by_hand(box, "2027-01-01 10:00")
    assert clock.floor(box.data_dir) is None
    assert entries(connect(box.database), 10) == []


@pytest.mark.parametrize("words", ["", "tomorrow", "25:00", "2026-13-01 10:00", "0001-01-01"])
def test_words_that_are_no_time_are_refused(box: Settings, words: str) -> None:
    with pytest.raises(SetupError, match="no time"):
        set_by_hand(box, words)


def test_the_units_time_is_proposed_and_not_taken(
    hands: Hands, box: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert print_modality_time(box) == 1
    taken = (hands.now + timedelta(hours=3)).astimezone()
    save(
        dx(AcquisitionDate=f"{taken:%Y%m%d}", AcquisitionTime=f"{taken:%H%M%S}"),
        box.incoming / "new.dcm",
    )
    database = connect(box.database)
    copied = associations.begin(database, "", way=associations.Way.FOLDER)
    receipt = instances.add_received(database, new_instance(path=Path("new.dcm"), received_at=hands.now), copied)
    instances.attach(database, receipt.instance_id, ATTRIBUTES)
    assert print_modality_time(box) == 1, "it came by a folder"
    sent = associations.begin(database, "MODALITY", "10.0.0.7")
    database.execute("UPDATE instances SET association_id = ?", (sent,))
    database.conn.commit()
    database.close()
    floor = clock.floor_file(box.data_dir)
    floor.write_text((hands.now + 400 * DAY).isoformat())
    assert print_modality_time(box) == 1, "years before the last known time"
    floor.unlink()
    unchanged = hands.now
    hands.now += timedelta(minutes=10)
    assert print_modality_time(box) == 0
    said = capsys.readouterr().out
    assert f'chest-edge clock set "{taken + timedelta(minutes=10):%Y-%m-%d %H:%M:%S}"' in said
    assert "3:00:00 later" in said and "the X-ray unit at 10.0.0.7" in said
    assert hands.now == unchanged + timedelta(minutes=10)
    assert clock.utc().tzinfo is timezone.utc
