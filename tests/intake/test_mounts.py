"""Which stick is which: two that follow each other at one place must not be taken for one."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge import clock
from edge.intake import mounts
from edge.intake.mounts import Mount, below


@contextmanager
def stick(image: Path, place: Path) -> Iterator[Mount]:
    """A stick in the only port: a loop device that is mounted at a place."""
    image.write_bytes(bytes(4 << 20))
    subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True)
    if os.geteuid() != 0 or subprocess.run(["mount", "-o", "loop,ro", image, place], check=False).returncode:
        pytest.skip("no right to mount a file system here")
    try:
        (found,) = [mount for mount in below(place.parent)() if mount.path == place]
        yield found
    finally:
        subprocess.run(["umount", "-d", place], check=True)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    place = tmp_path / "media" / "usb"
    place.mkdir(parents=True)
    return place


def test_the_next_stick_in_the_same_port_has_another_key(tmp_path: Path, place: Path) -> None:
    with stick(tmp_path / "a.img", place) as first:
        (again,) = below(place.parent)()
        assert again.key == first.key and not first.is_writable
    with stick(tmp_path / "b.img", place) as second:
        assert (second.path, second.device) == (first.path, first.device)
        assert second.key != first.key


def test_a_stick_has_another_key_after_the_machine_was_started_anew(
    tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with stick(tmp_path / "a.img", place) as before:
        monkeypatch.setattr(clock, "boot_id", lambda: "another")
        (after,) = below(place.parent)()
    assert after.key != before.key


@pytest.mark.parametrize("device", ["8:16", "8:17"], ids=["whole disk", "partition"])
def test_the_number_of_the_disk_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str) -> None:
    disk, listed = tmp_path / "sys" / "block" / "sdb", tmp_path / "sys" / "dev"
    (disk / "sdb1").mkdir(parents=True)
    listed.mkdir()
    (listed / "8:16").symlink_to(disk)
    (listed / "8:17").symlink_to(disk / "sdb1")
    info = tmp_path / "mountinfo"
    info.write_text(f"42 27 {device} / {tmp_path / 'media'} ro,relatime - vfat /dev/sdb1 ro\n")
    (tmp_path / "media").mkdir()
    monkeypatch.setattr(mounts, "_MOUNTINFO", info)
    monkeypatch.setattr(mounts, "_DEVICES", listed)

    keys = set()
    for number in (None, "11\n", "12\n"):
        if number:
            (disk / "diskseq").write_text(number)
        keys |= {mount.key for mount in below(tmp_path)()}
    assert len(keys) == 3
