"""What was set aside: listed without patient data, handed out, and tried again when the outcome may be another."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from sqlite_utils import Database

from edge.__main__ import main
from edge.config import Settings
from edge.errors import UnreadableError
from edge.store import associations, instances, quarantine, studies
from edge.store.associations import Way
from edge.store.spool import Delivery, Spool
from edge.types import State
from tests.support.studies import ATTRIBUTES, new_instance, next_arrival


def put_aside(database: Database, code: str = "undecodable", **changes: object) -> instances.Receipt:
    receipt = instances.add_received(database, new_instance(**changes), associations.begin(database, "CR1", "10.0.0.7"))
    instances.quarantine(database, receipt.instance_id, UnreadableError(code).remark(), ATTRIBUTES)
    return receipt


def test_a_file_is_listed_with_its_reason_and_sender(database: Database) -> None:
    receipt = put_aside(database, size_bytes=4242)
    (found,) = quarantine.listed(database)
    assert (found.study_key, found.name, found.size_bytes) == (receipt.study_key, str(receipt.path), 4242)
    assert (found.reason["code"], found.sender) == ("undecodable", "MODALITY 10.0.0.7")


def test_a_file_that_came_without_a_network_names_its_way(box: Settings, database: Database) -> None:
    spool = Spool(box, lambda number: None)
    with spool.together(way=Way.STICK) as number:
        receipt = spool.keep(b"", b"no image", Delivery(association_id=number))
    spool.close()
    instances.quarantine(database, receipt.instance_id, UnreadableError("not_dicom").remark(), None)
    assert [line.split("\t")[3] for line in quarantine.lines(quarantine.listed(database))] == ["USB stick"]


def test_another_version_tries_each_file_once(database: Database) -> None:
    put_aside(database)
    assert quarantine.retry(database, judged_elsewhere=True) == 0
    database.execute("UPDATE instances SET judged_by = '0.0.1'")
    database.conn.commit()
    assert quarantine.retry(database, judged_elsewhere=True) == 1
    arrival = next_arrival(database)
    assert arrival is not None and arrival.attempts == 1
    instances.quarantine(database, arrival.instance_id, UnreadableError("undecodable").remark(), None)
    assert quarantine.retry(database, judged_elsewhere=True) == 0
    assert quarantine.retry(database) == 1


def test_a_file_that_is_gone_is_not_tried(database: Database) -> None:
    receipt = instances.add_received(database, new_instance())
    instances.lose(database, receipt.instance_id, receipt.path)
    assert quarantine.retry(database) == 0


@pytest.mark.parametrize(("code", "again"), [("too_slow", True), ("reader_crashed", True), ("undecodable", False)])
def test_bytes_that_come_again_are_tried_again_where_chance_had_a_part(
    box: Settings, database: Database, code: str, again: bool
) -> None:
    spool = Spool(box, lambda number: None)
    for _ in range(2):
        receipt = spool.keep(b"", b"the same bytes", Delivery(sop_instance_uid="1.2.3"))
        arrival = next_arrival(database)
        if arrival is not None:
            instances.quarantine(database, arrival.instance_id, UnreadableError(code).remark(), None)
    spool.close()
    assert (receipt.is_new, arrival is not None) == (False, again)


def test_the_command_lists_copies_and_tries_again(
    box: Settings, database: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    receipt = put_aside(database)
    (box.incoming / receipt.path).write_bytes(b"what came")
    config = tmp_path / "box.toml"
    config.write_text(f'data_dir = "{box.data_dir}"\n')
    out = tmp_path / "out"
    for words in (["list"], ["export", str(out)], ["retry"]):
        assert main(["--config", str(config), "quarantine", *words]) == 0
    printed = capsys.readouterr().out
    notes = [tuple(row) for row in database.execute("SELECT action, fields FROM journal WHERE open_key IS NULL")]
    assert ("exported", '{"count": 1}') in notes
    assert (out / receipt.path).read_bytes() == b"what came"
    index = (out / quarantine.INDEX).read_text()
    assert index in printed and f"{receipt.path}\tundecodable\t" in index
    assert "\t10.0.0.7\t" in index and "MODALITY" not in index, "an AE title can hold a name"
    assert "Example" not in index and "P-0042" not in index
    assert quarantine.listed(database) == []


def come_whole(database: Database, damaged: instances.Receipt, **attributes: str) -> str:
    query = "SELECT sop_instance_uid FROM instances WHERE id = ?"
    (uid,) = database.execute(query, (damaged.instance_id,)).fetchone()
    receipt = instances.add_received(database, new_instance(sop_instance_uid=uid))
    return instances.attach(database, receipt.instance_id, replace(ATTRIBUTES, study_instance_uid="1.2", **attributes))


@pytest.mark.parametrize(
    ("code", "patient", "solved"),
    [
        ("truncated", "P-0042", True),
        ("undecodable", "P-0042", True),
        ("truncated", "P-1", False),
        ("conflicting_duplicate", "P-0042", False),
    ],
)
def test_a_good_copy_solves_what_was_set_aside_as_damaged(
    database: Database, code: str, patient: str, solved: bool
) -> None:
    damaged = put_aside(database, code)
    key = come_whole(database, damaged, patient_id=patient)
    assert [row.study_key for row in studies.worklist(database, 9)] == [key, damaged.study_key][: 2 - solved]
    assert {row.instance_count for row in studies.worklist(database, 9)} == {1}
    (found,) = quarantine.listed(database)
    assert (found.came_whole, found.study_key) == (solved, key if solved else damaged.study_key)
    assert ("It came again whole." in next(quarantine.lines([found]))) is solved
    assert studies.counts(database)["set_aside"] == (not solved)
    assert quarantine.retry(database) == (not solved)


def test_a_good_copy_that_turns_out_bad_leaves_nothing_that_is_read_for_ever(database: Database) -> None:
    come_whole(database, damaged := put_aside(database, "truncated"))
    database.execute("UPDATE instances SET state = 'received'  WHERE id != ?", (damaged.instance_id,))
    database.conn.commit()
    arrival = next_arrival(database)
    assert arrival is not None
    instances.quarantine(database, arrival.instance_id, UnreadableError("undecodable").remark(), None)
    assert [row.state for row in studies.worklist(database, 9)] == [State.QUARANTINED]
    assert [item.came_whole for item in quarantine.listed(database)] == [False, False]
