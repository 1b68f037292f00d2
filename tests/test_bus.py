"""The bus: a lost word costs time and nothing else, and nobody who does not listen holds a speaker up."""

from __future__ import annotations

import resource
import shutil
import tempfile
import threading
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edge import clock
from edge.bus import SPEAKERS, Listener, Speaker
from edge.config import DicomSettings, Settings, WebSettings
from edge.pipeline.supervisor import NAMES
from edge.store import studies
from edge.types import State
from tests.dicom.test_receive import port_of
from tests.support import inputs
from tests.support.box import eventually, running
from tests.support.results import AGE_UNKNOWN, complete_result
from tests.support.sender import send
from tests.support.studies import put_finished_study, ready_box

WORDS = 20_000


@pytest.fixture
def run_dir() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp())  # the path of a socket is short
    yield folder
    shutil.rmtree(folder)


def heard(listener: Listener, speaker: Speaker, number: int) -> int:
    """What comes of saying a number until something is heard: a listener joins late."""

    def answer() -> int | None:
        speaker.wake(number)
        return listener.wait(0.05)

    return eventually(answer) or 0


def test_every_process_of_the_box_is_heard() -> None:
    assert set(NAMES) <= set(SPEAKERS)


def test_a_listener_that_never_takes_a_word_holds_no_speaker_up_and_hears_the_last(run_dir: Path) -> None:
    speaker, listener = Speaker(run_dir, "receiver"), Listener(run_dir, "worker")
    heard(listener, speaker, 1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(WORDS):
        speaker.wake(number)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000, "the words were kept"
    last = -1
    while (word := listener.wait(0.2)) is not None:
        assert word >= last
        last = word
    assert heard(listener, speaker, WORDS) == WORDS
    listener.close()
    speaker.wake(1)
    speaker.close()


def test_many_threads_may_speak(run_dir: Path) -> None:
    speaker, listener = Speaker(run_dir, "web"), Listener(run_dir, "worker")
    heard(listener, speaker, 1)
    threads = [threading.Thread(target=lambda: [speaker.wake(7) for _ in range(500)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert heard(listener, speaker, 7) == 7
    listener.close()
    speaker.close()


def settings_of(tmp_path: Path) -> Settings:
    return replace(ready_box(tmp_path / "box"), dicom=DicomSettings(port=0), web=WebSettings(port=0))


def silence(settings: Settings, name: str) -> None:
    """Take the socket of a speaker away, so that whoever listens from now on never hears it."""
    socket = settings.run_dir / f"{name}.ipc"
    eventually(socket.exists)
    socket.unlink()


def test_with_every_word_lost_everything_is_still_done(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    image = inputs.dx(PatientAge="")
    del image.PatientAge, image.PatientBirthDate
    with running("receiver", settings):
        port = port_of(settings)
        silence(settings, "receiver")
        with running("web", settings):
            eventually((settings.run_dir / "web.port").exists)
            silence(settings, "web")
            with running("worker", settings):
                silence(settings, "worker")
                send(port, image)
                (row,) = eventually(lambda: ended(settings))
                assert row.version == 1
                page = f"http://127.0.0.1:{int((settings.run_dir / 'web.port').read_text())}/study/{row.study_key}"
                with urllib.request.urlopen(f"{page}/stamp") as answer:  # noqa: S310
                    assert answer.read().decode().startswith(f"{row.state.value} 1 1")


def test_an_age_that_the_page_takes_is_told_to_the_worker(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    with running("web", settings):
        port = settings.run_dir / "web.port"
        eventually(port.exists)
        key = waiting_for_an_age(settings)
        ears = Listener(settings.run_dir, "worker")
        address = f"http://127.0.0.1:{int(port.read_text())}"

        def is_heard() -> bool:
            ask(address, key, int(clock.monotonic() * 10) % 100)
            return ears.wait(0.2) is not None

        eventually(is_heard)
        ears.close()


def ended(settings: Settings) -> list[studies.WorklistRow]:
    rows = studies.worklist(settings.database, 10)
    return [row for row in rows if row.state in {State.DONE, State.NO_RESULT, State.FAILED}]


def waiting_for_an_age(settings: Settings) -> str:
    return put_finished_study(settings, complete_result(quality=[AGE_UNKNOWN.as_json()]))


def ask(address: str, key: str, years: int) -> None:
    request = urllib.request.Request(  # noqa: S310
        f"{address}/study/{key}/age",
        data=urllib.parse.urlencode({"years": years}).encode(),
        headers={"Origin": address},
    )
    with urllib.request.urlopen(request) as answer:  # noqa: S310
        assert answer.status == 200
