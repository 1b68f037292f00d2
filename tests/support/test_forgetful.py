"""The forgetful disk forgets what was not flushed, and only that."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import forgetful
from tests.support.forgetful import Disk

pytestmark = pytest.mark.skipif(forgetful.why_not() is not None, reason=str(forgetful.why_not()))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with forgetful.mounted(tmp_path / "disk") as disk:
        yield disk


def flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def cut(disk: Disk, seed: int | None = None) -> None:
    disk.cut(seed)
    disk.power_on()


@pytest.mark.parametrize(
    ("flushed", "expected"), [("", None), ("file", None), ("folder", b""), ("file folder", b"content")]
)
def test_a_file_stays_where_it_and_its_folder_were_flushed(disk: Disk, flushed: str, expected: bytes | None) -> None:
    path = disk.path / "a"
    path.write_bytes(b"content")
    assert path.read_bytes() == b"content"
    for what in flushed.split():
        flush({"file": path, "folder": disk.path}[what])
    cut(disk)
    assert (path.read_bytes() if path.exists() else None) == expected


def test_a_rename_that_was_not_flushed_is_undone(disk: Disk) -> None:
    (disk.path / "a").write_bytes(b"content")
    flush(disk.path / "a")
    flush(disk.path)
    (disk.path / "a").replace(disk.path / "b")
    cut(disk)
    assert os.listdir(disk.path) == ["a"]


def test_nothing_works_while_the_power_is_off(disk: Disk) -> None:
    with (disk.path / "a").open("wb", buffering=0) as file:
        disk.cut()
        with pytest.raises(OSError):
            file.write(b"content")
        with pytest.raises(OSError):
            os.fsync(file.fileno())
    with pytest.raises(OSError):
        (disk.path / "b").write_bytes(b"content")


def test_with_a_seed_any_part_may_have_reached_the_disk(disk: Disk) -> None:
    seen = set()
    for seed in range(20):
        path = disk.path / str(seed)
        path.write_bytes(b"1" * 4096 + b"2" * 4096)
        cut(disk, seed)
        seen.add(path.read_bytes() if path.exists() else None)
    assert None in seen and b"" in seen and len(seen) >= 4


def test_the_nth_write_or_flush_fails_once(disk: Disk) -> None:
    disk.fail(2, errno.ENOSPC)
    with (disk.path / "a").open("wb", buffering=0) as file:
        file.write(b"1")
        with pytest.raises(OSError) as failed:
            os.fsync(file.fileno())
        os.fsync(file.fileno())
    assert (failed.value.errno, disk.hit()) == (errno.ENOSPC, "fsync /a")


def test_a_database_in_wal_mode_keeps_each_commit(disk: Disk) -> None:
    path = disk.path / "a.sqlite"
    for number in range(5):
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("CREATE TABLE IF NOT EXISTS t (n)")
        flush(disk.path)
        connection.execute("INSERT INTO t VALUES (?)", (number,))
        connection.commit()
        disk.cut(number)
        connection.close()
        disk.power_on()
    connection = sqlite3.connect(path)
    assert [row[0] for row in connection.execute("SELECT n FROM t")] == [0, 1, 2, 3, 4]
    connection.close()
