"""A folder of strangers: walked with limits, opened for reading only, and never trusted.

Every file is opened component by component from the top with O_NOFOLLOW (open(2)), so that no
link, made before or in between, leads out of the folder. Pipes, devices and links are never opened.
Rejected: paths that are resolved and compared, which can change between the two.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edge.errors import SourceError

Parts = tuple[str, ...]
"""Where a file lies below the top: its folders and its name."""

MOST_BYTES = 1 << 31
MOST_FILES = 20_000
"""Files of one source that are thought about at once."""
_MOST_DEPTH = 16
_PIECE_BYTES = 1 << 20
_TEMPORARY = (".part", ".partial", ".filepart", ".tmp", ".temp", ".crdownload", "~")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """What tells one state of a file from another (stat(2)); times in nanoseconds, never compared with a clock."""

    device: int
    inode: int
    size_bytes: int
    changed_ns: int
    modified_ns: int


class Tree:
    """One folder, open for as long as it is needed."""

    def __init__(self, top: Path) -> None:
        self._top = os.open(top, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def close(self) -> None:
        """Let go of the folder, so that what it lies on can be unmounted."""
        os.close(self._top)

    def files(self) -> Iterator[tuple[Parts, Stamp]]:
        """Ordinary files in order of their names; hidden and temporary ones are left out.

        However many there are: whoever asks has to stop.

        Raises
        ------
        OSError
            Where the folder itself cannot be read.
        """
        for folder, folders, names, descriptor in os.fwalk(".", onerror=_only_below, dir_fd=self._top):
            above = Path(folder).parts
            below = [] if len(above) >= _MOST_DEPTH else folders
            folders[:] = sorted(name for name in below if not _is_left_alone(name))
            for name in sorted(names):
                stamp = None if _is_left_alone(name) else _ordinary(name, descriptor)
                if stamp is not None:
                    yield (*above, name), stamp

    def open(self, parts: Parts) -> File:
        """Open a file for reading.

        Raises
        ------
        SourceError
            ``unopenable`` where it is not there, no ordinary file, behind a link, or forbidden.
        """
        try:
            return File(self._descriptor(parts))
        except (OSError, ValueError) as error:  # ValueError: a null character in a name
            raise SourceError("unopenable") from error

    def remove(self, parts: Parts, stamp: Stamp) -> bool:
        """Remove a file if it is still in that state; False where it is not, or may not be removed."""
        try:
            folder = self._folder(parts[:-1])
        except OSError:
            return False
        try:
            if _ordinary(parts[-1], folder) != stamp:
                return False
            os.unlink(parts[-1], dir_fd=folder)
            return True
        except OSError:
            return False
        finally:
            os.close(folder)

    def _folder(self, parts: Parts) -> int:
        descriptor = os.dup(self._top)
        for name in parts:
            above = descriptor
            try:
                descriptor = os.open(
                    _one_name(name), os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=above
                )
            finally:
                os.close(above)
        return descriptor

    def _descriptor(self, parts: Parts) -> int:
        folder = self._folder(parts[:-1])
        try:
            name = _one_name(parts[-1])
            if _ordinary(name, folder) is None:
                raise OSError(errno.EINVAL, "no ordinary file")
            # O_NONBLOCK: should a pipe have taken its place, nobody waits for its other end.
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            try:
                return os.open(name, flags | os.O_NOATIME, dir_fd=folder)
            except PermissionError:  # O_NOATIME is for the owner of a file alone
                return os.open(name, flags, dir_fd=folder)
        finally:
            os.close(folder)


class File:
    """A file that is read once from its start to its end."""

    def __init__(self, descriptor: int) -> None:
        self._file = os.fdopen(descriptor, "rb", buffering=0)
        self.stamp = _stamp(os.fstat(descriptor))

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def is_being_written(self) -> bool:
        """Whether a program has it open for writing, as far as the file system tells: by a lease (fcntl(2))."""
        try:
            fcntl.fcntl(self._file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
            fcntl.fcntl(self._file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        except OSError as error:
            return error.errno == errno.EAGAIN
        return False

    def pieces(self, most_bytes: int = MOST_BYTES) -> Iterator[bytes]:
        """The content, at most a mebibyte at once.

        Raises
        ------
        SourceError
            ``too_large``; ``unopenable`` where reading fails; ``changed`` where it is no longer what it was.
        """
        if self.stamp.size_bytes > most_bytes:
            raise SourceError("too_large")
        left = self.stamp.size_bytes
        try:
            while left and (piece := self._file.read(min(left, _PIECE_BYTES))):
                left -= len(piece)
                yield piece
            is_same = _stamp(os.fstat(self._file.fileno())) == self.stamp
        except OSError as error:
            raise SourceError("unopenable") from error
        if left or not is_same:
            raise SourceError("changed")


def _only_below(error: OSError) -> None:
    if error.filename == ".":
        raise error


def _is_left_alone(name: str) -> bool:
    return name.startswith((".", "~")) or name.lower().endswith(_TEMPORARY)


def _ordinary(name: str, folder: int) -> Stamp | None:
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except OSError:
        return None  # gone since it was listed
    return _stamp(found) if stat.S_ISREG(found.st_mode) else None


def _one_name(name: str) -> str:
    if name in {"", ".", ".."} or "/" in name:
        raise OSError(errno.EINVAL, "no name of one file")
    return name


def _stamp(found: os.stat_result) -> Stamp:
    return Stamp(
        device=found.st_dev,
        inode=found.st_ino,
        size_bytes=found.st_size,
        changed_ns=found.st_ctime_ns,
        modified_ns=found.st_mtime_ns,
    )
