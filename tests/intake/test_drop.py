"""The drop folder: what is ready is taken and removed, everything else stays where it is."""

from __future__ import annotations

import hashlib
import os
import resource
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

from edge.config import Settings
from edge.errors import StorageError
from edge.intake.drop import Drop
from edge.store.database import connect
from edge.store.spool import Spool
from edge.store.studies import worklist
from tests.support import inputs
from tests.support.ways import bare


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "drop"
    folder.mkdir()
    return folder


@pytest.fixture
def woken() -> list[int]:
    return []


@pytest.fixture
def spool(box: Settings, woken: list[int]) -> Iterator[Spool]:
    spool = Spool(box, woken.append)
    yield spool
    spool.close()


@pytest.fixture
def look(folder: Path, spool: Spool) -> Callable[[], None]:
    """Two looks, with nothing to wait for between them."""
    drop = Drop(folder, spool, still_s=0)

    def twice() -> None:
        drop.step()
        drop.step()

    return twice


def stored(box: Settings) -> list[Path]:
    return sorted(box.incoming.iterdir())


def left(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() or path.is_symlink()}


def test_a_dropped_file_is_taken_undecoded_and_removed(
    box: Settings, folder: Path, look: Callable[[], None], woken: list[int]
) -> None:
    name = "CANARY Müller\n\x1b[31m<script>.dcm"
    content = inputs.chest_dicom(folder / name).read_bytes()
    look()
    (file,) = stored(box)
    assert left(folder) == set()
    assert file.read_bytes() == bytes(128) + content[128:]
    assert "CANARY" not in str(file)
    with connect(box.database) as database:
        row = database.execute("SELECT * FROM instances").fetchone()
    dataset = dcmread(file)
    assert (row["sop_instance_uid"], row["sop_class_uid"]) == (dataset.SOPInstanceUID, dataset.SOPClassUID)
    assert row["transfer_syntax_uid"] == dataset.file_meta.TransferSyntaxUID
    assert row["sha256"] == hashlib.sha256(content[-row["size_bytes"] :]).hexdigest()
    assert content[-row["size_bytes"] :][:4] == b"\x08\x00\x16\x00", "the data set begins with its first element"
    assert woken[0] == row["id"]


def test_a_file_that_holds_a_program_in_its_preamble_is_stored_without_it(
    box: Settings, folder: Path, look: Callable[[], None]
) -> None:
    path = inputs.chest_dicom(folder / "a.dcm")
    path.write_bytes(b"#!/bin/sh\nreboot\n".ljust(128, b"\n") + path.read_bytes()[128:])
    look()
    (file,) = stored(box)
    assert file.read_bytes()[:132] == bytes(128) + b"DICM"


def test_a_bare_data_set_is_taken_and_can_be_read(box: Settings, folder: Path, look: Callable[[], None]) -> None:
    dataset = inputs.dx()
    content = bare(dataset)
    (folder / "bare").write_bytes(content)
    look()
    (file,) = stored(box)
    assert file.read_bytes() == bytes(128) + b"DICM" + content
    assert dcmread(file, force=True).SOPInstanceUID == dataset.SOPInstanceUID


def test_a_file_that_still_grows_waits(box: Settings, folder: Path, spool: Spool) -> None:
    content = inputs.chest_dicom(folder / "whole").read_bytes()
    (folder / "whole").unlink()
    drop = Drop(folder, spool, still_s=0)
    growing = folder / "growing.dcm"
    for end in (1000, 5000, 20_000):
        growing.write_bytes(content[:end])
        drop.step()
    assert stored(box) == []
    growing.write_bytes(content)
    drop.step()
    drop.step()
    assert [len(path.read_bytes()) for path in stored(box)] == [len(content)]


def test_a_file_must_stand_still_for_its_time(box: Settings, folder: Path, spool: Spool) -> None:
    inputs.chest_dicom(folder / "a.dcm")
    drop = Drop(folder, spool, still_s=3600)
    for _ in range(3):
        drop.step()
    assert stored(box) == []


def test_a_file_that_a_program_has_open_for_writing_waits(
    box: Settings, folder: Path, look: Callable[[], None]
) -> None:
    path = inputs.chest_dicom(folder / "a.dcm")
    with path.open("ab"):
        look()
        assert stored(box) == []
    look()
    assert len(stored(box)) == 1


def test_what_is_renamed_into_place_is_taken_and_temporary_names_are_not(
    box: Settings, folder: Path, look: Callable[[], None]
) -> None:
    names = {"a.dcm.part", ".hidden.dcm", "~a.dcm", "b.TMP", "c.filepart"}
    for name in names:
        inputs.chest_dicom(folder / name)
    look()
    assert (stored(box), left(folder)) == ([], names)
    (folder / "a.dcm.part").rename(folder / "a.dcm")
    look()
    assert len(stored(box)) == 1


def test_links_pipes_sockets_and_folders_in_a_loop_are_left_alone(
    box: Settings, folder: Path, tmp_path: Path, look: Callable[[], None]
) -> None:
    secret = inputs.chest_dicom(tmp_path / "secret.dcm")
    (folder / "link.dcm").symlink_to(secret)
    (folder / "below").mkdir()
    (folder / "below" / "loop").symlink_to(folder)
    (folder / "away").symlink_to(tmp_path)
    os.mkfifo(folder / "pipe.dcm")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "socket.dcm"))
        inputs.chest_dicom(folder / "below" / "good.dcm")
        look()
    assert len(stored(box)) == 1
    assert secret.exists() and (folder / "pipe.dcm").exists() and (folder / "link.dcm").is_symlink()


def test_what_is_no_dicom_is_left_and_looked_at_once(
    box: Settings, folder: Path, look: Callable[[], None], capfd: pytest.CaptureFixture[str]
) -> None:
    inputs.empty_file(folder / "empty")
    inputs.text_file(folder / "CANARY.dcm")
    inputs.zip_file(folder / "archive.zip")
    inputs.chest_png(folder / "picture.png")
    for _ in range(3):
        look()
    assert stored(box) == []
    assert left(folder) == {"empty", "CANARY.dcm", "archive.zip", "picture.png"}
    logged = capfd.readouterr().err
    assert logged.count("not_dicom") == 1 and '"count": 3' in logged
    assert "CANARY" not in logged


def test_a_file_of_four_sparse_gigabytes_is_left(box: Settings, folder: Path, look: Callable[[], None]) -> None:
    path = inputs.chest_dicom(folder / "huge.dcm")
    os.truncate(path, 4 << 30)
    look()
    assert (stored(box), left(folder)) == ([], {"huge.dcm"})


def test_memory_stays_small_for_a_large_file(box: Settings, folder: Path, look: Callable[[], None]) -> None:
    path = inputs.chest_dicom(folder / "large.dcm")
    size_bytes = 300 << 20
    os.truncate(path, size_bytes)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    look()
    assert [file.stat().st_size for file in stored(box)] == [size_bytes]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10


def test_a_full_box_leaves_the_files_until_there_is_room(
    box: Settings, folder: Path, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        inputs.chest_dicom(folder / f"{number}.dcm")
    drop = Drop(folder, spool, still_s=0)
    drop.step()

    def full(*_: object) -> None:
        raise StorageError("disk_full")

    with monkeypatch.context() as patched:
        patched.setattr("edge.store.spool.write_durably", full)
        drop.step()
    assert (stored(box), len(left(folder))) == ([], 3)
    drop.step()
    assert len(left(folder)) == 3, "a full box is not asked again at once"
    again = Drop(folder, spool, still_s=0)
    again.step()
    again.step()
    assert (len(stored(box)), left(folder)) == (3, set())


def ends(box: Settings) -> list[str]:
    with connect(box.database) as database:
        return [row["state"] for row in database.execute("SELECT state FROM associations ORDER BY id")]


def test_a_box_that_fills_up_within_a_delivery_breaks_nothing_off(
    box: Settings, folder: Path, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        inputs.chest_dicom(folder / f"{number}.dcm")
    drop = Drop(folder, spool, still_s=0)
    drop.step()
    real = spool.keep

    def keep(*args: Any) -> Any:
        if stored(box):
            raise StorageError("no_room")
        return real(*args)

    with monkeypatch.context() as patched:
        patched.setattr(spool, "keep", keep)
        drop.step()
    assert (ends(box), len(stored(box)), left(folder)) == (["released"], 1, {"1.dcm", "2.dcm"})
    again = Drop(folder, spool, still_s=0)
    again.step()
    again.step()
    assert (ends(box), len(stored(box))) == (["released"] * 2, 3)


def test_a_box_that_stops_within_a_delivery_breaks_nothing_off(box: Settings, folder: Path, spool: Spool) -> None:
    for number in range(3):
        inputs.chest_dicom(folder / f"{number}.dcm")
    drop = Drop(folder, spool, stopping=lambda: bool(stored(box)), still_s=0)
    drop.step()
    drop.step()
    assert (ends(box), len(stored(box)), left(folder)) == (["released"], 1, {"1.dcm", "2.dcm"})


def test_what_cannot_be_removed_is_not_taken_again_and_again(
    box: Settings, folder: Path, look: Callable[[], None], woken: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs.chest_dicom(folder / "a.dcm")

    def forbidden(*_: object, **__: object) -> None:
        raise PermissionError

    monkeypatch.setattr("edge.intake.tree.os.unlink", forbidden)
    look()
    look()
    assert (len(stored(box)), left(folder)) == (1, {"a.dcm"})
    times = len(woken)
    look()
    assert len(woken) == times


def test_an_unreadable_file_is_left_and_the_others_are_taken(
    box: Settings, folder: Path, look: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.dcm", "forbidden.dcm", "z.dcm"):
        inputs.chest_dicom(folder / name)
    real = os.open

    def guarded(path: str, *args: int, **rest: int) -> int:  # root may read everything, so that modes prove nothing
        if path == "forbidden.dcm":
            raise PermissionError(13, "")
        return real(path, *args, **rest)

    monkeypatch.setattr("edge.intake.tree.os.open", guarded)
    look()
    assert (len(stored(box)), left(folder)) == (2, {"forbidden.dcm"})


def test_a_folder_of_ten_thousand_files_is_taken(box: Settings, folder: Path, look: Callable[[], None]) -> None:
    path = inputs.chest_dicom(folder / "template")
    head = path.read_bytes()[:600]
    path.unlink()
    for number in range(10_000):
        below = folder / f"{number % 20}"
        below.mkdir(exist_ok=True)
        (below / f"{number}.txt").write_bytes(b"no image")
    for number in range(20):
        (folder / f"{number}" / "image.dcm").write_bytes(head + b"%04d" % number)
    look()
    assert len(stored(box)) == 20
    assert len(left(folder)) == 10_000


def test_a_folder_that_is_not_there_yet_is_waited_for(
    box: Settings, folder: Path, spool: Spool, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(folder)
    Drop(folder, spool, still_s=0).step()
    assert capfd.readouterr().err.count("drop_folder_unreadable") == 1


def test_what_is_dropped_together_is_one_delivery(box: Settings, folder: Path, look: Callable[[], None]) -> None:
    for number in range(3):
        inputs.chest_dicom(folder / f"{number}.dcm")
    look()
    with connect(box.database) as database:
        deliveries = database.execute("SELECT state, way, count(*) FROM associations GROUP BY state").fetchall()
        rows = database.execute("SELECT DISTINCT association_id FROM instances").fetchall()
    assert [tuple(row) for row in deliveries] == [("released", "folder", 1)]
    assert len(rows) == 1 and rows[0][0] is not None


def test_an_object_dropped_twice_is_kept_once(box: Settings, folder: Path, look: Callable[[], None]) -> None:
    path = inputs.chest_dicom(folder / "a.dcm")
    shutil.copy(path, folder / "b.dcm")
    look()
    assert (len(stored(box)), left(folder), len(worklist(box.database, 10))) == (1, set(), 1)
