"""A damaged database is noticed, kept, and made anew from the stored images: all of them."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from edge import __main__ as command_line
from edge.config import DestinationSettings, Settings
from edge.errors import StorageError
from edge.store import facts, outbox, signing
from edge.store.database import connect, damage_mark, writing
from edge.store.reconcile import reconcile
from edge.store.recovery import is_broken, is_sound, prepare
from edge.store.spool import Spool
from tests.support.damage import DAMAGES, garbage, missing, settle
from tests.support.objects import put
from tests.support.studies import put_ready_study


def fill(box: Settings, count: int = 20) -> list[tuple[str, str]]:
    """Stored objects, some of whose rows are in the write-ahead log only."""
    spool = Spool(box, lambda number: None)
    for number in range(count):
        put(spool, bytes([number]) * 1000)
    stored = contents(box)
    copy = box.data_dir / "copy"
    copy.mkdir()
    for file in box.data_dir.glob("chest-edge.sqlite*"):
        shutil.copy(file, copy)
    spool.close()
    for file in copy.iterdir():
        file.replace(box.data_dir / file.name)
    copy.rmdir()
    return stored


def contents(box: Settings) -> list[tuple[str, str]]:
    with connect(box.database) as database:
        return sorted(map(tuple, database.execute("SELECT sop_instance_uid, sha256 FROM instances")))


@pytest.mark.parametrize("damage", DAMAGES)
def test_every_stored_object_comes_back(box: Settings, damage: Callable[[Path], None]) -> None:
    before = fill(box)
    assert len(before) == 20
    damage(box.database)
    assert prepare(box)
    with connect(box.database) as database:
        reconcile(database, box)
        assert facts.text(database, facts.REBUILT_AT)
        assert database.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        assert database.execute("SELECT count(*) FROM studies WHERE state = 'received'").fetchone()[0] == 20
    assert contents(box) == before


def test_what_was_there_is_not_sent_again_and_what_comes_after_is(box: Settings) -> None:
    fill(box, 2)
    name = signing.box_id(box)
    garbage(box.database)
    prepare(box)
    spool = Spool(box, lambda number: None)
    new = put(spool, b"new")
    spool.close()
    with connect(box.database) as database:
        reconcile(database, box)
        keys = [(row["id"], row["study_key"]) for row in database.execute("SELECT id, study_key FROM studies")]
        assert len(keys) == 3
        with writing(database):
            for study_id, _ in keys:
                outbox.plan(database, study_id, 1, 0, [DestinationSettings(name="PACS", objects=("sc",))])
        planned = [row["study_id"] for row in database.execute("SELECT study_id FROM outbox")]
        assert planned == [study_id for study_id, key in keys if key == new.study_key]
        found = next(study_id for study_id, key in keys if key != new.study_key)
        with writing(database):  # as where an image comes that belongs to a study that was there
            database.execute("UPDATE instances SET study_id = ? WHERE id = ?", (found, new.instance_id))
            outbox.plan(database, found, 2, 0, [DestinationSettings(name="PACS", objects=("sc",))])
        assert database.execute("SELECT count(*) FROM outbox WHERE study_id = ?", (found,)).fetchone()[0] == 1
    assert signing.box_id(box) == name


def test_the_damaged_one_is_kept_with_its_log(box: Settings) -> None:
    fill(box)
    garbage(box.database)
    before = [(box.data_dir / f"chest-edge.sqlite{ending}").read_bytes() for ending in ("", "-wal")]
    prepare(box)
    aside = sorted(box.data_dir.glob("chest-edge.sqlite.damaged-*"))
    kept = [file.read_bytes() for file in aside if not file.name.endswith("-shm")]
    assert kept == before and len(before[1]) > 0


def test_a_log_without_its_database_is_not_replayed_into_a_new_one(box: Settings) -> None:
    fill(box)
    missing(box.database)
    shutil.rmtree(box.incoming)
    box.incoming.mkdir()
    assert prepare(box)
    assert contents(box) == []


def test_a_sound_one_is_kept_with_what_only_its_log_holds(box: Settings) -> None:
    before = fill(box)
    assert (box.data_dir / "chest-edge.sqlite-wal").stat().st_size > 0
    assert not prepare(box)
    assert contents(box) == before


def test_an_index_that_differs_from_its_table_is_seen_by_a_thorough_look(box: Settings) -> None:
    fill(box)
    settle(box.database)
    connection = sqlite3.connect(box.database)
    connection.execute("PRAGMA writable_schema=ON")
    change = "UPDATE sqlite_master SET sql = replace(sql, '(state)', '(sha256)') WHERE name = 'instances_by_state'"
    connection.execute(change)
    connection.commit()
    connection.close()
    assert is_sound(box) and not prepare(box)
    assert not is_sound(box, thoroughly=True)
    damage_mark(box.database).touch()
    assert is_broken(box) and prepare(box) and not is_broken(box)


def test_a_first_start_is_no_loss(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    settings.incoming.mkdir()
    assert not prepare(settings)
    assert not prepare(settings)
    with connect(settings.database) as database:
        assert facts.text(database, facts.REBUILT_AT) is None


def test_a_database_that_is_in_use_is_never_moved_aside(box: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(box)
    connection = sqlite3.connect(box.database)
    connection.execute("PRAGMA locking_mode=EXCLUSIVE")
    connection.execute("BEGIN EXCLUSIVE")
    real = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *args, **options: real(*args, **options | {"timeout": 0.1}))
    with pytest.raises(StorageError):
        prepare(box)
    connection.close()
    assert is_sound(box)


def test_damage_met_in_reading_is_an_error_of_the_store(box: Settings) -> None:
    fill(box)
    with connect(box.database) as database:
        database.execute("PRAGMA cache_size=0")
        settle(box.database)
        garbage(box.database)
        for query in ("SELECT * FROM studies", "SELECT * FROM instances"):
            with pytest.raises(StorageError, match="damaged"):
                database.execute(query).fetchall()
        assert is_broken(box)  # for the supervisor, whoever met it
        with pytest.raises(StorageError, match="damaged"), writing(database):
            database.execute("UPDATE studies SET state = 'ready'")
    with pytest.raises(StorageError, match="damaged"):
        connect(box.database)


def test_pictures_of_readings_that_are_forgotten_go(box: Settings) -> None:
    with connect(box.database) as database:
        key = put_ready_study(database)
    (box.results / key).mkdir()
    fill(box)
    garbage(box.database)
    prepare(box)
    assert list(box.results.iterdir()) == []


def test_the_commands_say_what_they_find(box: Settings, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    config = tmp_path / "box.toml"
    config.write_text(f'data_dir = "{box.data_dir}"\n')

    def run(verb: str) -> tuple[int, str]:
        status = command_line.main(["--config", str(config), "store", verb])
        return status, capsys.readouterr().out

    before = fill(box, 3)
    assert run("check")[0] == 0
    garbage(box.database)
    status, said = run("check")
    assert status == 1 and "damaged" in said
    status, said = run("rebuild")
    assert status == 0 and "3" in said
    assert contents(box) == before
    next(box.incoming.glob("*.dcm")).unlink()
    status, said = run("check")
    assert status == 1 and "gone from the disk: 1" in said
