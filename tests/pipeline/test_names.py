"""What is written beside a reading is whole or not there."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from edge.errors import SetupError
from edge.pipeline.names import OwnNames
from edge.store import files


@pytest.mark.parametrize(
    ("number", "code"), [(errno.ENOSPC, "no_space"), (errno.EROFS, "read_only"), (errno.EACCES, "no_permission")]
)
def test_what_could_not_be_written_leaves_no_half_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, code: str
) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(number, "as told")

    names = OwnNames(tmp_path / "out", [])
    path = names.take(tmp_path / "a.dcm", ".sc.dcm")
    monkeypatch.setattr(files.os, "fsync", fail)
    with pytest.raises(SetupError) as caught:
        names.write(path, b"half an object")
    assert caught.value.code == code and str(path) in str(caught.value)
    assert list((tmp_path / "out").iterdir()) == []
