"""The store: what is recorded stays, what is claimed is claimed once, what is finished is whole."""

from __future__ import annotations

import sqlite3
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from sqlite_utils import Database

from edge import clock
from edge.config import Settings
from edge.errors import ModelError, ReadingError, StatedAgeError, StorageError, UnreadableError
from edge.store import instances, queue, studies
from edge.store.database import connect, migrate, writing
from edge.types import State
from tests.support.studies import ATTRIBUTES, new_instance, next_arrival, put_finished_study, put_ready_study

ASKING = {"schema": "chest-edge/result/1", "quality": [{"code": "age_unknown"}]}
"""A result that asks for the age."""


def outcome(**changes: object) -> queue.Outcome:
    whole = queue.Outcome(
        state=State.DONE,
        decision="abnormal",
        reasons=[],
        result={"schema": "chest-edge/result/1"},
        completed_at=clock.utc(),
        has_preview=True,
    )
    return replace(whole, **changes)  # type: ignore[arg-type]


def test_commits_survive_a_power_cut_by_configuration(database: Database) -> None:
    assert database.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    assert database.execute("PRAGMA synchronous").fetchone()[0] == 2
    assert database.execute("PRAGMA foreign_keys").fetchone()[0] == 1


def test_nobody_else_on_the_machine_may_read_it(box: Settings, database: Database) -> None:
    put_ready_study(database)
    files = list(box.data_dir.glob(f"{box.database.name}*"))
    assert len(files) >= 2
    assert {file.stat().st_mode & 0o077 for file in files} == {0}


def test_migrating_twice_changes_nothing_and_loses_nothing(box: Settings, database: Database) -> None:
    key = put_ready_study(database)
    before = database.execute("SELECT count(*) FROM _sqlite_migrations").fetchone()[0]
    migrate(box.database)
    assert database.execute("SELECT count(*) FROM _sqlite_migrations").fetchone()[0] == before
    assert [row.study_key for row in studies.worklist(database, 10)] == [key]


def test_connecting_to_a_missing_database_is_a_storage_error_and_creates_nothing(tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        connect(tmp_path / "absent.sqlite")
    assert not (tmp_path / "absent.sqlite").exists()


def test_a_file_that_is_no_database_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "broken.sqlite").write_bytes(b"no database at all" * 100)
    with pytest.raises(StorageError):
        migrate(tmp_path / "broken.sqlite")


def test_a_received_object_is_on_the_worklist_before_it_is_parsed(database: Database) -> None:
    receipt = instances.add_received(database, new_instance())
    (row,) = studies.worklist(database, 10)
    assert (row.study_key, row.state, row.instance_count) == (receipt.study_key, State.RECEIVED, 1)


def test_the_same_content_again_is_the_same_object(database: Database) -> None:
    first = new_instance()
    receipt = instances.add_received(database, first)
    again = instances.add_received(database, replace(first, path=Path("other.dcm")))
    assert again == replace(receipt, is_new=False)
    assert len(studies.worklist(database, 10)) == 1


def test_other_content_under_the_same_identifier_is_kept_and_marked(database: Database) -> None:
    first = new_instance()
    instances.add_received(database, first)
    instances.add_received(database, new_instance(sop_instance_uid=first.sop_instance_uid))
    identities = []
    for _ in range(2):
        arrival = next_arrival(database)
        assert arrival is not None
        identities.append(instances.identify(database, arrival.instance_id, "of the data set", None))
        instances.attach(database, arrival.instance_id, ATTRIBUTES)
    assert identities == [instances.Identity.NEW, instances.Identity.CONFLICT]


def test_attempts_at_an_object_are_counted(database: Database) -> None:
    instances.add_received(database, new_instance())
    attempts = [arrival.attempts for _ in range(3) if (arrival := next_arrival(database))]
    assert attempts == [1, 2, 3]


def test_images_of_one_study_share_its_row(database: Database) -> None:
    keys = {put_ready_study(database, study_instance_uid="1.2.3") for _ in range(3)}
    (row,) = studies.worklist(database, 10)
    assert keys == {row.study_key}
    assert (row.instance_count, row.state, row.patient_name) == (3, State.READY, "Example, Pat")


def test_images_that_name_no_study_stay_apart(database: Database) -> None:
    assert put_ready_study(database) != put_ready_study(database)


def test_a_quarantined_object_has_a_row_with_its_reason_and_patient(database: Database) -> None:
    receipt = instances.add_received(database, new_instance())
    remark = UnreadableError("multi_frame", frames=120).remark()
    instances.quarantine(database, receipt.instance_id, remark, replace(ATTRIBUTES, study_instance_uid="1.2.3"))
    row = studies.study(database, receipt.study_key)
    assert row is not None
    assert (row.state, row.patient_id) == (State.QUARANTINED, "P-0042")
    assert row.reasons[0]["text"] == "A sequence of 120 frames is not a radiograph."
    assert row.reasons[0]["message"] % row.reasons[0]["values"] == row.reasons[0]["text"]
    assert queue.claim(database) is None


def test_a_quarantined_object_does_not_claim_the_study_it_names(database: Database) -> None:
    receipt = instances.add_received(database, new_instance())
    named = replace(ATTRIBUTES, study_instance_uid="1.2.3")
    instances.quarantine(database, receipt.instance_id, UnreadableError("truncated").remark(), named)
    assert put_ready_study(database, study_instance_uid="1.2.3") != receipt.study_key


def test_every_study_is_claimed_exactly_once_by_threads(box: Settings, database: Database) -> None:
    expected = {put_ready_study(database) for _ in range(12)}
    claimed: list[str] = []

    def drain() -> None:
        own = connect(box.database)
        while found := queue.claim(own):
            claimed.append(found.study_key)
        own.close()

    threads = [threading.Thread(target=drain) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claimed) == sorted(expected)


def test_a_claim_names_the_sources_in_order_of_arrival(database: Database) -> None:
    for name in ("a.dcm", "b.dcm"):
        receipt = instances.add_received(database, new_instance(path=Path(name)))
        instances.attach(database, receipt.instance_id, replace(ATTRIBUTES, study_instance_uid="1.2.3"))
    claimed = queue.claim(database)
    assert claimed is not None
    assert [str(path) for _, path in claimed.sources] == ["a.dcm", "b.dcm"]


def test_a_later_image_makes_a_new_version_and_keeps_the_old(database: Database) -> None:
    for number in (1, 2):
        key = put_ready_study(database, study_instance_uid="1.2.3")
        claimed = queue.claim(database)
        assert claimed is not None and claimed.next_version == number
        queue.complete(database, claimed, outcome(result={"number": number}))
    view = studies.study(database, key)
    assert view is not None
    assert (view.version, view.versions, view.result) == (2, [1, 2], {"number": 2})


def test_a_decision_is_not_shown_while_a_newer_reading_runs(database: Database) -> None:
    put_ready_study(database, study_instance_uid="1.2.3")
    claimed = queue.claim(database)
    assert claimed is not None
    queue.complete(database, claimed, outcome())
    assert studies.worklist(database, 1)[0].decision == "abnormal"
    put_ready_study(database, study_instance_uid="1.2.3")
    assert studies.worklist(database, 1)[0].decision is None


def test_an_interrupted_completion_stores_neither_result_nor_state(database: Database) -> None:
    put_ready_study(database)
    claimed = queue.claim(database)
    assert claimed is not None
    with pytest.raises(sqlite3.IntegrityError):
        queue.complete(database, replace(claimed, study_id=999), outcome())
    assert database.execute("SELECT count(*) FROM results").fetchone()[0] == 0
    assert studies.worklist(database, 1)[0].state is State.RUNNING


def test_interrupted_studies_are_put_back_once_and_then_set_aside(database: Database) -> None:
    poison = put_ready_study(database)
    for expected in (State.READY, State.FAILED):
        claimed = queue.claim(database)
        assert claimed is not None and claimed.study_key == poison
        assert queue.recover(database, clock.utc()) == 1
        assert studies.worklist(database, 1)[0].state is expected
    assert studies.worklist(database, 1)[0].reasons[0]["code"] == "reading_crashed"
    other = put_ready_study(database)
    claimed = queue.claim(database)
    assert claimed is not None and claimed.study_key == other


def test_power_cuts_do_not_set_a_study_aside_but_not_for_ever(database: Database) -> None:
    put_ready_study(database)
    for cut in range(queue.MAX_OUTAGES):
        assert studies.worklist(database, 1)[0].state is State.READY, f"after {cut} power cuts"
        assert queue.claim(database, run_id=f"run {cut}") is not None
        queue.recover(database, clock.utc(), run_id=f"run {cut + 1}")
    (row,) = studies.worklist(database, 1)
    assert (row.state, row.reasons[0]["code"]) == (State.FAILED, "reading_outages")
    assert row.reasons[0]["values"] == {"count": "5"}


def test_crashes_count_across_power_cuts(database: Database) -> None:
    put_ready_study(database)
    fault = ReadingError("stage_timeout", stage="quality")
    for run_id, next_run_id, expected in (("a", "a", State.READY), ("a", "b", State.READY), ("b", "b", State.FAILED)):
        assert queue.claim(database, run_id=run_id) is not None
        queue.recover(database, clock.utc(), run_id=next_run_id, fault=fault)
        assert studies.worklist(database, 1)[0].state is expected
    assert studies.worklist(database, 1)[0].reasons[0]["code"] == "stage_timeout"


def test_an_object_that_was_tried_before_is_taken_alone(database: Database) -> None:
    for _ in range(3):
        instances.add_received(database, new_instance())
    taken = [[one.attempts for one in instances.next_arrivals(database, 2)] for _ in range(3)]
    assert taken == [[1, 1], [2], [3]]  # the first of both is asked for again and again, and drags no other along


def test_power_cuts_at_the_parsing_of_an_object_count_for_little_too(database: Database) -> None:
    instances.add_received(database, new_instance())
    attempts = []
    for cut in range(queue.MAX_OUTAGES + 3):
        arrival = next_arrival(database, f"run {cut}")
        assert arrival is not None
        attempts.append(arrival.attempts)
        queue.recover(database, clock.utc(), run_id=f"run {cut + 1}")
    assert attempts == [1] * (queue.MAX_OUTAGES + 1) + [2, 3]


def test_a_failed_study_says_why(database: Database) -> None:
    key = put_ready_study(database)
    claimed = queue.claim(database)
    assert claimed is not None
    queue.fail(database, claimed.study_id, ReadingError("reading_failed").remark(), clock.utc())
    view = studies.study(database, key)
    assert view is not None
    assert (view.state, view.reasons[0]["code"], view.result) == (State.FAILED, "reading_failed", None)


def test_a_full_disk_is_reported_as_such_and_rolls_back(database: Database) -> None:
    pages = database.execute("PRAGMA page_count").fetchone()[0]
    database.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(StorageError) as caught:
        for _ in range(200):
            instances.add_received(database, new_instance())
    assert caught.value.code == "disk_full"
    assert not database.conn.in_transaction


def test_a_transaction_that_fails_leaves_nothing(database: Database) -> None:
    with pytest.raises(RuntimeError), writing(database):
        database.execute("INSERT INTO studies (study_key, state, received_at) VALUES ('k', 'ready', 'now')")
        raise RuntimeError
    assert studies.worklist(database, 1) == []


def test_the_worklist_is_newest_first_and_bounded(box: Settings) -> None:
    keys = [put_finished_study(box, {"schema": "chest-edge/result/1"}) for _ in range(3)]
    assert [row.study_key for row in studies.worklist(box.database, 2)] == [keys[2], keys[1]]


def test_a_new_image_moves_a_study_up_and_another_reading_does_not(database: Database) -> None:
    first, second = (put_ready_study(database, study_instance_uid=uid) for uid in ("1.1", "1.2"))
    put_ready_study(database, study_instance_uid="1.1")
    assert [row.study_key for row in studies.worklist(database, 10)] == [first, second]
    while (claimed := queue.claim(database)) is not None:
        queue.complete(database, claimed, outcome(result=ASKING))
    queue.state_age(database, second, 41)
    assert [row.study_key for row in studies.worklist(database, 10)] == [first, second]


def test_an_older_version_is_shown_as_it_was(database: Database) -> None:
    for number, decision in ((1, "normal"), (2, "abnormal")):
        key = put_ready_study(database, study_instance_uid="1.2.3")
        claimed = queue.claim(database)
        assert claimed is not None
        result = {"number": number, "classification": {"decision": decision}, "reasons": [{"code": f"r{number}"}]}
        queue.complete(database, claimed, outcome(result=result, decision=decision))
    older, newest = studies.study(database, key, 1), studies.study(database, key, 2)
    assert older is not None and newest is not None
    assert (older.is_old, older.version, older.decision, older.reasons) == (True, 1, "normal", [{"code": "r1"}])
    assert (newest.is_old, newest.version, newest.decision) == (False, 2, "abnormal")
    assert studies.study(database, key, 3) is None


def test_an_unknown_key_is_no_study(box: Settings) -> None:
    assert studies.study(box.database, "0" * 32) is None


@pytest.mark.parametrize("key", ["../../etc/passwd", "", "A" * 32])
def test_pictures_are_only_found_by_real_keys(box: Settings, key: str) -> None:
    with pytest.raises(ValueError, match="32 hexadecimal digits"):
        studies.preview_path(box, key, 1)


def test_a_study_that_failed_for_a_repaired_model_is_read_again_and_no_other(database: Database) -> None:
    kept = {}
    for error in (ModelError("model_hash_mismatch", model="pneumonia"), ReadingError("reading_failed")):
        put_ready_study(database, study_instance_uid=f"1.2.{len(kept)}")
        claimed = queue.claim(database)
        assert claimed is not None
        queue.fail(database, claimed.study_id, error.remark(), clock.utc())
        kept[error.code] = claimed.study_key
    queue.retry(database, ModelError.texts)
    again = queue.claim(database)
    assert again is not None and again.study_key == kept["model_hash_mismatch"]
    assert queue.claim(database) is None


def test_a_stated_age_puts_a_finished_study_back(box: Settings, database: Database) -> None:
    key = put_finished_study(box, ASKING)
    assert queue.state_age(database, key, 41)
    assert studies.worklist(database, 1)[0].state is State.READY
    claimed = queue.claim(database)
    assert claimed is not None
    assert (claimed.study_key, claimed.stated_age_years, claimed.next_version) == (key, 41, 2)


def test_the_same_age_again_asks_for_no_further_reading(box: Settings, database: Database) -> None:
    key = put_finished_study(box, ASKING)
    queue.state_age(database, key, 41)
    claimed = queue.claim(database)
    assert claimed is not None
    assert queue.state_age(database, key, 41)
    queue.complete(database, claimed, outcome(result=ASKING))
    assert queue.state_age(database, key, 41)
    assert queue.claim(database) is None


def test_a_wrong_age_is_corrected_before_and_after_the_reading(box: Settings, database: Database) -> None:
    key = put_finished_study(box, ASKING)
    for years in (4, 41, 0):
        queue.state_age(database, key, years)
    claimed = queue.claim(database)
    assert claimed is not None and claimed.stated_age_years == 0


def test_a_study_that_is_being_read_or_was_not_read_takes_no_age(database: Database) -> None:
    key = put_ready_study(database)
    claimed = queue.claim(database)
    assert claimed is not None
    with pytest.raises(StatedAgeError, match="being_read"):
        queue.state_age(database, key, 41)
    queue.fail(database, claimed.study_id, ReadingError("reading_failed").remark(), clock.utc())
    with pytest.raises(StatedAgeError, match="no_reading"):
        queue.state_age(database, key, 41)
    assert studies.worklist(database, 1)[0].state is State.FAILED


def test_an_age_that_the_image_tells_is_not_asked_for(box: Settings, database: Database) -> None:
    key = put_finished_study(box, {"schema": "chest-edge/result/1", "quality": [{"code": "low_resolution"}]})
    with pytest.raises(StatedAgeError, match="age_in_header"):
        queue.state_age(database, key, 41)
    assert studies.worklist(database, 1)[0].state is State.DONE


def test_a_study_that_waits_for_its_first_reading_takes_no_age(database: Database) -> None:
    with pytest.raises(StatedAgeError, match="being_read"):
        queue.state_age(database, put_ready_study(database), 41)


def test_an_age_for_a_study_that_is_not_there_is_refused(database: Database) -> None:
    assert not queue.state_age(database, "0" * 32, 41)
