"""A few readers side by side, for series of many slices: one child decodes while another one does too.

Rejected: threads in one child, whose limits of memory and time hold for the whole process.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType

from edge.dicom.image import ParsedImage, ParsedSlices
from edge.dicom.reader import NoRoomError, Reader
from edge.errors import UnreadableError

Outcome = ParsedImage | ParsedSlices | UnreadableError | NoRoomError

_AHEAD = 2
"""Files that wait for each reader, so that none has to wait for whoever takes the images."""


class Readers:
    """Turns many files into images. Not to be shared between threads.

    Parameters
    ----------
    readers : as many as files are to be read at once; closed with this. The child of each starts when it is needed.
    """

    def __init__(self, *readers: Reader) -> None:
        self.count = len(readers)
        self._stack = ExitStack()
        self._free: SimpleQueue[Reader] = SimpleQueue()
        for reader in readers:
            self._free.put(self._stack.enter_context(reader))
        # A child dies with the thread that started it: the threads have to last as long as the children.
        self._pool = ThreadPoolExecutor(self.count)

    def __enter__(self) -> Readers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # The children end first, so that nobody waits for what nobody wants any more.
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._stack.close()
        self._pool.shutdown()

    def read_all(self, paths: Iterable[Path]) -> Iterator[Outcome]:
        """The image of each file in turn, or why there is none; a few are read ahead.

        Raises
        ------
        SetupError, StorageError
            The machine cannot read; no file is at fault.
        """
        waiting = iter(paths)
        begun: deque[Future[Outcome]] = deque()
        try:
            begun.extend(self._pool.submit(self._read, path) for path in islice(waiting, self.count * (1 + _AHEAD)))
            while begun:
                outcome = begun.popleft().result()
                begun.extend(self._pool.submit(self._read, path) for path in islice(waiting, 1))
                yield outcome
        finally:
            for unneeded in begun:
                unneeded.cancel()

    def _read(self, path: Path) -> Outcome:
        reader = self._free.get()
        try:
            return reader.read_any(path)
        except (UnreadableError, NoRoomError) as error:
            return error
        finally:
            self._free.put(reader)
