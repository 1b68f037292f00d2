"""What goes wrong in the box itself while objects leave: files, disk, key, and errors that nobody expected."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from edge.config import Settings
from edge.errors import StorageError
from edge.export import cstore, making
from edge.export.cstore import CStore
from edge.export.making import Maker
from edge.store import outbox, signing
from edge.store.database import connect
from tests.export.test_courier import Clock, words
from tests.support.box import eventually
from tests.support.exports import Archive, archive, box_with, courier, drain, put_result, states

pytestmark = pytest.mark.usefixtures("small_objects")


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.mark.parametrize("damage", [lambda whole: b"", lambda whole: whole[:-40], lambda whole: None])
def test_a_file_that_the_disk_damaged_is_made_again(
    tmp_path: Path, later: Clock, damage: Callable[[bytes], bytes | None]
) -> None:
    peer = Archive(status=lambda number: 0xA700 if number == 0 else 0)
    with peer.running() as port:
        box = box_with(tmp_path, archive(port))
        key = put_result(box)
        put_result(box)
        with courier(box) as sender:
            drain(sender)
            file = box.results / key / "1" / "sc.dcm"
            left = damage(file.read_bytes())
            file.unlink()
            if left is not None:
                file.write_bytes(left)
            later.now += 100
            drain(sender)
    assert states(box) == ["stored"] * 2
    assert [len(digests) for digests in peer.digests.values()] == [1, 1], "what arrives is whole, and the same"


def test_a_file_that_vanishes_before_it_is_sent_costs_a_step_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from edge.export.run import _Round

    monkeypatch.setattr("edge.export.run._STORE_FAILED_S", 0.0)
    with Archive().running() as port:
        box = box_with(tmp_path, archive(port))
        put_result(box)
        whole, gone = CStore.connected, [True]

        def connected(self: CStore, paths: list[Path]) -> object:
            if gone.pop() if gone else False:
                paths[0].unlink()
            return whole(self, paths)

        monkeypatch.setattr(CStore, "connected", connected)
        each = _Round(box, box.destination[0], Maker(box), lambda number: None)
        each.start()
        eventually(lambda: states(box) == ["stored"], 20)
        assert each.is_alive()
        each.stop()
        each.join()
    assert each.exit_status == 0 and "FileNotFoundError" in capfd.readouterr().err


def test_one_that_fails_as_nobody_expected_holds_up_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, later: Clock
) -> None:
    with Archive().running() as port:
        box = box_with(tmp_path, archive(port))
        bad = put_result(box)
        put_result(box)
        whole = cstore.dcmread

        def read(path: Path) -> Dataset:
            if bad in path.parts:
                raise AttributeError("file_meta")
            return whole(path)

        monkeypatch.setattr(cstore, "dcmread", read)
        with courier(box) as sender:
            for _ in range(3):
                drain(sender)
                later.now += 100
    assert states(box) == ["queued", "stored"] and words(box)["code"] == "object_failed"


def test_what_a_newer_result_replaces_while_others_are_sent_does_not_leave(tmp_path: Path) -> None:
    box_of: list[Settings] = []

    def replace_second(number: int) -> int:
        if number == 0:
            database = connect(box_of[0].database)
            database.execute("UPDATE outbox SET state = 'superseded' WHERE id = 2")
            database.conn.commit()
            database.close()
        return 0

    peer = Archive(status=replace_second)
    with peer.running() as port:
        box = box_with(tmp_path, archive(port))
        box_of.append(box)
        put_result(box)
        put_result(box)
        with courier(box) as sender:
            drain(sender)
    assert states(box) == ["stored", "superseded"] and len(peer.stored) == 1


def test_a_full_disk_makes_nothing_dead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise StorageError("disk_full")

    with Archive().running() as port:
        box = box_with(tmp_path, archive(port))
        put_result(box)
        with monkeypatch.context() as full, courier(box) as sender:
            full.setattr(making, "write_durably", refuse)
            for _ in range(outbox.MAX_MAKINGS + 1):
                with pytest.raises(StorageError):
                    sender.step()
        with courier(box) as sender:
            drain(sender)
    assert states(box) == ["stored"]


def test_a_key_that_is_none_holds_up_the_paper_alone(tmp_path: Path, later: Clock) -> None:
    with Archive().running() as port:
        box = box_with(tmp_path, archive(port, objects=("pdf", "sc")))
        put_result(box)
        key = signing.key_file(box)
        key.parent.mkdir(exist_ok=True)
        key.write_text("no key")
        with courier(box) as sender:
            for _ in range(outbox.MAX_MAKINGS + 2):
                drain(sender)
                later.now += 4000
            assert states(box) == ["queued", "stored"] and words(box)["code"] == "bad_certificates"
            key.unlink()
            drain(sender)
    assert states(box) == ["stored"] * 2
