"""Which sticks are mounted, by the kernel's own list (proc_pid_mountinfo(5)).

Something else mounts them: systemd or udisks, read-only and with noexec, nosuid and nodev. Rejected:
mounting them here, which needs root and hands foreign file systems to the kernel by our own hand.

The kernel gives the number of a mount out again, but never that of a disk (``diskseq``, Linux 5.15).
On an older one, a stick that takes the place of another while nobody looks is taken for that one.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from edge import clock

_MOUNTINFO = Path("/proc/self/mountinfo")
_DEVICES = Path("/sys/dev/block")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """One mounted stick.

    Attributes
    ----------
    key : tells this stick in its place from every other, of every boot; a hash, since a label can be a name.
    device : the kernel's entry of its block device, which goes when the stick is pulled; None without one.
    """

    key: str
    path: Path
    is_writable: bool
    device: Path | None = None

    def is_there(self) -> bool:
        """Whether the device has not been pulled."""
        return self.path.is_dir() and (self.device is None or self.device.exists())


Mounts = Callable[[], list[Mount]]
"""Lists the sticks that are there now."""


def below(folder: Path) -> Mounts:
    """What is mounted below a folder."""

    def listed() -> list[Mount]:
        lines = _MOUNTINFO.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
        found = (_mount(line.split()) for line in lines)
        return [mount for mount in found if folder in mount.path.parents and mount.is_there()]

    return listed


def _mount(fields: list[str]) -> Mount:
    number, device, path, options = fields[0], fields[2], Path(_unescaped(fields[4])), fields[5]
    entry = _DEVICES / device
    names = f"{clock.boot_id()} {_disk_number(entry)} {number} {device} {path}"
    return Mount(
        key=hashlib.sha256(names.encode(errors="surrogateescape")).hexdigest(),
        path=path,
        is_writable="ro" not in options.split(",") and "ro" not in fields[-1].split(","),
        device=entry if entry.exists() else None,
    )


def _disk_number(entry: Path) -> str:
    """The number that the kernel gives to no other disk of this boot; empty where it counts none."""
    place = entry.resolve()
    for folder in (place, place.parent):  # that of a partition stands with its disk
        with suppress(OSError):
            return (folder / "diskseq").read_text(encoding="ascii")
    return ""


def _unescaped(path: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), path)
