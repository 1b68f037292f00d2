"""The room that is kept back: taken where there is plenty, given up where there is none, and never in the way."""

from __future__ import annotations

import os
import shutil
from collections import namedtuple

import pytest

from edge.config import Settings
from edge.store import reserve

_Usage = namedtuple("_Usage", "total used free")
_MEGABYTE = 1 << 20


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Megabytes that the disk has left, as the test says."""
    left = {"mb": 1000}
    monkeypatch.setattr(shutil, "disk_usage", lambda path: _Usage(0, 0, left["mb"] * _MEGABYTE))
    return left


def test_it_is_taken_for_real_and_given_up_when_the_disk_is_full(box: Settings, free: dict[str, int]) -> None:
    reserve.take(box)
    assert box.reserve.stat().st_blocks * 512 >= 4 * _MEGABYTE
    reserve.give_up(box)
    assert box.reserve.exists()
    free["mb"] = 3
    reserve.give_up(box)
    assert not box.reserve.exists()


@pytest.mark.parametrize(("mb", "is_taken"), [(3, False), (15, False), (16, True)])
def test_it_is_taken_again_only_where_there_is_several_times_as_much(
    box: Settings, free: dict[str, int], mb: int, is_taken: bool
) -> None:
    free["mb"] = mb
    reserve.take(box)
    assert box.reserve.exists() is is_taken


def test_one_that_was_begun_and_not_filled_is_filled(box: Settings, free: dict[str, int]) -> None:
    box.reserve.touch()
    reserve.take(box)
    assert box.reserve.stat().st_size == 4 * _MEGABYTE


def test_a_disk_that_does_not_let_it_holds_nothing_up(
    box: Settings, free: dict[str, int], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "no inode is left")

    monkeypatch.setattr(os, "posix_fallocate", fail)
    reserve.take(box)
    assert '"no_reserve"' in capfd.readouterr().err
