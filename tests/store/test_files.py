"""Files on the disk: whole, or as they were before."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.errors import StorageError
from edge.store.files import write_durably


def running_out() -> Iterator[bytes]:
    yield b"half"
    raise OSError(errno.ENOSPC, "no room")


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="disk_full"):
        write_durably(tmp_path / "new", running_out())
    assert list(tmp_path.iterdir()) == []


def test_a_failed_replacement_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "box.pem"
    write_durably(path, [b"old"])
    with pytest.raises(StorageError, match="disk_full"):
        write_durably(path, running_out())
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
