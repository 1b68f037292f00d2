"""Reads files of strangers through one limited child process, restarted whenever it fails.

The parent never parses: it hands a path over a pipe, and gets a header as JSON and pixels
as bare numbers in a file back. Rejected: a new process a file (0.5 s of imports each) and a pool
(images of one box come one at a time).
"""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import subprocess
import sys
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from edge import clock
from edge.dicom.image import (
    Header,
    ParsedImage,
    ParsedSlices,
    UnreadableImageError,
    header_from_json,
    radiograph_from_json,
)
from edge.dicom.limits import MAX_VOXELS, VOXELS_PER_S
from edge.errors import ExportError, SetupError, StorageError, UnreadableError
from edge.store.files import scratch_folder

MEMORY_BYTES = 512 << 20
FILE_S = 10.0
LONGEST_S = 2 * FILE_S + MAX_VOXELS / VOXELS_PER_S
"""For the largest object of many frames: until its size is known, and then for its frames."""

_GROWN_BYTES = 192 << 20  # three times what it takes when it has read nothing yet
_START_S = 60.0
# Each thread of theirs reserves memory; what is freed goes back to the system at once.
_FRUGAL = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_MMAP_THRESHOLD_": "262144"}


class NoRoomError(StorageError):
    """The pixels of one image have no room on the disk; those of others may. ``needed_bytes`` would do."""

    def __init__(self, needed_bytes: int) -> None:
        super().__init__("disk_full")
        self.needed_bytes = needed_bytes


class Reader:
    """Turns files into images. Not to be shared between threads.

    Parameters
    ----------
    memory_bytes : address space of the child, libraries included: it can never be resident with more.
    file_s : seconds that one file may take, by the clock and of the processor.
    files : after so many the child is replaced, so that no leak of a codec grows for ever; so is one that
        stays large.
    folder : where pixels cross over, in a folder of their own; the system's temporary one if None.
    """

    def __init__(
        self, *, memory_bytes: int = MEMORY_BYTES, file_s: float = FILE_S, files: int = 200, folder: Path | None = None
    ) -> None:
        self._memory_bytes = memory_bytes
        self._file_s = file_s
        self._files = files
        self._served = 0
        self._child: _Child | None = None
        self._stack = ExitStack()
        self._folder = self._stack.enter_context(scratch_folder(folder))

    def __enter__(self) -> Reader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the child and remove what it wrote."""
        self._end_child()
        self._stack.close()

    @property
    def child_pid(self) -> int | None:
        """The process that parses now, if any."""
        return self._child.pid if self._child else None

    def read_header(self, path: Path) -> Header:
        """Read the header of one file alone; the image may still turn out unreadable.

        Raises
        ------
        UnreadableError
            With the reason.
        SetupError
            Where the parsing process does not start; the file is not at fault.
        """
        reply = self._ask({"path": str(path.absolute()), "pixels": ""})
        return _header(reply)

    def read_directory(self, path: Path) -> tuple[int, list[tuple[str, ...]]]:
        """Read a DICOMDIR: how many studies it names, and where it says that their images lie; nothing is checked.

        Raises
        ------
        UnreadableError
            With the reason.
        SetupError
            Where the parsing process does not start; the file is not at fault.
        """
        reply = self._ask({"path": str(path.absolute()), "pixels": "", "directory": ""})
        if "error" in reply:
            raise UnreadableError(reply["error"])
        return int(reply["studies"]), [tuple(names) for names in reply["files"]]

    def read(self, path: Path) -> ParsedImage:
        """Read one file as a radiograph.

        Raises
        ------
        UnreadableError
            With the reason; an ``UnreadableImageError`` where the header could be read.
            ``too_slow``, ``too_much_memory`` or ``reader_crashed`` where the file ended the child.
        NoRoomError
            Where the temporary folder has no room for the pixels; the file is not at fault.
        SetupError
            Where the parsing process does not start; neither is it here.
        """
        with self._with_pixels(path) as (reply, pixels):
            return _image(reply, pixels)

    def read_any(self, path: Path) -> ParsedImage | ParsedSlices:
        """Read one file: what is a CT image by its header as slices, all else as ``read`` does.

        Raises
        ------
        UnreadableError, NoRoomError, SetupError
            As ``read``.
        """
        with self._with_pixels(path, slices="") as (reply, pixels):
            return _slices(reply, pixels) if "slices" in reply else _image(reply, pixels)

    @contextmanager
    def _with_pixels(self, path: Path, **how: str) -> Generator[tuple[dict[str, Any], Path], None, None]:
        pixels = self._folder / "pixels"
        try:
            yield self._ask({"path": str(path.absolute()), "pixels": str(pixels)} | how), pixels
        finally:
            pixels.unlink(missing_ok=True)

    @contextmanager
    def disguised(self, path: Path, disguise: Mapping[str, Any]) -> Generator[Path, None, None]:
        """One image as a new file without its patient, which is gone when the context ends.

        Parameters
        ----------
        disguise : the attributes of ``edge.dicom.anonymous.Disguise``.

        Raises
        ------
        ExportError
            The image may not leave the box.
        UnreadableError, SetupError
            As ``read``.
        """
        made = self._folder / "disguised"
        try:
            reply = self._ask({"path": str(path.absolute()), "pixels": str(made), "disguise": {**disguise}})
            if "error" in reply:
                raise UnreadableError(reply["error"], **reply["values"])
            if "refused" in reply:
                raise ExportError(reply["refused"])
            yield made
        finally:
            made.unlink(missing_ok=True)

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        child = self._running_child()
        try:
            return child.ask(request, self._file_s)
        except _LostError as error:
            self._end_child()
            raise UnreadableError(error.code) from error

    def _running_child(self) -> _Child:
        if self._child is not None and (self._served >= self._files or not self._child.is_fresh()):
            self._end_child()
        if self._child is None:
            self._child, self._served = _Child(self._memory_bytes, self._file_s), 0
        self._served += 1
        return self._child

    def _end_child(self) -> None:
        if self._child is not None:
            self._child.end()
            self._child = None


class _LostError(Exception):
    """The child ended, or did not answer in time; ``code`` says for what."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class _Child:
    def __init__(self, memory_bytes: int, file_s: float) -> None:
        # -I: neither the current directory nor the environment may bring modules in.
        command = [sys.executable, "-I", "-m", "edge.dicom.child", str(memory_bytes), str(file_s), str(os.getpid())]
        environment = {**os.environ, **_FRUGAL}
        try:
            self._process = subprocess.Popen(  # noqa: S603
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
            )
        except OSError as error:
            raise SetupError("no_reader") from error
        self._received = b""
        try:
            self._answer(_START_S)
        except _LostError as error:
            self.end()
            raise SetupError("no_reader") from error

    @property
    def pid(self) -> int:
        return self._process.pid

    def is_fresh(self) -> bool:
        """Whether it lives, and has given back what earlier files took."""
        if self._process.poll() is not None:
            return False
        resident_pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return resident_pages * resource.getpagesize() <= _GROWN_BYTES

    def ask(self, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        assert self._process.stdin is not None  # noqa: S101
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise _LostError(self._end_code()) from error
        answer = self._answer(seconds)
        if "seconds" in answer:
            answer = self._answer(min(answer["seconds"], seconds + MAX_VOXELS / VOXELS_PER_S))
        return answer

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                _close_quietly(pipe)

    def _answer(self, seconds: float) -> dict[str, Any]:
        assert self._process.stdout is not None  # noqa: S101
        descriptor = self._process.stdout.fileno()
        deadline = clock.monotonic() + seconds
        while b"\n" not in self._received:
            remaining = deadline - clock.monotonic()
            if remaining <= 0 or not select.select([descriptor], [], [], remaining)[0]:
                raise _LostError("too_slow")
            chunk = os.read(descriptor, 65536)
            if not chunk:
                raise _LostError(self._end_code())
            self._received += chunk
        line, _, self._received = self._received.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _end_code(self) -> str:
        return "too_slow" if self._process.wait() == -signal.SIGXCPU else "reader_crashed"


def _close_quietly(pipe: Any) -> None:
    try:
        pipe.close()
    except BrokenPipeError:
        return  # a request that the killed child never read was still in the buffer


def _image(reply: dict[str, Any], pixels: Path) -> ParsedImage:
    if "unwritable" in reply:
        raise StorageError("write_failed")
    if "needed_bytes" in reply:
        raise NoRoomError(reply["needed_bytes"])
    header = _header(reply)
    array: npt.NDArray[np.float32] = np.fromfile(pixels, np.float32)
    try:
        return ParsedImage.of(header, radiograph_from_json(reply["radiograph"], array))
    except ValueError as error:  # the codec made more or fewer pixels than the header tells
        raise UnreadableImageError("undecodable", header) from error


def _slices(reply: dict[str, Any], pixels: Path) -> ParsedSlices:
    header = _header(reply)
    array: npt.NDArray[np.int16] = np.fromfile(pixels, np.int16)
    try:
        return ParsedSlices.of(header, array.reshape(reply["slices"]))
    except ValueError as error:
        raise UnreadableImageError("undecodable", header) from error


def _header(reply: dict[str, Any]) -> Header:
    header = header_from_json(reply["header"]) if reply["header"] else None
    if "error" in reply:
        raise UnreadableImageError(reply["error"], header, **reply["values"])
    if header is None:
        raise UnreadableError("undecodable")
    return header
