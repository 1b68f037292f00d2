"""STOW-RS with a scripted server: what each answer makes of the object and of the destination."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from edge.config import DestinationSettings, Settings
from edge.store import sent
from tests.export.test_courier import Clock, delivered, words
from tests.support.exports import SC, box_with, courier, drain, put_result, states

pytestmark = pytest.mark.usefixtures("small_objects")
JSON = "application/dicom+json"


class Server:
    """A DICOMweb server that answers as told: status, headers and body by the instance it was sent."""

    def __init__(self, answer: Callable[[str], tuple[int, dict[str, str], bytes]]) -> None:
        self.answer = answer
        self.requests: list[tuple[str, dict[str, str], bytes]] = []

    @contextmanager
    def running(self) -> Generator[str, None, None]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.requests.append((self.path, dict(self.headers), body))
                status, headers, content = outer.answer(_instance(body))
                if status == 0:
                    self.connection.close()
                    return
                self.send_response(status)
                for name, value in {"Content-Length": str(len(content)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                return

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/dicom-web"
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


def _instance(body: bytes) -> str:
    import io

    from pydicom import dcmread

    start = body.index(b"\r\n\r\n") + 4
    return str(dcmread(io.BytesIO(body[start : body.rindex(b"\r\n--")])).SOPInstanceUID)


def module(uid: str, reason: int | None = None, warning: int | None = None) -> bytes:
    item: dict[str, Any] = {"00081155": {"vr": "UI", "Value": [uid]}}
    if reason is not None:
        return json.dumps({"00081198": {"vr": "SQ", "Value": [{**item, "00081197": {"Value": [reason]}}]}}).encode()
    if warning is not None:
        item["00081196"] = {"vr": "US", "Value": [warning]}
    return json.dumps({"00081199": {"vr": "SQ", "Value": [item]}}).encode()


def stow(tmp_path: Path, url: str, **changes: Any) -> Settings:
    given = {"name": "Web", "kind": "stow", "url": url, "objects": SC, **changes}
    return box_with(tmp_path / "box", DestinationSettings(**given))


def sent_to(tmp_path: Path, server: Server, **changes: Any) -> Settings:
    with server.running() as url:
        box = stow(tmp_path, url, **changes)
        put_result(box)
        with courier(box) as sender:
            drain(sender)
    return box


def test_what_is_stored_is_done_as_there_is_no_commitment(tmp_path: Path) -> None:
    server = Server(lambda uid: (200, {"Content-Type": JSON}, module(uid)))
    box = sent_to(tmp_path, server, objects=("sc", "pdf"))
    assert states(box) == ["stored", "stored"] and delivered(box)
    path, headers, body = server.requests[0]
    assert path == "/dicom-web/studies" and 'type="application/dicom"' in headers["Content-Type"]
    assert "Authorization" not in headers and b"DICM" in body


@pytest.mark.parametrize(
    ("status", "reason", "state"),
    [
        (409, 0xA900, "dead"),
        (409, 0xC000, "dead"),
        (202, 0x0122, "dead"),
        (200, 0xC122, "dead"),
        (202, 0xA700, "queued"),
        (409, 0x0110, "queued"),
        (409, 0xB000, "queued"),
        (409, 0x0111, "stored"),
    ],
)
def test_each_object_gets_what_the_list_of_failures_says(tmp_path: Path, status: int, reason: int, state: str) -> None:
    box = sent_to(tmp_path, Server(lambda uid: (status, {"Content-Type": JSON}, module(uid, reason))))
    assert states(box) == [state]


def test_a_warning_is_kept(tmp_path: Path) -> None:
    box = sent_to(tmp_path, Server(lambda uid: (202, {"Content-Type": JSON}, module(uid, warning=0xB000))))
    assert states(box) == ["stored"] and delivered(box)


@pytest.mark.parametrize(("status", "state"), [(400, "dead"), (409, "dead"), (413, "dead"), (415, "dead")])
def test_a_refusal_without_a_list_is_dead_with_the_servers_words(tmp_path: Path, status: int, state: str) -> None:
    server = Server(lambda uid: (status, {"Content-Type": "text/plain"}, b"no such thing for Example"))
    box = sent_to(tmp_path, server)
    assert states(box) == [state]
    assert (words(box)["words"], f"HTTP {status}" in words(box)["text"]) == ("no such thing for …", True)


@pytest.mark.parametrize("status", [202, 500])
def test_what_may_pass_is_tried_again(tmp_path: Path, status: int) -> None:
    assert states(sent_to(tmp_path, Server(lambda uid: (status, {}, b"oops")))) == ["queued"]


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (401, "unauthorized"),
        (403, "unauthorized"),
        (404, "not_dicomweb"),
        (405, "not_dicomweb"),
        (429, "busy"),
        (503, "busy"),
        (507, "no_room"),
        (301, "redirected"),
        (307, "redirected"),
    ],
)
def test_a_server_that_takes_nothing_now_makes_nothing_dead(tmp_path: Path, status: int, code: str) -> None:
    server = Server(lambda uid: (status, {"Location": "http://127.0.0.1:1/other"}, b""))
    box = sent_to(tmp_path, server, objects=("sc", "pdf"))
    assert states(box) == ["queued", "queued"] and len(server.requests) == 1
    standing = sent.standings(box.database, box)[0]
    assert standing.trouble is not None and standing.trouble["code"] == code


def test_retry_after_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    later = Clock(monkeypatch)
    answers = [(503, {"Retry-After": "120"}, b"")]
    server = Server(lambda uid: answers.pop() if answers else (200, {"Content-Type": JSON}, module(uid)))
    with server.running() as url:
        box = stow(tmp_path, url)
        put_result(box)
        with courier(box) as sender:
            drain(sender)
            later.now += 60
            assert drain(sender) == 0
            later.now += 61
            drain(sender)
    assert states(box) == ["stored"]


def test_one_that_closes_in_the_middle_broke_off(tmp_path: Path) -> None:
    box = sent_to(tmp_path, Server(lambda uid: (0, {}, b"")))
    assert states(box) == ["queued"] and words(box)["code"] == "broke_off"


def test_nonsense_with_success_counts_and_with_failure_does_not(tmp_path: Path) -> None:
    for number, (body, state) in enumerate(
        ((b"<html>", "stored"), (b"[1, 2", "stored"), (b'{"00081198": 7}', "stored"))
    ):
        assert states(sent_to(tmp_path / str(number), Server(lambda uid, body=body: (200, {}, body)))) == [state]


@pytest.mark.parametrize(
    ("line", "expected"),
    [("box:se:cret", "Basic Ym94OnNlOmNyZXQ="), ("Bearer abc.def", "Bearer abc.def")],
)
def test_the_credential_goes_along(tmp_path: Path, line: str, expected: str) -> None:
    secret = tmp_path / "secret"
    secret.write_text(f"{line}\n")
    server = Server(lambda uid: (200, {"Content-Type": JSON}, module(uid)))
    sent_to(tmp_path, server, credential=str(secret))
    assert server.requests[0][1]["Authorization"] == expected


@pytest.mark.parametrize("content", [None, "", "nonsense", "Bearer two words"])
def test_a_credential_that_is_none_is_told(tmp_path: Path, content: str | None) -> None:
    secret = tmp_path / "secret"
    if content is not None:
        secret.write_text(content)
    server = Server(lambda uid: (200, {}, b""))
    box = sent_to(tmp_path, server, credential=str(secret))
    assert not server.requests and states(box) == ["queued"]
    standing = sent.standings(box.database, box)[0]
    assert standing.trouble is not None and standing.trouble["code"] == "bad_credential"


def test_one_that_drips_its_answer_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from edge.export import stow as sending

    monkeypatch.setattr(sending, "_WHOLE_S", 0.5)
    answer = b"HTTP/1.1 200 OK\r\nX: " + b"." * 60 + b"\r\nContent-Length: 0\r\n\r\n"

    def drip(listening: socket.socket) -> None:
        peer, _ = listening.accept()
        with peer:
            try:
                for letter in answer:
                    peer.sendall(bytes([letter]))
                    threading.Event().wait(0.05)
            except OSError:
                return

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=drip, args=(listening,))
        thread.start()
        box = stow(tmp_path, f"http://127.0.0.1:{listening.getsockname()[1]}")
        put_result(box)
        with courier(box) as sender:
            sender.step()
        thread.join()
    assert states(box) == ["queued"] and words(box)["code"] == "broke_off"
