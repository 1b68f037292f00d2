"""Hostile sockets, each from an address of its own, hold on to the receiver and to the page."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from urllib.request import urlopen

from tests.faults.measured import p95, summary, timed
from tests.faults.row import Outcome, Row, Trial
from tests.support import peers
from tests.support.receivers import page, receiver

_ECHO_GOAL_S = 0.1
_PAGE_GOAL_S = 0.2
_DICOM = (b"", peers.request(), b"\1\0\xff\xff\xff\xff", bytes(64))
_HTTP = (
    b"",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: " + b"y" * 1000,
    b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999\r\n\r\n" + b"z" * 1000,
)


def run(trial: Trial) -> Outcome:
    """Measure C-ECHO and page, first alone, then while the sockets come back as often as they are cut."""
    hostile, measured = trial.count(40, 200), trial.count(10, 200)
    with receiver(trial.folder) as box, page(box.settings) as web:
        echoes, pages = _measure(box.port, web, 5)
        with _besieged(box.port, web, hostile, trial.random()):
            time.sleep(trial.count(1, 3))
            echoes, pages = _measure(box.port, web, measured)
            threads = peers.threads(box.process.pid)
    answered = [seconds for seconds in echoes if seconds is not None]
    figure = (
        f"{hostile} hostile sockets on each of both ports: C-ECHO {summary(answered)} "
        f"({len(answered)} of {measured} answered), page {summary(pages)}, {threads} threads"
    )
    is_quick = p95(answered) < _ECHO_GOAL_S and p95(pages) < _PAGE_GOAL_S
    return Outcome(figure=figure, ok=len(answered) == measured and (is_quick or not trial.is_long))


def _measure(port: int, web: int, count: int) -> tuple[list[float | None], list[float]]:
    echoes, pages = [], []
    for _ in range(count):
        echoes.append(peers.quick_echo(port))
        pages.append(timed(lambda: urlopen(f"http://127.0.0.1:{web}/", timeout=peers.PATIENCE_S).read()))  # noqa: S310
    return echoes, pages


@contextmanager
def _besieged(port: int, web: int, count: int, randomly: random.Random) -> Generator[None, None, None]:
    """Half a minute's worth of sockets that are silent, send a byte a second, or claim what they do not send."""
    ended = threading.Event()
    plans = [(to, randomly.choice(words)) for to, words in ((port, _DICOM), (web, _HTTP)) for _ in range(count)]
    besiegers = threading.Thread(target=_besiege, args=(plans, ended))
    besiegers.start()
    try:
        yield
    finally:
        ended.set()
        besiegers.join()


def _besiege(plans: list[tuple[int, bytes]], ended: threading.Event) -> None:
    # One thread for all of them: the attack must not slow down the measuring process itself.
    held: dict[int, tuple[socket.socket, int]] = {}
    while not ended.wait(0.5):
        for number, (to, words) in enumerate(plans):
            connection, sent = held.get(number) or (_connect(to, number), 0)
            if _go_on(connection, words[sent : sent + 1]):
                held[number] = (connection, sent + 1)
            else:
                connection.close()
                held.pop(number, None)
    for connection, _ in held.values():
        connection.close()


def _connect(to: int, number: int) -> socket.socket:
    connection = socket.socket()
    connection.bind((f"127.0.{1 + number // 250}.{1 + number % 250}", 0))
    connection.connect(("127.0.0.1", to))
    connection.setblocking(False)
    return connection


def _go_on(connection: socket.socket, words: bytes) -> bool:
    try:
        connection.sendall(words)
        return connection.recv(1) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


ROW = Row(number=10, goal="200 hostile sockets, SCP and HTTP: C-ECHO < 100 ms, page < 200 ms", run=run)
