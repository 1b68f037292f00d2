"""Hostile sockets, each from an address of its own, hold on to the receiver and to the page.

In the long run median and 95th percentile must both reach the goals.
"""

from __future__ import annotations

import random
import socket
import statistics
import threading
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.request import urlopen

from tests.faults.measured import p95, summary, timed
from tests.faults.row import Outcome, Row, Trial
from tests.faults.row_09_many_senders import images, send_all
from tests.support import peers
from tests.support.receivers import page, receiver

_ECHO_GOAL_S = 0.1
_PAGE_GOAL_S = 0.2
_FRIEND = "127.0.9.9"
_DICOM = (b"", peers.request(), b"\1\0\xff\xff\xff\xff", bytes(64))
_HTTP = (
    b"",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: " + b"y" * 1000,
    b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999\r\n\r\n" + b"z" * 1000,
)


def run(trial: Trial) -> Outcome:
    """Measure C-ECHO and page while the sockets come back as often as they are cut, then with many senders besides."""
    hostile, count, senders = trial.count(40, 200), trial.count(10, 200), trial.count(10, 200)
    paths = images(trial.folder, senders)
    with receiver(trial.folder) as box, page(box.settings) as web:
        with _besieged(box.port, web, hostile, trial.random()) as opened:
            time.sleep(trial.count(1, 6))
            besieged = _measure(box.port, web, count, trial.count(0, 1) * 0.05)
            threads = peers.threads(box.process.pid)
            with ThreadPoolExecutor(1) as pool:
                sending = pool.submit(send_all, box.port, paths, trial.seed)
                crowded = _measure(box.port, web, count, trial.count(0, 1) * 0.05)
                stored = sum(tries > 0 for tries in sending.result())
    figure = (
        f"{hostile} hostile sockets on each of both ports, {len(opened)} in all: {besieged}, {threads} threads; "
        f"with {senders} storescu at once besides, of which {stored} were done: {crowded}"
    )
    is_quick = besieged.is_quick() and crowded.is_quick()
    is_whole = len(opened) >= 2 * hostile and besieged.lost == crowded.lost == 0 and stored == senders
    return Outcome(figure=figure, ok=is_whole and (is_quick or not trial.is_long))


@dataclass(frozen=True)
class _Times:
    echoes: list[float]
    lost: int
    pages: list[float]

    def is_quick(self) -> bool:
        goals = (self.echoes, _ECHO_GOAL_S), (self.pages, _PAGE_GOAL_S)
        return all(max(statistics.median(times), p95(times)) < goal_s for times, goal_s in goals)

    def __str__(self) -> str:
        answered = f"{len(self.echoes)} of {len(self.echoes) + self.lost} answered"
        return f"C-ECHO {summary(self.echoes)} ({answered}), page {summary(self.pages)}"


def _measure(port: int, web: int, count: int, pause_s: float) -> _Times:
    echoes, pages = [], []
    for _ in range(count):
        echoes.append(peers.quick_echo(port, _FRIEND))
        pages.append(timed(lambda: urlopen(f"http://127.0.0.1:{web}/", timeout=peers.PATIENCE_S).read()))  # noqa: S310
        time.sleep(pause_s)
    answered = [seconds for seconds in echoes if seconds is not None]
    return _Times(answered, count - len(answered), pages)


@contextmanager
def _besieged(port: int, web: int, count: int, randomly: random.Random) -> Generator[list[int], None, None]:
    """Sockets that are silent, send a byte each half second, or claim what they do not send."""
    ended = threading.Event()
    plans = [(to, randomly.choice(words)) for to, words in ((port, _DICOM), (web, _HTTP)) for _ in range(count)]
    opened: list[int] = []
    besiegers = threading.Thread(target=_besiege, args=(plans, opened, ended))
    besiegers.start()
    try:
        yield opened
    finally:
        ended.set()
        besiegers.join()


def _besiege(plans: list[tuple[int, bytes]], opened: list[int], ended: threading.Event) -> None:
    # One thread for all of them: the attack must not slow down the measuring process itself.
    held: dict[int, tuple[socket.socket, int]] = {}
    while not ended.wait(0.5):
        for number, (to, words) in enumerate(plans):
            if number not in held:
                held[number] = (_connect(to, number), 0)
                opened.append(number)
            connection, sent = held[number]
            if _go_on(connection, words[sent : sent + 1]):
                held[number] = (connection, sent + 1)
            else:
                connection.close()
                del held[number]
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


ROW = Row(number=10, goal="200 hostile sockets, SCP and HTTP: C-ECHO < 100 ms, page < 200 ms, median and p95", run=run)
