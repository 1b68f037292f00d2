"""A box that may not write to its own folders says so, and counts nothing as gone that it cannot see."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.errors import SetupError, StorageError
from edge.pipeline.supervisor import locked
from edge.store.database import connect
from edge.store.reconcile import difference
from edge.store.spool import Delivery, Spool
from edge.web.app import create_app
from tests.support.rights import ordinary
from tests.support.studies import ready_box


@pytest.mark.parametrize("mode", [0o500, 0o000])
@pytest.mark.parametrize("name", ["incoming", "results", "run"])
def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path, name: str, mode: int) -> None:
    box = ready_box(tmp_path)
    page = create_app(box).test_client()
    assert "cannot store images" not in page.get("/").text
    (tmp_path / name).chmod(mode)
    with ordinary():
        assert all("The box cannot store images" in page.get(address).text for address in ("/", "/status"))
        with pytest.raises(SetupError, match=f"no_permission.*{name}"), locked(box):
            pass
    (tmp_path / name).chmod(0o700)
    assert "cannot store images" not in page.get("/").text


def test_images_that_cannot_be_seen_are_refused_and_none_counts_as_gone(tmp_path: Path) -> None:
    box = ready_box(tmp_path)
    spool = Spool(box, lambda number: None)
    spool.keep(b"", b"content", Delivery())
    box.incoming.chmod(0)
    with ordinary(), connect(box.database) as database:
        with pytest.raises(StorageError, match="forbidden"):
            difference(database, box)
        with pytest.raises(StorageError, match="forbidden"):
            spool.keep(b"", b"other", Delivery())
    box.incoming.chmod(0o700)
    spool.close()
