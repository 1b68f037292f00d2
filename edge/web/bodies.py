"""How large a request may be: small, but for images that come by STOW-RS, and those only while there is room.

waitress collects a body in a file before the application sees it, so the limits are set where the
header has just been read. Rejected: one limit for every address, which would let any request fill the disk.
"""

from __future__ import annotations

import copy
import re
import tempfile
from http import HTTPStatus
from pathlib import Path
from typing import Any
from weakref import WeakSet

from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.server import BaseWSGIServer
from waitress.task import ErrorTask
from waitress.utilities import Error

from edge import clock
from edge.store.budget import REFUSE_FROM, partition_share
from edge.web import refusals

STOW_PATH = re.compile(r"/dicomweb/studies(/[0-9.]{1,64})?")
MOST_STOW_BYTES = 2 << 30
_MOST_AT_ONCE = 2
_SLOWEST_S = 900.0


def limit(server: BaseWSGIServer, data_dir: Path, folder: Path) -> None:
    """Let images come in, by two requests at once, each for a quarter of an hour at most.

    Parameters
    ----------
    folder : where bodies are collected, on the disk of the data.
    """
    tempfile.tempdir = str(folder)
    server.adj.stow = copy.copy(server.adj)
    server.adj.stow.max_request_body_size = MOST_STOW_BYTES
    server.adj.stow.data_dir = data_dir
    server.adj.stow.bodies = WeakSet()
    server.channel_class = _Channel


class _Refusal(Error):  # type: ignore[misc]
    def __init__(self, code: int) -> None:
        super().__init__("")
        self.code = code

    def to_response(self, ident: str | None = None) -> tuple[str, list[tuple[str, str]], bytes]:
        status = f"{self.code} {HTTPStatus(self.code).phrase}"
        return status, [("Content-Type", "application/json")], refusals.told(self.code).encode()


class _Parser(HTTPRequestParser):  # type: ignore[misc]
    adj: Any
    completed: bool
    begun_at: float | None = None
    refusal: Error | None = None

    def parse_header(self, header_plus: bytes) -> None:
        """Choose the limits by the address."""
        super().parse_header(header_plus)
        stow = getattr(self.adj, "stow", None)
        is_stow = STOW_PATH.fullmatch(self.path) is not None
        if self.path.startswith("/dicomweb/") and not (is_stow and self.command == "POST"):
            if self.chunked or self.content_length >= self.adj.max_request_body_size:
                self.refusal = _Refusal(405 if is_stow else 404)  # else it would be told that it is too large
        elif is_stow and stow is not None:
            self.begun_at = clock.monotonic()
            if self.content_length >= MOST_STOW_BYTES:  # told before a place is taken
                self.refusal = _Refusal(413)
                return
            most_bytes = MOST_STOW_BYTES if self.chunked else self.content_length
            # Collected once on the way in, and stored once.
            if partition_share(stow.data_dir, 2 * most_bytes) >= REFUSE_FROM:
                self.refusal = _Refusal(507)
            elif len(stow.bodies) >= _MOST_AT_ONCE:
                self.refusal = _Refusal(503)
            else:
                self.adj = stow
                stow.bodies.add(self)

    def received(self, data: bytes) -> int:
        """Take in what came, or refuse it."""
        consumed = int(super().received(data))
        if self.begun_at is not None and not self.completed and clock.monotonic() - self.begun_at > _SLOWEST_S:
            self.refusal = _Refusal(408)
        if self.refusal is not None:
            self.error, self.completed = self.refusal, True
        if self.error is not None:
            self.expect_continue = False  # waitress would ask for the body, and read it to its limit
        return consumed


class _Telling(ErrorTask):  # type: ignore[misc]
    def execute(self) -> None:
        """Answer what no page sees."""
        self.request.error = _Refusal(self.request.error.code)
        super().execute()


class _Channel(HTTPChannel):  # type: ignore[misc]
    parser_class = _Parser
    error_task_class = _Telling
