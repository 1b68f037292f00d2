"""Rows and files agree again after a crash: nothing that was durable is left out, nothing is kept twice."""

from __future__ import annotations

import fcntl
import os
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlite_utils import Database

from edge import clock
from edge.config import Settings
from edge.errors import StorageError, UnreadableError
from edge.store import instances, retention, studies
from edge.store.database import connect
from edge.store.part10 import take_apart
from edge.store.reconcile import difference, reconcile
from edge.store.spool import Delivery, Spool, record
from edge.types import Instance, State
from tests.support.objects import new_uid, put
from tests.support.studies import ATTRIBUTES


def kept(database: Database) -> list[dict[str, object]]:
    return [dict(row) for row in database.execute("SELECT * FROM instances ORDER BY id")]


def forget(database: Database) -> None:
    """The rows are gone, the files are there."""
    for table in ("instances", "studies"):
        database.execute(f"DELETE FROM {table}")  # noqa: S608
    database.conn.commit()


def test_a_store_that_agrees_is_left_alone(box: Settings, database: Database, spool: Spool) -> None:
    put(spool, b"one")
    before = kept(database)
    found = reconcile(database, box)
    assert (found.orphans, found.lost) == ((), ())
    assert kept(database) == before


def test_a_file_without_a_row_is_taken_in_with_all_that_the_file_tells(
    box: Settings, database: Database, spool: Spool
) -> None:
    put(spool, b"content of one")
    (before,) = kept(database)
    forget(database)
    moment = (clock.RELEASED + timedelta(days=1)).isoformat()
    os.utime(box.incoming / str(before["path"]), (datetime.fromisoformat(moment).timestamp(),) * 2)
    reconcile(database, box)
    (after,) = kept(database)
    told = {"id": after["id"], "study_id": after["study_id"], "received_at": moment, "clock_trusted": 1}
    assert after == before | told
    (row,) = studies.worklist(database, 10)
    assert (row.state, row.received_at.isoformat()) == (State.RECEIVED, moment)


@pytest.mark.parametrize(
    ("days", "known_days", "trusted"),
    [(10, None, True), (-1, None, False), (31, None, False), (10, 40, True), (35, 40, True), (41, 40, False)],
    ids=["past", "before the release", "future", "past, clock behind", "known, clock behind", "later, clock behind"],
)
def test_the_time_of_a_file_is_doubted_where_it_cannot_be(
    box: Settings, monkeypatch: pytest.MonkeyPatch, days: int, known_days: int | None, trusted: bool
) -> None:
    now = clock.RELEASED + timedelta(days=30)
    monkeypatch.setattr(clock, "utc", lambda: now)
    if known_days:
        clock.floor_file(box.data_dir).write_text((clock.RELEASED + timedelta(days=known_days)).isoformat())
    path = box.incoming / f"{'0' * 32}.dcm"
    path.write_bytes(b"content")
    os.utime(path, ((clock.RELEASED + timedelta(days=days)).timestamp(),) * 2)
    with connect(box.database) as database:
        reconcile(database, box)
        assert [row.clock_trusted for row in studies.worklist(database, 10)] == [trusted]


def test_a_second_file_of_known_content_is_removed(box: Settings, database: Database, spool: Spool) -> None:
    receipt = put(spool, b"content")
    (box.incoming / f"{'0' * 32}.dcm").write_bytes((box.incoming / receipt.path).read_bytes())
    reconcile(database, box)
    assert [path.name for path in box.incoming.iterdir()] == [receipt.path.name]
    assert len(kept(database)) == 1


@pytest.mark.parametrize("content", [b"", b"no DICOM", bytes(128) + b"DICM" + b"\2\0\0\0UL\4\0\xff\xff\xff\xff"])
def test_a_file_that_tells_nothing_is_taken_in_too(box: Settings, database: Database, content: bytes) -> None:
    (box.incoming / "left.dcm").write_bytes(content)
    reconcile(database, box)
    assert [row["path"] for row in kept(database)] == ["left.dcm"]
    assert (box.incoming / "left.dcm").read_bytes() == content


def test_a_file_that_cannot_be_read_keeps_no_other_out(box: Settings, database: Database) -> None:
    (box.incoming / "a.dcm").mkdir()
    (box.incoming / "b.dcm").write_bytes(b"content")
    reconcile(database, box)
    assert [row["path"] for row in kept(database)] == ["b.dcm"]


def test_a_row_without_a_file_is_set_aside_in_plain_words(box: Settings, database: Database, spool: Spool) -> None:
    receipt = put(spool, b"content")
    (box.incoming / receipt.path).unlink()
    reconcile(database, box)
    row = studies.study(database, receipt.study_key)
    assert row is not None and row.state is State.QUARANTINED
    assert row.reasons[0]["code"] == "file_lost"
    assert difference(database, box).lost == ()


def test_an_object_that_was_given_another_file_meanwhile_is_not_lost(database: Database, spool: Spool) -> None:
    receipt = put(spool, b"content")
    instances.lose(database, receipt.instance_id, Path("before.dcm"))
    (row,) = kept(database)
    assert row["state"] == "received"


def test_the_others_of_its_study_are_still_read(box: Settings, database: Database, spool: Spool) -> None:
    receipts = [put(spool, content) for content in (b"one", b"two")]
    for receipt in receipts:
        instances.attach(database, receipt.instance_id, replace(ATTRIBUTES, study_instance_uid="1.2.3"))
    (box.incoming / receipts[0].path).unlink()
    reconcile(database, box)
    (row,) = studies.worklist(database, 10)
    assert row.state is State.READY
    assert [line["state"] for line in kept(database)] == ["quarantined", "parsed"]


@pytest.mark.parametrize("is_noticed", [True, False])
@pytest.mark.parametrize("ends_as", ["parsed", "copy", "quarantined"])
def test_one_that_is_sent_again_leaves_the_others_of_its_study_alone(
    box: Settings, database: Database, spool: Spool, ends_as: str, is_noticed: bool
) -> None:
    named, uids = replace(ATTRIBUTES, study_instance_uid="1.2.3"), [new_uid(), new_uid()]
    first, second = (put(spool, uid.encode(), uid) for uid in uids)
    for receipt in (first, second):
        instances.attach(database, receipt.instance_id, named)
    (box.incoming / first.path).unlink()
    if is_noticed:
        reconcile(database, box)
    put(spool, uids[0].encode(), uids[0])
    if ends_as == "parsed":
        instances.attach(database, first.instance_id, named)
    elif ends_as == "quarantined":
        instances.quarantine(database, first.instance_id, UnreadableError("too_slow").remark(), None)
    else:
        other = put(spool, uids[0].encode(), new_uid())
        instances.attach(database, other.instance_id, named)
        assert instances.identify(database, first.instance_id, None, None) is instances.Identity.COPY
    study = database.execute("SELECT state, id FROM studies WHERE study_instance_uid = '1.2.3'").fetchone()
    row = database.execute("SELECT study_id FROM instances WHERE id = ?", (second.instance_id,)).fetchone()
    assert (study["state"], row["study_id"]) == ("ready", study["id"])
    assert database.execute("SELECT count(*) FROM studies").fetchone()[0] == (2 if ends_as == "quarantined" else 1)


def test_a_lost_object_that_is_sent_again_is_read_again(box: Settings, database: Database, spool: Spool) -> None:
    uid = new_uid()
    receipt = put(spool, b"content", uid)
    (box.incoming / receipt.path).unlink()
    reconcile(database, box)
    again = put(spool, b"content", uid)
    assert again.study_key == receipt.study_key
    assert (box.incoming / again.path).exists()
    (row,) = studies.worklist(database, 10)
    assert (row.state, row.reasons) == (State.RECEIVED, [])
    assert [(line["state"], line["path"]) for line in kept(database)] == [("received", again.path.name)]


def test_it_is_kept_even_where_nobody_has_noticed_the_loss(box: Settings, database: Database, spool: Spool) -> None:
    uid = new_uid()
    (box.incoming / put(spool, b"content", uid).path).unlink()
    assert (box.incoming / put(spool, b"content", uid).path).exists()
    assert difference(database, box).lost == ()


def test_a_file_recorded_by_the_search_and_by_its_writer_is_kept_once(
    box: Settings, database: Database, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process may look for files without a row between the writing of a file and of its row."""

    def searched_first(own: Database, incoming: Path, instance: Instance, number: int | None) -> instances.Receipt:
        reconcile(database, box)
        return record(own, incoming, instance, number)

    monkeypatch.setattr("edge.store.spool.record", searched_first)
    receipt = put(spool, b"content")
    assert receipt.is_new
    assert (box.incoming / receipt.path).exists()
    assert len(kept(database)) == 1


def test_it_is_kept_where_the_two_name_it_differently(
    box: Settings, database: Database, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def searched_first(own: Database, incoming: Path, instance: Instance, number: int | None) -> instances.Receipt:
        reconcile(database, box)
        return record(own, incoming, instance, number)

    monkeypatch.setattr("edge.store.spool.record", searched_first)
    receipt = spool.keep(b"", b"\x08\x00content", Delivery(sop_instance_uid="1.2.3"))
    assert (receipt.is_new, len(kept(database)), (box.incoming / receipt.path).exists()) == (True, 1, True)


def test_a_bare_data_set_is_taken_in_under_its_hash(box: Settings, database: Database, spool: Spool) -> None:
    whole = take_apart([b"\x08\x00\x05\x00CS\x04\x00bare" * 50])
    spool.keep(whole.file_meta, whole.content, whole.delivery)
    (before,) = kept(database)
    forget(database)
    reconcile(database, box)
    (after,) = kept(database)
    assert (after["sha256"], after["size_bytes"]) == (before["sha256"], before["size_bytes"])


def test_parts_of_dead_writers_go_and_those_of_living_ones_stay(box: Settings, database: Database) -> None:
    dead, living = box.incoming / "dead.dcm.part", box.incoming / "living.dcm.part"
    dead.write_bytes(b"half")
    with living.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        reconcile(database, box)
    assert not dead.exists() and living.exists()


def test_a_deletion_that_was_interrupted_is_finished_and_not_taken_in(
    box: Settings, database: Database, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    receipt = put(spool, b"content")
    pictures = box.results / receipt.study_key / "1"
    pictures.mkdir(parents=True)
    (pictures / "preview.jpg").write_bytes(b"picture")
    instances.attach(database, receipt.instance_id, ATTRIBUTES)
    database.execute("UPDATE studies SET state = 'done', unread = 0, viewed_as = 'done 0', delivered_at = '2026-01-01'")
    database.conn.commit()
    monkeypatch.setattr(retention, "WARN_FROM", 0.0)
    monkeypatch.setattr(retention, "finish_deletions", lambda *given: (_ for _ in ()).throw(StorageError("database")))
    with pytest.raises(StorageError):
        retention.make_room(database, box)
    assert (box.incoming / receipt.path).exists()
    monkeypatch.undo()
    reconcile(database, box)
    assert not (box.incoming / receipt.path).exists() and not pictures.parent.exists()
    assert kept(database) == [] and [line.study_key for line in retention.deletions(database, 9)] == [receipt.study_key]
    assert database.execute("SELECT count(*) FROM doomed").fetchone()[0] == 0
