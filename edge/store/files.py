"""Files on the disk: whole and durable, or not there.

Write beside the place, fsync, rename, fsync the folder (rename(2), fsync(2)): after a
power cut the file is complete or absent, and never torn. A part that is being written is
locked (flock(2)), so that another process can tell it from one whose writer died.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from edge.errors import SetupError, StorageError

PART = ".part"
"""What the name of a file ends with that is not whole yet."""
SCRATCH = "scratch-"
"""What the name of a file or folder begins with that is of use to its process alone."""
NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})
"""Errors of the operating system that mean a full disk."""
_BLOCK_BYTES = 512  # of st_blocks, whatever the file system's own (stat(2))
_CODES = {
    **dict.fromkeys(NO_SPACE, "disk_full"),
    errno.EROFS: "read_only",
    errno.EACCES: "forbidden",
    errno.EPERM: "forbidden",
}
_NAMED_CODES = {
    **dict.fromkeys(NO_SPACE, "no_space"),
    **dict.fromkeys((errno.EEXIST, errno.ENOTDIR), "no_folder"),
    errno.EROFS: "read_only",
}


def write_durably(path: Path, pieces: Iterable[bytes]) -> None:
    """Write the pieces to a file, and return once it would survive a power cut.

    Raises
    ------
    StorageError
        As ``failure`` has it; a new file is not left behind, and one that was there stays.
    """
    try:
        write_whole(path, pieces)
    except OSError as error:
        raise failure(error) from error


def write_whole(path: Path, pieces: Iterable[bytes]) -> None:
    """As ``write_durably``, for a place that a person named.

    Raises
    ------
    OSError
        As the operating system says.
    """
    part = path.with_name(path.name + PART)
    is_new = not path.exists()
    try:
        _write(part, pieces)
        part.replace(path)
        sync_folder(path.parent)
    except BaseException:
        part.unlink(missing_ok=True)
        if is_new:
            path.unlink(missing_ok=True)
        raise


def unwritable(path: Path, error: OSError) -> SetupError:
    """What the operating system says of a place that a person named."""
    return SetupError(_NAMED_CODES.get(error.errno or 0, "no_permission"), path=path)


def failure(error: OSError) -> StorageError:
    """What the operating system says of the box's own files: ``disk_full``, ``read_only``, ``forbidden`` or
    ``write_failed``."""
    return StorageError(_CODES.get(error.errno or 0, "write_failed"))


def try_folder(folder: Path) -> None:
    """Look whether a folder can be listed and written to, and leave nothing there.

    Raises
    ------
    StorageError
        As ``failure`` has it.
    """
    try:
        with os.scandir(folder), tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"0")
            file.flush()
    except OSError as error:
        raise failure(error) from error


def taken_bytes(path: Path) -> int:
    """What a file takes on the disk, which is less than its length where parts were never written; 0 without one."""
    try:
        return path.lstat().st_blocks * _BLOCK_BYTES
    except FileNotFoundError:
        return 0


def refuse_another_user(data_dir: Path) -> None:
    """Refuse to write keys for a box that runs as another user: what root writes there, the box could not read.

    Raises
    ------
    SetupError
        ``other_user``.
    """
    if data_dir.exists() and data_dir.stat().st_uid != os.geteuid():
        raise SetupError("other_user", path=data_dir)


def make_folders(path: Path) -> None:
    """Make a folder and what is missing above it, for nobody but the box, so that they survive a power cut.

    Raises
    ------
    OSError
        As the operating system says.
    """
    missing = [folder for folder in path.parents if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    # The folder's own entry too where it was there: a process that was killed may have made it a moment ago.
    for folder in (*missing, path):
        sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Return once the names in a folder would survive a power cut.

    Raises
    ------
    OSError
        As the operating system says.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_parts(folder: Path) -> None:
    """Remove what writers left that were killed; a part that somebody writes now stays."""
    for part in folder.glob(f"*{PART}"):
        remove_unlocked(part)


def remove_unlocked(path: Path) -> None:
    """Remove a file, or a folder with all that it holds; what somebody holds locked stays."""
    try:
        with held(path):
            is_folder = path.is_dir() and not path.is_symlink()
            shutil.rmtree(path) if is_folder else path.unlink(missing_ok=True)
    except (BlockingIOError, FileNotFoundError):
        return  # its writer lives, or has just finished it


@contextmanager
def scratch_folder(folder: Path | None) -> Generator[Path, None, None]:
    """A folder for the length of the block, locked, so that others can tell it from what a killed process left.

    Parameters
    ----------
    folder : where it is made; the system's temporary one if None.
    """
    with tempfile.TemporaryDirectory(prefix=SCRATCH, dir=folder) as name, held(Path(name)):
        yield Path(name)


@contextmanager
def scratch_file(folder: Path) -> Generator[IO[bytes], None, None]:
    """A file with a name for the length of the block, locked as ``scratch_folder`` is."""
    with tempfile.NamedTemporaryFile(prefix=SCRATCH, dir=folder) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file


@contextmanager
def held(path: Path) -> Generator[None, None, None]:
    """Hold a file or folder locked (flock(2)) for the length of the block.

    Raises
    ------
    BlockingIOError
        Where somebody else does.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _write(path: Path, pieces: Iterable[bytes]) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        for piece in pieces:
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
