from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from edge.bus import Speaker
from edge.config import Settings
from edge.web.app import create_app
from edge.web.live import Live

PATIENCE_S = 20.0


@pytest.fixture
def run_dir() -> Generator[Path, None, None]:
    # The path of a socket is short; pytest's own folders may not be.
    folder = Path(tempfile.mkdtemp())
    yield folder
    shutil.rmtree(folder)


def never() -> bool:
    return False


def next_look(events: Iterator[str]) -> str:
    return next(event for event in events if "data: look" in event)


def test_a_page_looks_as_soon_as_it_listens(run_dir: Path) -> None:
    assert "data: look" in next(Live(run_dir, 1).events(never))


def test_a_wake_up_of_the_worker_reaches_every_page(run_dir: Path) -> None:
    live = Live(run_dir, 2)
    live.start()
    speaker = Speaker(run_dir, "worker")
    pages = [live.events(never), live.events(never)]
    for page in pages:
        next(page)
    told: list[str] = []
    listeners = [threading.Thread(target=lambda page=page: told.append(next_look(page))) for page in pages]
    for listener in listeners:
        listener.start()

    # A subscriber joins late, so that the first words may be lost.
    for _ in range(100):
        speaker.wake(1)
        for listener in listeners:
            listener.join(0.1)
        if len(told) == 2:
            break

    assert len(told) == 2
    speaker.close()
    live.close()


def test_streams_end_when_the_box_stops(run_dir: Path) -> None:
    live = Live(run_dir, 1)
    live.start()
    page = live.events(never)
    next(page)
    live.close()

    assert [event for event in page if event != "data: look\n\n"] == []


def test_a_stream_ends_when_its_browser_has_gone(run_dir: Path) -> None:
    assert len(list(Live(run_dir, 1).events(lambda: True))) == 1


def test_pages_beyond_the_limit_are_told_so_and_a_closed_one_makes_room(box: Settings) -> None:
    live = Live(box.run_dir, 1)
    client = create_app(box, live).test_client()

    first = client.get("/events")
    assert first.status_code == 200
    assert client.get("/events").status_code == 503

    first.close()
    with client.get("/events") as second:
        assert second.status_code == 200


def test_events_are_never_kept(client: FlaskClient) -> None:
    with client.get("/events") as answer:
        assert answer.mimetype == "text/event-stream"
        assert answer.headers["Cache-Control"] == "no-store"
