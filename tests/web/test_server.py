from __future__ import annotations

import shutil
import socket
import tempfile
from collections.abc import Generator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from urllib.request import urlopen

import pytest

from edge.config import Settings, WebSettings
from edge.errors import SetupError
from edge.web.server import run
from tests.support.page import make_result, serving
from tests.support.peers import connected
from tests.support.studies import put_finished_study, ready_box

PATIENCE_S = 20.0


@pytest.fixture
def short_box() -> Generator[Settings, None, None]:
    folder = Path(tempfile.mkdtemp())
    yield ready_box(folder)
    shutil.rmtree(folder)


def test_it_serves_until_it_is_told_to_stop_although_a_page_is_open(short_box: Settings) -> None:
    key = put_finished_study(short_box, make_result("normal", normal=0.9))

    with serving(short_box) as address:
        stream = urlopen(f"{address}/events")  # noqa: S310
        with urlopen(f"{address}/study/{key}") as answer:  # noqa: S310
            assert "No pneumonia seen" in answer.read().decode()
        assert b"retry" in stream.readline()
    stream.close()

    assert not (short_box.run_dir / "web.port").exists()


def test_more_open_pages_than_threads_leave_the_page_answering(short_box: Settings) -> None:
    streams = []
    with serving(short_box) as address:
        for _ in range(40):
            stream = socket.create_connection(("127.0.0.1", int(address.rsplit(":", 1)[1])), PATIENCE_S)
            stream.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            streams.append(stream)
        for stream in streams:
            assert stream.recv(12).startswith(b"HTTP/1.1")
        with urlopen(f"{address}/healthz") as answer:  # noqa: S310
            assert answer.status == 200
    for stream in streams:
        stream.close()


def test_slow_connections_from_everywhere_leave_the_page_answering(short_box: Settings) -> None:
    parts = (
        b"",
        b"GET / HTT",
        b"GET / HTTP/1.1\r\nHost: box\r\nX-Slow: ",
        b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nx",
    )
    with serving(short_box) as address, ExitStack() as held:
        port = int(address.rsplit(":", 1)[1])
        for number in range(200):
            connection = held.enter_context(connected(port, f"127.0.0.{number + 2}"))
            connection.sendall(parts[number % len(parts)])
        for _ in range(10):
            with urlopen(f"{address}/healthz", timeout=PATIENCE_S) as answer:  # noqa: S310
                assert answer.status == 200


def test_a_taken_port_is_named(short_box: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SetupError, match=f"Port {port} is in use"):
            run(replace(short_box, web=WebSettings(port=port)))
