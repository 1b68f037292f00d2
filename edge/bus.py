"""Wake-ups between the processes of the box, over ZeroMQ ipc sockets.

A message says "look at id N" and nothing else; the truth is in SQLite. A message that
is lost, because nobody listened yet or the other side was restarting, costs latency and
never data: every listener also looks by itself at each timeout.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import zmq

from edge.errors import SetupError

_MAX_PATH = 100  # sockaddr_un holds 108 bytes


class Speaker:
    """Publishes wake-ups of one process. Not to be shared between threads."""

    def __init__(self, run_dir: Path, name: str) -> None:
        self._socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.PUB)
        self._socket.setsockopt(zmq.LINGER, 100)
        self._socket.bind(address(run_dir, name))

    def wake(self, number: int) -> None:
        """Tell every listener to look at this id."""
        self._socket.send(str(number).encode())

    def close(self) -> None:
        """Stop speaking."""
        self._socket.close()


class SharedSpeaker(Speaker):
    """A speaker of several threads, one at a time: the lock is the fence that ZeroMQ asks for."""

    def __init__(self, run_dir: Path, name: str) -> None:
        super().__init__(run_dir, name)
        self._lock = threading.Lock()

    def wake(self, number: int) -> None:
        """Tell every listener to look at this id."""
        with self._lock:
            super().wake(number)


class Listener:
    """Waits for wake-ups of other processes. Not to be shared between threads."""

    def __init__(self, run_dir: Path, names: Sequence[str]) -> None:
        self._socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.SUB)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.subscribe(b"")
        for name in names:
            self._socket.connect(address(run_dir, name))

    def wait(self, timeout_s: float) -> int | None:
        """The next id, or None after the timeout."""
        if not self._socket.poll(round(timeout_s * 1000)):
            return None
        return int(self._socket.recv())

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()


def address(run_dir: Path, name: str) -> str:
    """Where the process of this name speaks.

    Raises
    ------
    SetupError
        ``path_too_long`` for a socket.
    """
    path = (run_dir / f"{name}.ipc").resolve()
    if len(str(path)) > _MAX_PATH:
        raise SetupError("path_too_long", path=path, limit=_MAX_PATH)
    return f"ipc://{path}"
