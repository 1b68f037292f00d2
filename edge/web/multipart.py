"""The parts of a multipart body (RFC 2046 section 5.1), one after the other, in pieces as they are asked for."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from enum import Enum
from typing import IO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser

from edge.errors import BodyError

_CHUNK_BYTES = 64 * 1024


class _Step(Enum):
    BEGIN = 0
    DATA = 1
    END = 2
    FINISH = 3


class Parts:
    """The parts of one body; each has to be gone through, or is skipped, before the next."""

    def __init__(self, stream: IO[bytes], boundary: bytes) -> None:
        self._stream = stream
        self._steps: deque[tuple[_Step, bytes]] = deque()
        self._parser = MultipartParser(
            boundary,
            {
                "on_headers_finished": lambda: self._steps.append((_Step.BEGIN, b"")),
                "on_part_data": lambda data, start, end: self._steps.append((_Step.DATA, data[start:end])),
                "on_part_end": lambda: self._steps.append((_Step.END, b"")),
                "on_end": lambda: self._steps.append((_Step.FINISH, b"")),
            },
        )

    def __iter__(self) -> Iterator[Iterator[bytes]]:
        """The content of each part, in pieces.

        Raises
        ------
        BodyError
            ``cut_off`` or ``not_multipart``, here or where the pieces are gone through.
        """
        while self._next()[0] is _Step.BEGIN:
            pieces = self._pieces()
            yield pieces
            deque(pieces, maxlen=0)

    def _pieces(self) -> Iterator[bytes]:
        while (step := self._next())[0] is _Step.DATA:
            yield step[1]

    def _next(self) -> tuple[_Step, bytes]:
        while not self._steps:
            chunk = self._stream.read(_CHUNK_BYTES)
            if not chunk:
                raise BodyError("cut_off")
            try:
                self._parser.write(chunk)
            except FormParserError as error:
                raise BodyError("not_multipart") from error
        return self._steps.popleft()
