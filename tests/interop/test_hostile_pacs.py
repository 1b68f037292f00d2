"""A PACS that is down, refuses, breaks off, floods or sends what nobody asked for."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from itertools import chain, repeat
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from pynetdicom import evt
from sqlite_utils import Database

from edge.config import Settings
from edge.dicom import guard, query
from edge.dicom.peer import Limits, Peer
from edge.errors import PeerError
from edge.pipeline import fetch
from edge.pipeline.fetch import Fetcher
from edge.store import peers, pulls
from edge.store.database import connect
from edge.store.studies import study, worklist
from edge.types import State
from tests.interop.test_pacs import fetched, spool_of, taken, with_pacs
from tests.support import inputs
from tests.support.box import eventually, running
from tests.support.pacs import WORKLIST_FIND, free_port, scripted
from tests.support.studies import put_finished_study

MATCH = {"StudyInstanceUID": "1.2.3", "PatientID": "PHANTOM-1"}


def as_scripted(box: Settings, port: int) -> Settings:
    return with_pacs(box, port, "SCRIPTED")


def match(**elements: str) -> Dataset:
    found = Dataset()
    for keyword, value in {**MATCH, **elements}.items():
        setattr(found, keyword, value)
    return found


def answering(*datasets: Dataset) -> Any:
    """A C-GET that sends these, whatever was asked for."""

    def handle(event: evt.Event) -> Iterator[Any]:
        yield len(datasets)
        for dataset in datasets:
            yield 0xFF00, dataset

    return (evt.EVT_C_GET, handle)


def failing(kind: Any, *answers: Any) -> Any:
    def handle(event: evt.Event) -> Iterator[Any]:
        yield from answers

    return (kind, handle)


def code_of(box: Settings, study_uid: str = "1.2.3") -> str:
    with pytest.raises(PeerError) as caught:
        fetched(box, study_uid)
    return caught.value.code


def stored(box: Settings) -> int:
    return len(list(box.incoming.iterdir()))


def test_a_pacs_that_is_down_cannot_be_reached(box: Settings) -> None:
    assert code_of(as_scripted(box, free_port())) == "unreachable"


def test_one_that_answers_in_another_protocol_cannot_be_reached(box: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet() -> None:
            with server.accept()[0] as connection:
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                connection.recv(1)

        thread = threading.Thread(target=greet)
        thread.start()
        assert code_of(as_scripted(box, server.getsockname()[1])) == "unreachable"
        thread.join()


def test_one_that_offers_neither_get_nor_move_is_said_to(box: Settings) -> None:
    with scripted(offers=()) as port:
        assert code_of(as_scripted(box, port)) == "not_offered"


def test_a_failure_is_told_by_its_status_alone(box: Settings) -> None:
    refusal = Dataset()
    refusal.Status, refusal.ErrorComment = 0xA701, "Phantom^Test is locked"
    with scripted(failing(evt.EVT_C_FIND, (refusal, None))) as port:
        settings = as_scripted(box, port)
        with pytest.raises(PeerError) as caught:
            query.find_studies(Peer(settings, settings.pacs), PatientID="PHANTOM-1")
    assert (caught.value.code, caught.value.values["status"]) == ("peer_failed", "0xA701")
    assert "Phantom" not in str(caught.value)


def test_a_hundred_thousand_matches_are_cut_off(box: Settings) -> None:
    sent = []

    def flood(event: evt.Event) -> Iterator[Any]:
        for number in range(100_000):  # more than the buffers of a connection hold
            sent.append(number)
            yield 0xFF00, match(StudyInstanceUID=f"1.2.{number}")

    with scripted((evt.EVT_C_FIND, flood)) as port:
        settings = as_scripted(box, port)
        with pytest.raises(PeerError, match="too_much"):
            query.find_studies(Peer(settings, settings.pacs), PatientID="PHANTOM-1")
    assert len(sent) < 100_000


def test_one_that_breaks_off_in_the_middle_leaves_what_came(box: Settings) -> None:
    datasets = [inputs.dx(StudyInstanceUID="1.2.3") for _ in range(3)]

    def break_off(event: evt.Event) -> Iterator[Any]:
        yield 3
        yield 0xFF00, datasets[0]
        event.assoc.abort()
        yield 0xFF00, datasets[1]

    with scripted((evt.EVT_C_GET, break_off)) as port:
        assert code_of(as_scripted(box, port)) == "no_answer"
    assert stored(box) == 1


def test_images_that_do_not_come_are_counted(box: Settings) -> None:
    good = inputs.dx(StudyInstanceUID="1.2.3")
    bad = inputs.dx(StudyInstanceUID="1.2.3", SOPClassUID="1.2.840.10008.5.1.4.1.1.4")
    with scripted(answering(good, bad)) as port, pytest.raises(PeerError) as caught:
        fetched(as_scripted(box, port), "1.2.3")
    assert (caught.value.code, caught.value.values["count"]) == ("incomplete", "1")
    assert stored(box) == 1


def test_another_study_than_asked_is_refused_and_not_stored(box: Settings) -> None:
    with scripted(answering(inputs.dx(StudyInstanceUID="1.2.3"), inputs.dx(), inputs.dx())) as port:
        assert code_of(as_scripted(box, port)) == "not_asked"
    assert stored(box) == 1


def test_more_images_than_allowed_are_called_off(box: Settings) -> None:
    with scripted(answering(*(inputs.dx(StudyInstanceUID="1.2.3") for _ in range(25)))) as port:
        assert code_of(as_scripted(box, port)) == "too_much"
    assert stored(box) <= 20


def test_more_bytes_than_allowed_are_cut_off(box: Settings) -> None:
    with scripted(answering(*(inputs.dx(StudyInstanceUID="1.2.3") for _ in range(5)))) as port, spool_of(box) as spool:
        settings = as_scripted(box, port)
        asked = query.Asked(study_instance_uid="1.2.3", most=20)
        limits = Limits(size_bytes=1 << 20, seconds=60)  # each image has 450 kB
        with pytest.raises(PeerError, match="too_much"):
            query.fetch(Peer(settings, settings.pacs), asked, spool, limits)
    assert stored(box) <= 2


def test_one_that_never_ends_is_ended_after_the_time(box: Settings) -> None:
    silent, answered = threading.Event(), list[bool]()

    def stall(event: evt.Event) -> Iterator[Any]:
        if not silent.wait(20):
            answered.append(True)
        yield 0

    with scripted((evt.EVT_C_GET, stall)) as port, spool_of(box) as spool:
        settings = as_scripted(box, port)
        asked = query.Asked(study_instance_uid="1.2.3", most=20)
        try:
            with pytest.raises(PeerError, match="too_much"):
                query.fetch(Peer(settings, settings.pacs), asked, spool, Limits(size_bytes=1 << 20, seconds=0.5))
            assert answered == []  # ended by the box, and not by an answer or the library's own patience
        finally:
            silent.set()


def spiteful(pieces: Iterator[bytes], sent: list[bytes]) -> Any:
    """A C-FIND that answers with these bytes, past its library."""

    def handle(event: evt.Event) -> Iterator[Any]:
        connection = event.assoc.dul.socket.socket
        try:
            for piece in pieces:
                connection.sendall(piece)
                sent.append(piece)
        except OSError:
            event.assoc.abort()
        yield 0, None

    return (evt.EVT_C_FIND, handle)


def test_a_pdu_of_four_gibibytes_is_not_taken_in(box: Settings) -> None:
    sent = list[bytes]()
    pieces = chain([b"\4\0" + b"\xff" * 4], repeat(bytes(1 << 20), 300))
    with scripted(spiteful(pieces, sent)) as port:
        settings = as_scripted(box, port)
        with pytest.raises(PeerError, match="too_much"):
            query.find_studies(Peer(settings, settings.pacs), PatientID="PHANTOM-1")
    assert len(sent) < 100


def test_a_pdu_that_comes_byte_by_byte_holds_nothing_up(box: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def dribbled() -> Iterator[bytes]:
        yield b"\4\0\0\0\1\0"
        for _ in range(100):
            time.sleep(0.05)
            yield b"\0"

    monkeypatch.setattr(guard, "PDU_S", 0.5)
    sent = list[bytes]()
    with scripted(spiteful(dribbled(), sent)) as port:
        settings = as_scripted(box, port)
        with pytest.raises(PeerError, match="no_answer"):
            query.find_studies(Peer(settings, settings.pacs), PatientID="PHANTOM-1")
    assert len(sent) < 100


def waiting(box: Settings, database: Database, **attributes: Any) -> str:
    """A finished study that priors are looked for; its key."""
    from datetime import date, datetime

    patient = {"patient_name": "Phantom^Test", "patient_id": "PHANTOM-1", "birth_date": date(1970, 1, 2), "sex": "O"}
    taken_at = {"acquired_at": datetime(2026, 3, 1, 8), "study_instance_uid": generate_uid(), "accession_number": ""}
    result = {"state": "done", "severity": {"change": None}, "classification": {"decision": "normal"}}
    return put_finished_study(box, result, **{**patient, **taken_at, **attributes})


def test_images_of_another_patient_never_become_a_prior(box: Settings, database: Database, read: Any) -> None:
    key = waiting(box, database)
    claimed = taken("20250101")
    series = Dataset()
    series.SeriesInstanceUID, series.Modality = claimed.SeriesInstanceUID, "DX"
    other = taken("20250101", StudyInstanceUID=claimed.StudyInstanceUID, PatientName="Somebody^Else")

    def find(event: evt.Event) -> Iterator[Any]:
        if event.identifier.QueryRetrieveLevel == "SERIES":
            yield 0xFF00, series
        else:
            yield (
                0xFF00,
                match(
                    StudyInstanceUID=claimed.StudyInstanceUID,
                    StudyDate="20250101",
                    PatientName="Phantom^Test",
                    PatientBirthDate="19700102",
                ),
            )

    with scripted((evt.EVT_C_FIND, find), answering(other)) as port, spool_of(box) as spool:
        fetcher = Fetcher(as_scripted(box, port), database, spool, lambda number: None)
        while fetcher.step():
            read()
    assert stored(box) == 0
    row = database.execute("SELECT state, code FROM pulls WHERE kind = 'study'").fetchone()
    assert tuple(row) == ("failed", "not_asked")
    shown = study(box.database, key)
    assert shown is not None and shown.versions == [1] and ("study", "failed") in shown.pulled


def test_a_pacs_that_is_down_is_asked_again_later_and_given_up_at_last(
    box: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(fetch.clock, "monotonic", lambda: now[0])
    waiting(box, database)
    asked_at = []
    with spool_of(box) as spool:
        fetcher = Fetcher(as_scripted(box, free_port()), database, spool, lambda number: None)
        while database.execute("SELECT count(*) FROM pulls WHERE state = 'failed'").fetchone()[0] == 0:
            if fetcher.step():
                asked_at.append(now[0])
            now[0] += 1
            assert now[0] < 20_000
    waits = [later - earlier for earlier, later in zip(asked_at, asked_at[1:], strict=False)]
    assert len(asked_at) == pulls.MOST_ATTEMPTS
    for wait, longest in zip(waits, (5, 10, 20, 40, 80, 160, 320, *[600] * 20), strict=False):
        assert longest / 2 <= wait <= longest + 1
    (row,) = worklist(box.database, 10)
    assert row.state is State.DONE


def test_what_a_killed_process_had_begun_is_begun_again(box: Settings, database: Database) -> None:
    waiting(box, database)
    pulls.plan(database, [pulls.Kind.PRIORS])
    assert pulls.claim(database, [pulls.Kind.PRIORS]) is not None
    assert pulls.claim(database, [pulls.Kind.PRIORS]) is None
    pulls.recover(database)
    again = pulls.claim(database, [pulls.Kind.PRIORS])
    assert again is not None and again.attempts == 2


def test_how_the_last_request_ended_is_kept_until_the_next_one(box: Settings, database: Database) -> None:
    """By the process that asks: first nobody is there, then somebody."""
    waiting(box, database)
    port = free_port()
    settings = as_scripted(box, port)

    def code() -> str | None:
        last = peers.last(database, settings.pacs)
        return last.code if last else None

    assert code() is None
    with running("fetch", settings):
        eventually(lambda: code() == "unreachable")
        with scripted(failing(evt.EVT_C_FIND), port=port):
            eventually(lambda: code() == "")


def test_a_failure_on_the_association_is_kept_with_the_first_time(
    box: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with scripted(offers=[WORKLIST_FIND]) as port:
        settings = as_scripted(box, port)
        for hour in (9, 10):
            now = datetime(2026, 11, 24, hour, tzinfo=timezone.utc)
            monkeypatch.setattr(peers.clock, "utc", lambda now=now: now)
            assert code_of(settings) == "not_offered"
    with connect(box.database) as database:
        last = peers.last(database, settings.pacs)
        assert last is not None and last.text.startswith("%(peer)s does not offer")
        assert (last.code, last.since[11:13], last.asked_at[11:13]) == ("not_offered", "09", "10")
        assert peers.last(database, settings.worklist) is None
