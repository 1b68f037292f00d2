"""Sends by STOW-RS: one object a request over one connection, so that each answer is about one (PS3.18 section 10.5).

What is trusted is the box's own authority and ``certificates/trusted``, or the file of the setting ``ca``; with
that the name in the certificate has to fit as well. Redirects are refused: they would carry objects and the
credential to a place that nobody entered. Rejected: many objects a request, of which a broken
connection tells nothing.
"""

from __future__ import annotations

import base64
import http.client
import json
import re
import secrets
import socket
import ssl
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydicom import dcmread

from edge import __version__, log
from edge.config import DestinationSettings, Settings
from edge.dicom.tls import client_context
from edge.errors import SendError
from edge.export.answers import Answer, Asked, Fate, of_status

_TIMEOUT_S = 30.0
_WHOLE_S = 900.0
_MAX_ANSWER_BYTES = 1 << 20
_LONGEST_WAIT_S = 3600.0
_FAILED, _STORED, _REASON, _WARNING, _INSTANCE = "00081198", "00081199", "00081197", "00081196", "00081155"
_HAS_A_LIST = (200, 202, 409)
_OBJECT_AT_FAULT = (400, 406, 413, 415, 422)
_TROUBLES = {401: "unauthorized", 403: "unauthorized", 407: "unauthorized", 404: "not_dicomweb", 405: "not_dicomweb"}
_BUSY = {408: "busy", 429: "busy", 502: "busy", 503: "busy", 504: "busy", 507: "no_room"}


class Stow:
    """One destination that is spoken to by DICOMweb."""

    def __init__(self, settings: Settings, destination: DestinationSettings) -> None:
        self._settings = settings
        self._destination = destination

    @contextmanager
    def connected(self, paths: Sequence[Path]) -> Generator[Asked, None, None]:
        """A connection for these objects.

        Raises
        ------
        EdgeError
            There is none; no object is at fault.
        """
        headers = self._authorization()
        parts = urlsplit(self._destination.url)
        host, port = parts.hostname or "", parts.port
        if parts.scheme == "https":
            tls = http.client.HTTPSConnection(host, port, timeout=_TIMEOUT_S, context=self._context())
            connection: http.client.HTTPConnection = tls
        else:
            connection = http.client.HTTPConnection(host, port, timeout=_TIMEOUT_S)
        try:
            connection.connect()
        except OSError as error:
            raise SendError("unreachable", peer=self._destination.name) from error
        try:
            yield _Connection(self._destination, connection, headers)
        finally:
            connection.close()

    def _context(self) -> ssl.SSLContext:
        if not self._destination.ca:
            return client_context(self._settings)
        try:
            return ssl.create_default_context(cafile=self._destination.ca)
        except (OSError, ssl.SSLError) as error:
            raise SendError("bad_authority", peer=self._destination.name) from error

    def _authorization(self) -> dict[str, str]:
        if not self._destination.credential:
            return {}
        try:
            lines = Path(self._destination.credential).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise SendError("bad_credential", peer=self._destination.name) from error
        line = lines[0].strip() if lines else ""
        if re.fullmatch(r"Bearer [!-~]+", line):
            return {"Authorization": line}
        if ":" not in line:
            raise SendError("bad_credential", peer=self._destination.name)
        return {"Authorization": f"Basic {base64.b64encode(line.encode()).decode()}"}


class _Connection:
    def __init__(
        self, destination: DestinationSettings, connection: http.client.HTTPConnection, headers: dict[str, str]
    ) -> None:
        self._destination = destination
        self._connection = connection
        self._headers = headers
        self._path = urlsplit(destination.url).path.rstrip("/") + "/studies"

    def send(self, path: Path) -> Answer:
        """Send a file, and return what came of it.

        Raises
        ------
        SendError
            The destination takes nothing now; the object is not at fault.
        """
        boundary = secrets.token_hex(16)
        head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        body = head + path.read_bytes() + f"\r\n--{boundary}--\r\n".encode()
        headers = {
            **self._headers,
            "Accept": "application/dicom+json",
            "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}',
            "User-Agent": f"chest-edge/{__version__}",
        }
        try:
            if self._connection.sock is None:  # the server closed it after the last answer
                self._connection.connect()
            with _deadline(self._connection.sock):
                # A server that refuses may answer and close before it has read everything.
                with suppress(BrokenPipeError, ConnectionResetError, ssl.SSLEOFError):
                    self._connection.request("POST", self._path, body, headers)
                response = self._connection.getresponse()
                told = response.read(_MAX_ANSWER_BYTES + 1)
        except (OSError, http.client.HTTPException):
            return Answer(fate=Fate.BROKEN, error=SendError("broke_off", peer=self._destination.name))
        if len(told) > _MAX_ANSWER_BYTES:
            self._connection.close()
        return self._understood(response, told, path)

    def _understood(self, response: http.client.HTTPResponse, told: bytes, path: Path) -> Answer:
        status = response.status
        values: dict[str, Any] = {"peer": self._destination.name, "status": f"HTTP {status}"}
        if status in _HAS_A_LIST:
            listed = _listed(self._destination, told, _uid(path))
            if listed is not None:
                return listed
        if 200 <= status < 300 and status != 202:
            return Answer(fate=Fate.TAKEN)
        if 300 <= status < 400:
            raise SendError("redirected", **values)
        if status in _TROUBLES or status in _BUSY:
            code = _TROUBLES.get(status) or _BUSY[status]
            raise SendError(code, wait_s=_seconds(response.getheader("Retry-After")), **values)
        fate, code = (
            (Fate.REFUSED, "object_refused") if status in (*_OBJECT_AT_FAULT, 409) else (Fate.FAILED, "object_failed")
        )
        return Answer(fate=fate, error=SendError(code, **values), words=_words(response, told))


@contextmanager
def _deadline(connection: socket.socket) -> Generator[None, None, None]:
    """End what takes too long as a whole: with each byte that comes the timeout of the socket begins anew."""

    def cut() -> None:
        log.event("peer_cut", code="too_long")
        with suppress(OSError):
            socket.socket.shutdown(connection, socket.SHUT_RDWR)  # that of TLS would take its state from who reads

    timer = threading.Timer(_WHOLE_S, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _listed(destination: DestinationSettings, told: bytes, uid: str) -> Answer | None:
    """What a Store Instances Response Module says of an object (PS3.3 section C.17.2); None where it says nothing."""
    try:
        answer: Any = json.loads(told)
        failed = _reasons(answer, _FAILED, _REASON)
        stored = _reasons(answer, _STORED, _WARNING)
    except (ValueError, TypeError, AttributeError, KeyError, IndexError):
        return None
    if uid in failed:
        reason = failed[uid] or 0x0110
        found = of_status(destination, reason)
        if found.fate is not Fate.TAKEN or reason == 0x0111:  # stored before counts
            return found
        return of_status(destination, 0x0110)
    return of_status(destination, stored[uid]) if uid in stored else None


def _reasons(answer: Any, sequence: str, reason: str) -> dict[str, int]:
    items = answer.get(sequence, {}).get("Value") or []
    return {str(item[_INSTANCE]["Value"][0]): int((item.get(reason, {}).get("Value") or [0])[0]) for item in items}


def _uid(path: Path) -> str:
    return str(dcmread(path, stop_before_pixels=True, specific_tags=["SOPInstanceUID"]).SOPInstanceUID)


def _words(response: http.client.HTTPResponse, told: bytes) -> str:
    """The server's own words, where they are meant for people."""
    if response.headers.get_content_type() == "text/plain":
        return told.decode("utf-8", "replace")
    try:
        answer = json.loads(told)
    except ValueError:
        return response.reason
    said = [answer.get(name) for name in ("Details", "Message", "message", "error")] if isinstance(answer, dict) else []
    return next((text for text in said if isinstance(text, str) and text), response.reason)


def _seconds(given: str | None) -> float:
    """Seconds of a Retry-After (RFC 9110 section 10.2.3); a date is not looked at: the clock may be wrong."""
    return min(float(given), _LONGEST_WAIT_S) if given and given.isascii() and given.isdigit() else 0.0
