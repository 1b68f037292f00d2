"""Wake-ups between the processes of the box, over ZeroMQ ipc sockets.

A message says "look at id N" and nothing else; the truth is in SQLite. A message that
is lost, because nobody listened yet or the other side was restarting, costs latency and
never data: every listener also looks by itself at each timeout. A listener that is slow or
dead never holds a speaker up: what it does not take is dropped (zmq_socket(7), ZMQ_PUB), and
of many words it hears the last.
"""

from __future__ import annotations

import threading
from pathlib import Path

import zmq

from edge.errors import SetupError

SPEAKERS = ("receiver", "worker", "web", "intake", "fetch", "housekeeping", "export")
"""Processes that speak; one that does not run is not heard."""
_QUEUED = 100
_MAX_PATH = 100  # sockaddr_un holds 108 bytes


class Speaker:
    """Publishes wake-ups of one process; may be used by several threads."""

    def __init__(self, run_dir: Path, name: str) -> None:
        self._socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.PUB)
        self._socket.setsockopt(zmq.LINGER, 100)
        self._socket.setsockopt(zmq.SNDHWM, _QUEUED)
        self._lock = threading.Lock()
        self._socket.bind(address(run_dir, name))

    def wake(self, number: int) -> None:
        """Tell every listener to look at this id; never waits for one."""
        with self._lock:
            self._socket.send(str(number).encode(), zmq.NOBLOCK)

    def close(self) -> None:
        """Stop speaking."""
        with self._lock:
            self._socket.close()


class Listener:
    """Waits for wake-ups of all other processes. Not to be shared between threads.

    Parameters
    ----------
    own_name : the process that listens, which needs not hear itself.
    """

    def __init__(self, run_dir: Path, own_name: str) -> None:
        self._socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.SUB)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.CONFLATE, 1)
        self._socket.subscribe(b"")
        for name in set(SPEAKERS) - {own_name}:
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
