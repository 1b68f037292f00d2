"""The one door into the store: how a delivery ends whose end could not be stored at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.errors import StorageError
from edge.store import associations
from edge.store.database import connect
from edge.store.spool import Spool
from tests.support.studies import ready_box


def test_an_end_that_could_not_be_stored_is_stored_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    box, woken = ready_box(tmp_path), list[int]()
    spool, database = Spool(box, woken.append), connect(box.database)

    def full(*_: object) -> None:
        raise StorageError("disk_full")

    def ends() -> list[str]:
        return [row["state"] for row in database.execute("SELECT state FROM associations ORDER BY id")]

    with monkeypatch.context() as patched:
        patched.setattr(associations, "finish", full)
        with spool.together():
            pass
        with pytest.raises(ZeroDivisionError), spool.together():
            raise ZeroDivisionError
    assert (ends(), woken) == (["open", "open"], [])
    with spool.together():
        assert ends() == ["released", "aborted", "open"]
    assert (ends(), woken) == (["released", "aborted", "released"], [1, 2, 3])
    spool.close()
    database.close()
