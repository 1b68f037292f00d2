"""What stays in the drop folder, and a folder that is not well, are told to the page and the doctor."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edge.config import IntakeSettings, Settings
from edge.errors import StorageError
from edge.intake.drop import Drop
from edge.intake.tree import MOST_BYTES, MOST_FILES
from edge.store import dropped
from edge.store.database import connect
from edge.store.dropped import Standing
from edge.store.spool import Spool
from tests.support import inputs
from tests.support.box import eventually, running
from tests.support.studies import ready_box


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "drop"
    folder.mkdir()
    return folder


def looked(folder: Path, spool: Spool) -> list[Standing]:
    """What is told of a folder by two looks."""
    told: list[Standing] = []
    drop = Drop(folder, spool, tell=told.append, still_s=0)
    drop.step()
    drop.step()
    return told


def test_the_process_tells_what_stays_until_it_is_gone_and_what_it_told_dies_with_it(tmp_path: Path) -> None:
    folder = tmp_path / "drop"
    folder.mkdir()
    box = replace(ready_box(tmp_path / "box"), intake=IntakeSettings(folder=str(folder)))
    inputs.text_file(folder / "CANARY.dcm")
    inputs.text_file(folder / "text.dcm")
    inputs.empty_file(folder / "zero.dcm")
    database = connect(box.database)

    def told(standing: Standing) -> Callable[[], bool]:
        return lambda: dropped.standing(database) == standing

    assert told(Standing(trouble="unwatched", left={}))()
    with running("intake", box) as process:
        eventually(told(Standing(left={"not_dicom": 2, "empty_file": 1})))
        assert all("CANARY" not in str(tuple(row)) for row in database.execute("SELECT * FROM facts"))
        for path in folder.iterdir():
            path.unlink()
        eventually(told(Standing(left={})))
        folder.rmdir()
        eventually(told(Standing(trouble="missing", left={})))
        folder.mkdir()
        eventually(told(Standing(left={})))
        process.kill()
        process.wait()
        assert told(Standing(trouble="unwatched", left={}))()
    with running("intake", box):
        eventually(told(Standing(left={})))
    database.close()


def test_every_reason_is_told_in_words(folder: Path, spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs.text_file(folder / "text.dcm")
    inputs.empty_file(folder / "zero.dcm")
    for name in ("huge.dcm", "forbidden.dcm", "stuck.dcm"):
        inputs.chest_dicom(folder / name)
    os.truncate(folder / "huge.dcm", MOST_BYTES + 1)
    real = os.open

    def guarded(path: str, *args: int, **rest: int) -> int:
        if path == "forbidden.dcm":
            raise PermissionError(13, "")
        return real(path, *args, **rest)

    def forbidden(*_: object, **__: object) -> None:
        raise PermissionError

    monkeypatch.setattr("edge.intake.tree.os.open", guarded)
    monkeypatch.setattr("edge.intake.tree.os.unlink", forbidden)
    left = looked(folder, spool)[-1].left
    assert left == dict.fromkeys(("not_dicom", "empty_file", "too_large", "unopenable", "not_removed"), 1)
    assert left.keys() <= dropped.REASONS.keys()


def test_an_empty_file_is_taken_once_it_is_filled(folder: Path, spool: Spool, box: Settings) -> None:
    told: list[Standing] = []
    drop = Drop(folder, spool, tell=told.append, still_s=0)
    inputs.empty_file(folder / "a.dcm")
    for _ in range(3):
        drop.step()
    assert told[-1].left == {"empty_file": 1}
    inputs.chest_dicom(folder / "a.dcm")
    for _ in range(3):
        drop.step()
    assert told[-1].left == {} and len(list(box.incoming.iterdir())) == 1


def test_only_a_change_is_told_and_what_could_not_be_told_is_told_again(folder: Path, spool: Spool) -> None:
    told: list[Standing] = []

    def tell(standing: Standing) -> None:
        told.append(standing)
        if len(told) == 1:
            raise StorageError("disk_full")

    drop = Drop(folder, spool, tell=tell, still_s=0)
    with pytest.raises(StorageError):
        drop.step()
    for _ in range(3):
        drop.step()
    assert told == [Standing(left={})] * 2


def test_more_useless_files_than_are_thought_about_at_once_hide_no_good_one(
    box: Settings, folder: Path, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.intake.drop.MOST_FILES", 300)
    assert MOST_FILES > 300
    for number in range(1000):
        (folder / f"a{number:05}.txt").write_bytes(b"no image")
    told: list[Standing] = []
    drop = Drop(folder, spool, tell=told.append, still_s=0)
    for _ in range(2):
        drop.step()
    assert told[-1].left == {"not_dicom": 300}
    inputs.chest_dicom(folder / "z.dcm")
    for _ in range(8):
        drop.step()
    assert told[-1].left == {"not_dicom": 1000}
    assert len(list(box.incoming.iterdir())) == 1 and not (folder / "z.dcm").exists()


def test_a_folder_that_is_none_is_told(tmp_path: Path, folder: Path, spool: Spool) -> None:
    assert dropped.trouble(folder) == ""
    shutil.rmtree(folder)
    assert [standing.trouble for standing in looked(folder, spool)] == ["missing"]
    folder.write_text("")
    assert [standing.trouble for standing in looked(folder, spool)] == ["no_folder"]
    assert dropped.trouble(folder / "below") == "missing"


@pytest.mark.parametrize(("denied", "code"), [(os.R_OK, "unreadable"), (os.W_OK, "not_emptied")])
def test_a_folder_that_may_not_be_used_is_told(
    folder: Path, spool: Spool, monkeypatch: pytest.MonkeyPatch, denied: int, code: str
) -> None:
    inputs.text_file(folder / "text.dcm")
    monkeypatch.setattr("edge.store.dropped.os.access", lambda path, mode: not mode & denied)  # root may do all
    assert looked(folder, spool)[-1] == Standing(trouble=code, left={"not_dicom": 1})


@pytest.mark.parametrize(
    ("code", "reason"), [("no_room", "no_room"), ("disk_full", "no_room"), ("forbidden", "not_stored")]
)
def test_files_that_the_box_cannot_store_now_are_told_of(
    folder: Path, spool: Spool, monkeypatch: pytest.MonkeyPatch, code: str, reason: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise StorageError(code)

    monkeypatch.setattr(spool, "keep", refuse)
    inputs.chest_dicom(folder / "a.dcm")
    assert looked(folder, spool)[-1] == Standing(left={reason: 1})
