"""Wake-ups for open pages: one thread listens to the bus, every open page waits on it.

ZeroMQ sockets must not be shared between threads, so a single thread owns the listener
and counts wake-ups; each server-sent event stream (WHATWG HTML, section 9.2) waits for
the count to move. An event only says "look again": the page then asks for what it shows,
so a lost event costs latency and never truth. Rejected: WebSockets, which need a library
on both sides for a message that goes one way.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from edge import clock
from edge.bus import Listener

_NAME = "web"
_CHECK_S = 1.0
_HEARTBEAT_S = 10.0
_PACE_S = 0.3
_LOOK = "data: look\n\n"
_HEARTBEAT = ": here\n\n"
_FIRST = "retry: 2000\n" + _LOOK


class Live:
    """Fans the wake-ups of the bus out to the open pages.

    Parameters
    ----------
    run_dir : where the sockets of the bus are.
    streams : how many pages may listen at once; each of them holds a thread of the server.
    """

    def __init__(self, run_dir: Path, streams: int) -> None:
        self._run_dir = run_dir
        self._slots = threading.BoundedSemaphore(streams)
        self._moved = threading.Condition()
        self._count = 0
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to listen to the bus."""
        self._thread = threading.Thread(target=self._listen, name="live", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ask every stream to end; waits for nothing, so that a signal handler may call it."""
        self._closing.set()
        self.wake()

    def close(self) -> None:
        """End every stream and stop listening."""
        self.stop()
        if self._thread is not None:
            self._thread.join()

    def wake(self) -> None:
        """Tell every open page to look again."""
        with self._moved:
            self._count += 1
            self._moved.notify_all()

    def take_slot(self) -> bool:
        """Reserve one stream; False where as many pages as allowed listen already."""
        return self._slots.acquire(blocking=False)

    def give_slot(self) -> None:
        """Return a reserved stream."""
        self._slots.release()

    def events(self, gone: Callable[[], bool]) -> Iterator[str]:
        """Server-sent events of one page until it is gone or the box stops.

        Parameters
        ----------
        gone : whether the browser has closed the connection.
        """
        seen, spoken = self._count, clock.monotonic()
        yield _FIRST
        while not self._closing.is_set() and not gone():
            count = self._wait(seen)
            if count != seen:
                # A series of hundreds of objects must not make each page look hundreds of times.
                self._closing.wait(_PACE_S)
                seen, spoken = self._count, clock.monotonic()
                yield _LOOK
            elif clock.monotonic() - spoken >= _HEARTBEAT_S:
                spoken = clock.monotonic()
                yield _HEARTBEAT

    def _wait(self, seen: int) -> int:
        with self._moved:
            self._moved.wait_for(lambda: self._count != seen, timeout=_CHECK_S)
            return self._count

    def _listen(self) -> None:
        listener = Listener(self._run_dir, _NAME)
        try:
            while not self._closing.is_set():
                if listener.wait(_CHECK_S) is not None:
                    self.wake()
        finally:
            listener.close()
