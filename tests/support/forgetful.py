"""A file system that forgets what was not flushed: POSIX's least promise, taken at its word.

``fsync`` of a file keeps its content and nothing else; ``fsync`` of a folder keeps the names in
it. A cut of the power throws the rest away, or, with a seed, a random part of it: single pages,
lengths and names, as a disk that writes in any order does (Pillai et al., "All File Systems Are
Not Created Equal", OSDI 2014). A rename is one change. Until the power is on again everything
fails. The Nth write or flush can be made to fail too. Lives in the memory of its process.
"""

from __future__ import annotations

import errno
import itertools
import os
import random
import stat
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import mfusepy

_PAGE = 4096
_CONTROL = "user.power"
_HIT = "user.hit"


@dataclass(eq=False)
class Node:
    """A file, a link (whose target is its data) or a folder."""

    mode: int
    data: bytearray = field(default_factory=bytearray)
    kept: bytes = b""
    names: dict[str, Node] = field(default_factory=dict)
    kept_names: dict[str, Node] = field(default_factory=dict)
    pending: list[tuple[tuple[str, Node | None], ...]] = field(default_factory=list)
    changed_ns: int = field(default_factory=time.time_ns)

    def change(self, *changes: tuple[str, Node | None]) -> None:
        """Change names of a folder, all of them together."""
        _apply(self.names, changes)
        self.pending.append(changes)

    def flush(self) -> None:
        """What ``fsync`` promises."""
        self.kept = bytes(self.data)
        self.kept_names = dict(self.names)
        self.pending = []

    def cut(self, chance: random.Random | None) -> None:
        """Become what the disk has, with all that is below."""
        if chance is not None:
            self.kept = _mixed(self.kept, bytes(self.data), chance)
            for changes in self.pending:
                if chance.random() < 0.5:
                    _apply(self.kept_names, changes)
        self.data, self.names, self.pending = bytearray(self.kept), dict(self.kept_names), []
        for node in self.names.values():
            node.cut(chance)


def _apply(names: dict[str, Node], changes: tuple[tuple[str, Node | None], ...]) -> None:
    for name, node in changes:
        if node is None:
            names.pop(name, None)
        else:
            names[name] = node


def _mixed(old: bytes, new: bytes, chance: random.Random) -> bytes:
    length = len(chance.choice((old, new)))
    longest = max(len(old), len(new))
    old, new = old.ljust(longest, b"\0"), new.ljust(longest, b"\0")
    pages = (chance.choice((old, new))[start : start + _PAGE] for start in range(0, longest, _PAGE))
    return b"".join(pages)[:length]


class Forgetful(mfusepy.Operations):  # type: ignore[misc]
    """The operations; ``setxattr`` on the root switches the power and orders failures."""

    use_ns = True

    def __init__(self) -> None:
        self.root = Node(stat.S_IFDIR | 0o700)
        self.handles: dict[int, Node] = {}
        self.numbers = itertools.count(1)
        self.is_on = True
        self.countdown, self.errno, self.hit = 0, 0, ""

    def node(self, path: str) -> Node:
        """The node of a path."""
        if not self.is_on and path != "/":
            raise mfusepy.FuseOSError(errno.EIO)
        found = self.root
        for name in filter(None, path.split("/")):
            if name not in found.names:
                raise mfusepy.FuseOSError(errno.ENOENT)
            found = found.names[name]
        return found

    def place(self, path: str) -> tuple[Node, str]:
        """The folder of a path, and the name in it."""
        folder, _, name = path.rpartition("/")
        return self.node(folder), name

    def work(self, what: str, path: str) -> None:
        """Count a write or flush, and fail where it is its turn."""
        if not self.is_on:
            raise mfusepy.FuseOSError(errno.EIO)
        if self.countdown:
            self.countdown -= 1
            if not self.countdown:
                self.hit = f"{what} {path}"
                raise mfusepy.FuseOSError(self.errno)

    def opened(self, node: Node) -> int:
        number = next(self.numbers)
        self.handles[number] = node
        return number

    def add(self, path: str, node: Node) -> Node:
        folder, name = self.place(path)
        folder.change((name, node))
        return node

    # Control

    def setxattr(self, path: str, name: str, value: bytes, options: int, position: int = 0) -> int:
        order, *numbers = value.decode().split()
        if order == "cut":
            self.root.cut(random.Random(int(numbers[0])) if numbers else None)
            self.is_on = False
        elif order == "on":
            self.is_on = True
        else:
            self.countdown, self.errno, self.hit = int(numbers[0]), int(numbers[1]), ""
        return 0

    def getxattr(self, path: str, name: str, position: int = 0) -> bytes:
        if path != "/" or name != _HIT:
            raise mfusepy.FuseOSError(errno.ENODATA)
        return self.hit.encode()

    # Names

    def getattr(self, path: str, fh: int | None = None) -> dict[str, int]:
        node = self.handles[fh] if fh else self.node(path)
        moment = {f"st_{which}time": node.changed_ns for which in "amc"}
        size = len(node.data)
        return {"st_mode": node.mode, "st_nlink": 1, "st_size": size, "st_blocks": -(-size // 512), **moment}

    def readdir(self, path: str, fh: int) -> list[str]:
        return [".", "..", *self.node(path).names]

    def mkdir(self, path: str, mode: int) -> int:
        self.add(path, Node(stat.S_IFDIR | mode))
        return 0

    def symlink(self, target: str, source: str) -> int:
        self.add(target, Node(stat.S_IFLNK | 0o777, bytearray(source.encode()), kept=source.encode()))
        return 0

    def readlink(self, path: str) -> str:
        return self.node(path).data.decode()

    def rename(self, old: str, new: str) -> int:
        node, (folder, name), (target, new_name) = self.node(old), self.place(old), self.place(new)
        if folder is target:
            folder.change((name, None), (new_name, node))
        else:
            target.change((new_name, node))
            folder.change((name, None))
        return 0

    def unlink(self, path: str) -> int:
        folder, name = self.place(path)
        self.node(path)
        folder.change((name, None))
        return 0

    rmdir = unlink

    # Content

    def create(self, path: str, mode: int, fi: object = None) -> int:
        return self.opened(self.add(path, Node(stat.S_IFREG | mode)))

    def open(self, path: str, flags: int) -> int:
        node = self.node(path)
        if flags & os.O_TRUNC:
            node.data.clear()
        return self.opened(node)

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        if not self.is_on:
            raise mfusepy.FuseOSError(errno.EIO)
        return bytes(self.handles[fh].data[offset : offset + size])

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        self.work("write", path)
        content = self.handles[fh].data
        content.extend(bytes(max(0, offset - len(content))))
        content[offset : offset + len(data)] = data
        return len(data)

    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        content = (self.handles[fh] if fh else self.node(path)).data
        del content[length:]
        content.extend(bytes(length - len(content)))
        return 0

    def fsync(self, path: str, datasync: int, fh: int) -> int:
        self.work("fsync", path)
        self.handles[fh].flush()
        return 0

    def fsyncdir(self, path: str, datasync: int, fh: int) -> int:
        self.work("fsyncdir", path)
        self.node(path).flush()
        return 0

    def release(self, path: str, fh: int) -> int:
        self.handles.pop(fh, None)
        return 0

    def chmod(self, path: str, mode: int) -> int:
        self.node(path).mode = mode
        return 0

    def chown(self, path: str, uid: int, gid: int) -> int:
        return 0

    def utimens(self, path: str, times: tuple[int, int] | None = None) -> int:
        return 0

    def statfs(self, path: str) -> dict[str, int]:
        return {"f_bsize": _PAGE, "f_frsize": _PAGE, "f_blocks": 1 << 20, "f_bfree": 1 << 20, "f_bavail": 1 << 20}


@dataclass(frozen=True)
class Disk:
    """A mounted one."""

    path: Path

    def cut(self, seed: int | None = None) -> None:
        """Forget all that was not flushed; with a seed, a random part of it. Everything fails from here on."""
        self._order("cut" if seed is None else f"cut {seed}")

    def power_on(self) -> None:
        """Work again."""
        self._order("on")

    def fail(self, number: int, error: int) -> None:
        """Let the write or flush of this number, counted from now, fail with this error; 0 for none."""
        self._order(f"fail {number} {error}")

    def hit(self) -> str:
        """Which write or flush failed; empty where none did yet."""
        return os.getxattr(self.path, _HIT).decode()

    def _order(self, text: str) -> None:
        os.setxattr(self.path, _CONTROL, text.encode())


def why_not() -> str | None:
    """Why such a disk cannot be mounted here, or None."""
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "no /dev/fuse here, or no right to use it"
    return None


@contextmanager
def mounted(folder: Path) -> Generator[Disk, None, None]:
    """An empty disk on this folder, for the length of the block."""
    folder.mkdir()
    process = subprocess.Popen([sys.executable, "-m", "tests.support.forgetful", str(folder)])
    try:
        while not folder.is_mount():
            assert process.poll() is None, "the disk could not be mounted"
            time.sleep(0.02)
        yield Disk(folder)
    finally:
        subprocess.run(["fusermount3", "-u", "-z", str(folder)], check=False)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


if __name__ == "__main__":
    mfusepy.FUSE(
        Forgetful(),
        sys.argv[1],
        foreground=True,
        nothreads=True,
        attr_timeout=0,
        entry_timeout=0,
        negative_timeout=0,
        hard_remove=True,
    )
