"""Peers of the receiver, byte by byte: a well-behaved one that is fast, and those that are not (PS3.8 section 9.3)."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil

PATIENCE_S = 20.0
_VERIFICATION = b"1.2.840.10008.1.1"
_IMPLICIT = b"1.2.840.10008.1.2"
_APPLICATION = b"1.2.840.10008.3.1.1.1"

RELEASE_RQ = bytes((5, 0, 0, 0, 0, 4, 0, 0, 0, 0))
ABORT = bytes((7, 0, 0, 0, 0, 4, 0, 0, 0, 0))


def pdu(kind: int, body: bytes) -> bytes:
    """A PDU of this type around a body."""
    return bytes((kind, 0)) + len(body).to_bytes(4, "big") + body


def request(called: str = "CHESTEDGE", calling: str = "PEER") -> bytes:
    """An A-ASSOCIATE-RQ for Verification."""
    context = bytes((1, 0, 0, 0)) + _item(0x30, _VERIFICATION) + _item(0x40, _IMPLICIT)
    user = _item(0x51, (16384).to_bytes(4, "big")) + _item(0x52, b"1.2.3.4")
    titles = called.encode().ljust(16) + calling.encode().ljust(16)
    items = _item(0x10, _APPLICATION) + _item(0x20, context) + _item(0x50, user)
    return pdu(1, b"\0\1\0\0" + titles + bytes(32) + items)


def echo_request() -> bytes:
    """A P-DATA-TF with a C-ECHO-RQ (PS3.7 section 9.3.5)."""
    elements = (
        _element(0x0002, _VERIFICATION + b"\0")
        + _element(0x0100, b"\x30\0")
        + _element(0x0110, b"\1\0")
        + _element(0x0800, b"\1\1")
    )
    command = _element(0x0000, len(elements).to_bytes(4, "little")) + elements
    value = bytes((1, 3)) + command
    return pdu(4, len(value).to_bytes(4, "big") + value)


def _item(kind: int, body: bytes) -> bytes:
    return bytes((kind, 0)) + len(body).to_bytes(2, "big") + body


def _element(number: int, value: bytes) -> bytes:
    return b"\0\0" + number.to_bytes(2, "little") + len(value).to_bytes(4, "little") + value


@contextmanager
def connected(port: int, source: str = "127.0.0.1") -> Generator[socket.socket, None, None]:
    """A connection from this address."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE_S, (source, 0)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield connection


def read_pdu(connection: socket.socket) -> bytes:
    """The next PDU, or less where the box closes."""
    header = _read(connection, 6)
    return header + _read(connection, int.from_bytes(header[2:6], "big"))


def _read(connection: socket.socket, count: int) -> bytes:
    received = b""
    while len(received) < count:
        try:
            piece = connection.recv(count - len(received))
        except ConnectionError:
            piece = b""
        if not piece:
            break
        received += piece
    return received


def quick_echo(port: int, source: str = "127.0.0.1") -> float | None:
    """Seconds of one association with a C-ECHO, or None where it did not come to its end."""
    started = time.monotonic()
    try:
        with connected(port, source) as connection:
            for sent, expected in ((request(), 2), (echo_request(), 4), (RELEASE_RQ, 6)):
                connection.sendall(sent)
                if read_pdu(connection)[:1] != bytes((expected,)):
                    return None
    except OSError:
        return None
    return time.monotonic() - started


def seconds_until_cut(connection: socket.socket, piece: bytes = b"", every_s: float = 1.0) -> float:
    """How long the box bears a peer that sends one byte at a time, or none."""
    started = time.monotonic()
    connection.settimeout(every_s)
    pieces = iter(piece)
    while time.monotonic() - started < 60:
        try:
            connection.sendall(bytes([next(pieces)]) if piece else b"")
            if connection.recv(1) == b"":
                break
        except TimeoutError:
            continue
        except OSError:
            break
    return time.monotonic() - started


@dataclass(frozen=True)
class Script:
    """What a misbehaving peer sends, one PDU or what it takes for one after the other.

    Attributes
    ----------
    answers : how many PDUs it waits for after the first thing it sent.
    resets : whether it ends with a reset instead of a close.
    """

    name: str
    sent: tuple[bytes, ...]
    answers: int = 0
    resets: bool = False


def play(script: Script, port: int, source: str) -> None:
    """Play a script to the box; whatever the box does about it is right, as long as it lives."""
    try:
        with connected(port, source) as connection:
            for number, piece in enumerate(script.sent):
                connection.sendall(piece)
                for _ in range(script.answers if number == 0 else 0):
                    read_pdu(connection)
            if script.resets:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    except OSError:
        return


def malformed(randomly: random.Random) -> Script:
    """A peer that sends something that is wrong, each time something else."""
    name, make = randomly.choice(tuple(_FAULTS.items()))
    sent = make(randomly)
    is_associated = sent[0] == request()
    return Script(name, sent, answers=int(is_associated), resets=randomly.random() < 0.3)


def _flipped(content: bytes, randomly: random.Random, times: int = 4) -> bytes:
    changed = bytearray(content)
    for _ in range(randomly.randint(1, times)):
        changed[randomly.randrange(len(changed))] = randomly.randrange(256)
    return bytes(changed)


def _garbage(randomly: random.Random) -> bytes:
    return randomly.randbytes(randomly.randint(1, 300))


_Fault = Callable[[random.Random], tuple[bytes, ...]]
_FAULTS: dict[str, _Fault] = {
    "garbage": lambda r: (_garbage(r),),
    "unknown type": lambda r: (pdu(r.choice((0, *range(8, 256))), _garbage(r)),),
    "a web browser": lambda r: (b"GET / HTTP/1.1\r\nHost: box\r\n\r\n",),
    "request with flipped bytes": lambda r: (_flipped(request(), r),),
    "request with flipped items": lambda r: (request()[:74] + _flipped(request()[74:], r),),
    "request cut short": lambda r: (request()[: r.randrange(1, len(request()))],),
    "request of garbage": lambda r: (pdu(1, request()[6:74] + _garbage(r)),),
    "huge length": lambda r: (bytes((1, 0)) + r.randrange(1 << 18, 1 << 32).to_bytes(4, "big") + _garbage(r),),
    "data first": lambda r: (echo_request(),),
    "release first": lambda r: (RELEASE_RQ,),
    "request twice": lambda r: (request(), request()),
    "answer instead": lambda r: (request(), pdu(r.choice((2, 3, 6)), _garbage(r))),
    "data with flipped bytes": lambda r: (request(), _flipped(echo_request(), r)),
    "data cut short": lambda r: (request(), echo_request()[: r.randrange(1, len(echo_request()))]),
    "data of garbage": lambda r: (request(), pdu(4, _garbage(r))),
    "data of a huge length": lambda r: (request(), bytes((4, 0)) + r.randrange(1 << 20, 1 << 32).to_bytes(4, "big")),
    "empty data": lambda r: (request(), pdu(4, b"")),
    "garbage after": lambda r: (request(), _garbage(r)),
    "left without a word": lambda r: (request(),),
    "aborted": lambda r: (request(), ABORT + _garbage(r)),
}


def threads(pid: int) -> int:
    """How many threads a process has."""
    return psutil.Process(pid).num_threads()


def rss_mib(pid: int) -> float:
    """Memory that a process holds."""
    return psutil.Process(pid).memory_info().rss / (1 << 20)
