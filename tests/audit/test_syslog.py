"""Audit messages to a real TLS server: framed as RFC 5425 has it, none lost, whatever the server does."""

from __future__ import annotations

import re
import socket
import ssl
import threading
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from edge.audit import relay
from edge.audit.relay import Relay
from edge.config import AuditSettings, Settings
from edge.dicom import certificates
from edge.store.database import connect, migrate
from edge.store.journal import Action, note_alone

FRAME = re.compile(
    rb'<85>1 \S+ \S+ chest-edge \d+ DICOM\+RFC3881 \[meta sequenceId="(\d+)"\] '
    rb"\xef\xbb\xbf<AuditMessage>.*</AuditMessage>",
    re.S,
)
WAIT_S = 20


class Server:
    """A syslog server that keeps the numbers of what it read; it may cut its first connections."""

    def __init__(self, context: ssl.SSLContext, cuts: int = 0) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._context = context
        self._cuts = cuts
        self.port = self._listening.getsockname()[1]
        self.numbers: list[int] = []
        self.refused = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                plain, _ = self._listening.accept()
            except OSError:
                return
            plain.settimeout(WAIT_S)
            try:
                self._read(self._context.wrap_socket(plain, server_side=True))
            except OSError:
                self.refused += 1

    def _read(self, secure: ssl.SSLSocket) -> None:
        with secure, secure.makefile("rb") as stream:
            while length := _length(stream.read):
                if self._cuts:
                    self._cuts -= 1
                    return  # the connection ends with messages unread
                frame = FRAME.fullmatch(stream.read(length))
                assert frame is not None
                self.numbers.append(int(frame[1]))
            secure.unwrap()

    def close(self) -> None:
        self._listening.close()


def _length(read: Callable[[int], bytes]) -> int:
    digits = b""
    while (byte := read(1)) not in (b" ", b""):
        digits += byte
    return int(digits or b"0")


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    settings = Settings(data_dir=tmp_path / "var")
    settings.data_dir.mkdir()
    certificates.issue(settings, "SYSLOG", tmp_path / "out", server=True)
    migrate(settings.database)  # only now, or the first message would tell of the certificate
    return settings.data_dir


@pytest.fixture
def context(data_dir: Path) -> ssl.SSLContext:
    place = data_dir.parent / "out"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(place / "SYSLOG.crt", place / "SYSLOG.key")
    context.load_verify_locations(place / "ca.crt")
    context.verify_mode = ssl.CERT_REQUIRED
    return context


@pytest.fixture
def server(context: ssl.SSLContext) -> Generator[Server, None, None]:
    server = Server(context)
    yield server
    server.close()


def relaying(data_dir: Path, port: int) -> Relay:
    settings = Settings(data_dir=data_dir, audit=AuditSettings(syslog_host="127.0.0.1", syslog_port=port))
    return Relay(settings, connect(settings.database))


def viewed(data_dir: Path, times: int) -> None:
    for _ in range(times):
        note_alone(data_dir / "chest-edge.sqlite", Action.STUDY_VIEWED, study_key="ab" * 16)


def test_every_message_arrives_once_and_in_order(data_dir: Path, server: Server) -> None:
    sender = relaying(data_dir, server.port)
    viewed(data_dir, 450)  # more than two batches
    sender.step()
    viewed(data_dir, 3)
    sender.step()
    sender.step()
    assert server.numbers == list(range(1, 454))


def test_a_new_relay_goes_on_where_the_old_one_was(data_dir: Path, server: Server) -> None:
    for _ in range(2):
        viewed(data_dir, 2)
        relaying(data_dir, server.port).step()
    assert server.numbers == [1, 2, 3, 4]


def test_what_was_written_without_a_server_is_sent_later(data_dir: Path, server: Server) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nowhere = closed.getsockname()[1]
    sender = relaying(data_dir, nowhere)
    viewed(data_dir, 5)
    sender.step()
    assert server.numbers == []
    relaying(data_dir, server.port).step()
    assert server.numbers == [1, 2, 3, 4, 5]


def test_a_batch_that_was_cut_is_sent_again(
    data_dir: Path, context: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server(context, cuts=2)
    now = [0.0]
    monkeypatch.setattr(relay.clock, "monotonic", lambda: now[0])
    sender = relaying(data_dir, server.port)
    viewed(data_dir, 50)
    for _ in range(4):
        sender.step()
        now[0] += 1000
    server.close()
    assert server.numbers == list(range(1, 51))


def test_after_a_failure_it_waits_longer_each_time(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[float] = []
    now = [0.0]

    def refuse(settings: Settings, batch: object) -> None:
        tries.append(now[0])
        raise ConnectionRefusedError

    monkeypatch.setattr(relay.clock, "monotonic", lambda: now[0])
    monkeypatch.setattr(relay.syslog, "send", refuse)
    sender = relaying(data_dir, 1)
    viewed(data_dir, 1)
    while now[0] < 1500:
        sender.step()
        now[0] += 1
    gaps = [after - before for before, after in zip(tries, tries[1:], strict=False)]
    assert gaps[:5] == [1, 2, 4, 8, 16] and max(gaps) <= 300


def test_a_server_that_the_box_does_not_know_gets_nothing(data_dir: Path, tmp_path: Path) -> None:
    stranger = Settings(data_dir=tmp_path / "stranger")
    stranger.data_dir.mkdir()
    certificates.issue(stranger, "SYSLOG", tmp_path / "foreign", server=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "foreign" / "SYSLOG.crt", tmp_path / "foreign" / "SYSLOG.key")
    server = Server(context)
    viewed(data_dir, 1)
    relaying(data_dir, server.port).step()
    server.close()
    assert server.numbers == []
