"""STOW-RS against the real server process, spoken to by a raw HTTP client."""

from __future__ import annotations

import json
import re
import socket
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import psutil
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import EncapsulatedPDFStorage
from waitress.server import create_server

from edge.config import Settings, StorageSettings, WebSettings
from edge.store.database import connect
from edge.web import bodies
from tests.support import inputs
from tests.support.box import WAIT_S, eventually, running
from tests.support.studies import ready_box

TYPE = 'multipart/related; type="application/dicom"; boundary=XX'


@pytest.fixture
def box(tmp_path: Path) -> Settings:
    return replace(ready_box(tmp_path / "box"), web=WebSettings(port=0))


@pytest.fixture
def port(box: Settings) -> Iterator[int]:
    with running("web", box) as process:
        port = box.run_dir / "web.port"
        eventually(port.exists)
        yield int(port.read_text())
        assert process.poll() is None


def content_of(dataset: Dataset) -> bytes:
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    file = BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def body_of(parts: Sequence[bytes], end: bytes = b"--XX--\r\n") -> bytes:
    head = b"--XX\r\nContent-Type: application/dicom\r\n\r\n"
    return b"".join(head + part + b"\r\n" for part in parts) + end


def post(
    port: int, body: bytes, address: str = "/dicomweb/studies", kind: str | None = TYPE, **headers: str
) -> tuple[int, dict[str, Any] | str]:
    lines = {"Host": "localhost", "Content-Length": str(len(body)), "Connection": "close", "Content-Type": kind}
    lines |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value is not None)
    with socket.create_connection(("127.0.0.1", port), WAIT_S) as connection:
        connection.sendall(f"POST {address} HTTP/1.1\r\n{head}\r\n".encode())
        try:
            connection.sendall(body)
        except OSError:
            body = b""  # refused before its end
        return answered(connection)


def answered(connection: socket.socket) -> tuple[int, dict[str, Any] | str]:
    answer = BytesIO()
    try:
        while piece := connection.recv(65536):
            answer.write(piece)
    except ConnectionResetError:
        assert answer.getvalue()
    top, _, rest = answer.getvalue().partition(b"\r\n\r\n")
    found = re.match(rb"HTTP/1.[01] (\d{3})", top)
    assert found
    return int(found[1]), json.loads(rest) if b"Content-Type: application/" in top else rest.decode()


def refusal(answer: tuple[int, dict[str, Any] | str]) -> tuple[int, str]:
    """Status and code of an answer that is no store response, and tells why in words."""
    status, told = answer
    assert isinstance(told, dict)
    assert told["status"] == status and " " in told["reason"], told
    return status, told["code"]


def stored(box: Settings) -> list[Path]:
    return sorted(box.incoming.iterdir())


def uids(answer: dict[str, Any] | str, sequence: str) -> list[str]:
    assert isinstance(answer, dict)
    return [item["00081155"]["Value"][0] for item in answer.get(sequence, {}).get("Value", [])]


def reasons(answer: dict[str, Any] | str) -> list[int]:
    assert isinstance(answer, dict)
    items = [item for tag in ("00081198", "0008119A") for item in answer.get(tag, {}).get("Value", [])]
    return [item["00081197"]["Value"][0] for item in items]


def test_what_is_posted_is_stored_undecoded_as_one_delivery(box: Settings, port: int) -> None:
    datasets = [inputs.dx(), inputs.dx()]
    contents = [content_of(dataset) for dataset in datasets]
    status, answer = post(port, body_of([b"#!/bin/sh".ljust(128) + contents[0][128:], contents[1]]))
    assert status == 200
    assert uids(answer, "00081199") == [dataset.SOPInstanceUID for dataset in datasets]
    assert sorted(path.read_bytes() for path in stored(box)) == sorted(contents)
    with connect(box.database) as database:
        rows = database.execute("SELECT association_id, state FROM instances").fetchall()
        ended = database.execute("SELECT state FROM associations").fetchall()
    assert len({row["association_id"] for row in rows}) == 1
    assert [row["state"] for row in ended] == ["released"]
    assert not any(datasets[0].SOPInstanceUID in path.read_text() for path in box.run_dir.glob("*.log"))


def test_an_object_posted_twice_is_kept_once(box: Settings, port: int) -> None:
    content = content_of(inputs.dx())
    assert [post(port, body_of([content]))[0] for _ in range(2)] == [200, 200]
    assert len(stored(box)) == 1


def test_a_named_study_takes_its_own_objects_only(box: Settings, port: int) -> None:
    own, other = inputs.dx(), inputs.dx()
    address = f"/dicomweb/studies/{own.StudyInstanceUID}"
    status, answer = post(port, body_of([content_of(own), content_of(other)]), address)
    assert status == 202
    assert uids(answer, "00081199") == [own.SOPInstanceUID]
    assert (uids(answer, "00081198"), reasons(answer)) == ([other.SOPInstanceUID], [0xC001])
    assert post(port, body_of([content_of(other)]), address)[0] == 409
    assert [dcmread(path).SOPInstanceUID for path in stored(box)] == [own.SOPInstanceUID]


def test_what_the_box_does_not_take_is_named_with_its_reason(box: Settings, port: int) -> None:
    report = inputs.dx(SOPClassUID=EncapsulatedPDFStorage)
    status, answer = post(port, body_of([content_of(report), b"no image", b""]))
    assert (status, reasons(answer)) == (409, [0x0122, 0xC000, 0xC000])
    assert uids(answer, "00081198") == [report.SOPInstanceUID]
    assert stored(box) == []


@pytest.mark.parametrize(
    "kind",
    [None, "application/dicom", "multipart/form-data; boundary=XX", TYPE.replace("dicom", "dicom+json")],
    ids=str,
)
def test_another_type_is_refused(box: Settings, port: int, kind: str | None) -> None:
    assert refusal(post(port, body_of([content_of(inputs.dx())]), kind=kind)) == (415, "other_type")


@pytest.mark.parametrize(
    ("body", "kind", "code"),
    [
        (b"", TYPE, "cut_off"),
        (b"--XX--\r\n", TYPE, "no_part"),
        (body_of([b"x"]), TYPE.replace("XX", "YY"), "not_multipart"),
        (body_of([b"x"]), TYPE.replace("boundary=XX", ""), "no_boundary"),
        (body_of([b"x"]), TYPE.replace("XX", "X" * 100), "no_boundary"),
        (body_of([b"x"], end=b""), TYPE, "cut_off"),
        (b"--XX\r\nContent-Type application/dicom\r\n\r\nx\r\n--XX--", TYPE, "not_multipart"),
        (b"--XX\r\n" + b"A" * 100_000, TYPE, "not_multipart"),
        (b"\x00" * 50_000, TYPE, "not_multipart"),
    ],
    ids=["empty", "no part", "other boundary", "no boundary", "long boundary", "no end", "no colon", "header", "zeros"],
)
def test_a_broken_body_is_refused(box: Settings, port: int, body: bytes, kind: str, code: str) -> None:
    assert refusal(post(port, body, kind=kind)) == (400, code)
    assert stored(box) == []


def test_what_came_before_a_break_is_kept_and_named(box: Settings, port: int) -> None:
    first, second = inputs.dx(), inputs.dx()
    body = body_of([content_of(first), content_of(second)[:1000]], end=b"")
    status, answer = post(port, body)
    assert (status, uids(answer, "00081199"), reasons(answer)) == (400, [first.SOPInstanceUID], [0xC000])
    assert len(stored(box)) == 1
    with connect(box.database) as database:
        row = database.execute("SELECT state, way FROM associations").fetchone()
    assert tuple(row) == ("aborted", "program")


def test_ten_thousand_tiny_parts_end_at_the_limit(box: Settings, port: int) -> None:
    status, answer = post(port, body_of([b"x"] * 10_000))
    assert (status, len(reasons(answer))) == (400, 5001)


@pytest.mark.parametrize(
    ("request_line", "status", "code"),
    [
        ("GET /dicomweb/studies HTTP/1.1", 405, "other_method"),
        ("DELETE /dicomweb/studies HTTP/1.1", 405, "other_method"),
        ("GET /dicomweb HTTP/1.1", 404, "no_address"),
        ("GET /dicomweb/series HTTP/1.1", 404, "no_address"),
        ("POST /dicomweb/series HTTP/1.1", 404, "no_address"),
        ("nonsense", 400, "bad_request"),
        (f"POST /dicomweb/studies HTTP/1.1\r\nX-Long: {'x' * 20_000}", 431, "long_header"),
        ("POST /dicomweb/studies HTTP/1.1\r\nTransfer-Encoding: gzip", 501, "fault"),
    ],
)
def test_every_refused_request_has_its_reason_as_json(port: int, request_line: str, status: int, code: str) -> None:
    with socket.create_connection(("127.0.0.1", port), WAIT_S) as connection:
        connection.sendall(f"{request_line}\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        assert refusal(answered(connection)) == (status, code)


@pytest.fixture
def door(box: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A server in this process, with no page behind it."""
    server = create_server(lambda *_: [], host="127.0.0.1", port=0, ident=None)
    monkeypatch.setattr(tempfile, "tempdir", tempfile.tempdir)
    bodies.limit(server, box.data_dir, box.run_dir)
    threading.Thread(target=server.run, daemon=True).start()
    yield server.effective_port
    server.close()


def begun(door: int, header: str) -> tuple[int, str]:
    """The refusal of a request of which only a little came."""
    with socket.create_connection(("127.0.0.1", door), WAIT_S) as connection:
        head = f"POST /dicomweb/studies HTTP/1.1\r\nHost: localhost\r\n{header}\r\n\r\n"
        connection.sendall(head.encode() + b"1\r\nx\r\n")
        return refusal(answered(connection))


def test_a_body_that_takes_too_long_is_refused(door: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "_SLOWEST_S", 0.0)
    assert begun(door, "Content-Length: 90") == (408, "too_slow")


def test_a_body_of_unknown_length_needs_room_for_the_longest(door: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "partition_share", lambda folder, extra_bytes: extra_bytes / (4 << 30))
    assert begun(door, "Transfer-Encoding: chunked") == (507, "no_room")


def test_a_box_without_room_for_the_body_refuses_it_in_words(door: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "partition_share", lambda folder, extra_bytes: extra_bytes / 150)
    assert begun(door, "Content-Length: 90") == (507, "no_room")


def test_a_database_that_cannot_be_written_is_told_in_words(box: Settings, port: int) -> None:
    with connect(box.database) as database:
        database.execute("DROP TABLE associations")
    assert refusal(post(port, body_of([content_of(inputs.dx())]))) == (507, "database")


def test_a_foreign_page_stores_nothing(box: Settings, port: int) -> None:
    body = body_of([content_of(inputs.dx())])
    for headers in ({"Origin": "http://attacker.example"}, {"Sec_Fetch_Site": "cross-site"}, {"Origin": "null"}):
        assert refusal(post(port, body, **headers)) == (403, "foreign_page")
    assert refusal(post(port, body, Host="attacker.example")) == (400, "bad_request")
    assert stored(box) == []


@pytest.mark.parametrize("address", ["/", "/stick/1/take"])
def test_other_addresses_keep_their_small_limit(box: Settings, port: int, address: str) -> None:
    assert refusal(post(port, bytes(20_000), address)) == (413, "too_large")


def test_a_large_body_is_streamed(box: Settings, port: int) -> None:
    web = psutil.Process()
    (process,) = [child for child in web.children() if "edge.process" in child.cmdline()]
    content = content_of(inputs.dx())
    before = process.memory_info().rss
    status, _ = post(port, body_of([content + bytes(300 << 20)]))
    assert status == 200
    assert process.memory_info().rss - before < 100 << 20
    assert [path.stat().st_size for path in stored(box)] == [len(content) + (300 << 20)]


@pytest.mark.parametrize(
    ("line", "status", "code"),
    [
        ("POST /dicomweb/studies/", 404, "no_address"),
        ("POST /dicomweb/studies/CANARY", 404, "no_address"),
        ("POST /dicomweb/stow", 404, "no_address"),
        ("PUT /dicomweb/studies", 405, "other_method"),
    ],
)
@pytest.mark.parametrize("length", [0, 1 << 20])
def test_another_address_is_told_so_whatever_the_size(
    port: int, line: str, status: int, code: str, length: int
) -> None:
    with socket.create_connection(("127.0.0.1", port), WAIT_S) as connection:
        head = f"{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
        connection.sendall(head.encode())
        assert refusal(answered(connection)) == (status, code)


def test_more_than_the_limit_is_refused_before_it_is_sent_and_takes_no_place(port: int) -> None:
    for _ in range(3):
        assert refusal(post(port, b"", Content_Length=str(3 << 30), Expect="100-continue")) == (413, "too_large")


def test_a_full_box_is_told_in_the_answer(box: Settings) -> None:
    full = replace(box, storage=StorageSettings(budget_mb=1))
    dataset = inputs.dx(inputs.phantom(1024, 1024))
    with running("web", full):
        port = box.run_dir / "web.port"
        eventually(port.exists)
        status, answer = post(int(port.read_text()), body_of([content_of(dataset)]))
    assert (status, reasons(answer)) == (507, [0xA700])
    assert stored(box) == []


def test_slow_bodies_hold_two_places_and_the_page_answers(box: Settings, port: int) -> None:
    body = body_of([content_of(inputs.dx())])
    head = f"POST /dicomweb/studies HTTP/1.1\r\nHost: localhost\r\nContent-Type: {TYPE}\r\nContent-Length: {len(body)}"
    slow = []
    for _ in range(2):
        connection = socket.create_connection(("127.0.0.1", port), WAIT_S)
        connection.sendall(f"{head}\r\n\r\n".encode() + body[:100])
        slow.append(connection)
    time.sleep(0.5)
    assert refusal(post(port, body)) == (503, "busy")
    with socket.create_connection(("127.0.0.1", port), WAIT_S) as page:
        page.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert page.recv(12) == b"HTTP/1.1 200"
    slow.pop().close()
    eventually(lambda: post(port, body)[0] == 200)
    slow[0].sendall(body[100:])
    assert slow[0].recv(12) == b"HTTP/1.1 200"
    slow[0].close()
