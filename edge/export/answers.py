"""What a destination can answer to an object, in one form for C-STORE and STOW-RS (PS3.4 table B.2-1, PS3.18 I.2)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Protocol

from edge.config import DestinationSettings
from edge.errors import SendError

_SUCCESS, _HAD_IT = 0x0000, 0x0111  # duplicate SOP instance
_NO_ROOM = range(0xA700, 0xA800)
_WARNINGS = (range(0x0001, 0x0002), range(0xB000, 0xC000), range(0x0107, 0x0108), range(0x0116, 0x0117))
# Not of this kind, not this object, no right to: the same object again would get the same answer.
_REFUSALS = (range(0xA900, 0xAA00), range(0xC000, 0xD000), range(0x0112, 0x0113), range(0x0115, 0x0116))
_MORE_REFUSALS = (range(0x0117, 0x0120), range(0x0122, 0x0123), range(0x0124, 0x0125), range(0x0212, 0x0213))


class Fate(Enum):
    """What becomes of an object."""

    TAKEN = "taken"
    REFUSED = "refused"
    FAILED = "failed"
    BROKEN = "broken"
    """As ``FAILED``, and the connection is gone."""
    NO_ROOM = "no_room"
    """The destination cannot take anything now; the object is not at fault."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a destination said of one object.

    Attributes
    ----------
    error : in our words; None for plain success.
    words : its own.
    """

    fate: Fate
    error: SendError | None = None
    words: str = ""


class Asked(Protocol):
    """Somebody who takes objects one after the other, on one association or connection."""

    def send(self, path: Path) -> Answer:
        """Send a file, and return what came of it."""


def of_status(destination: DestinationSettings, status: int, words: str = "") -> Answer:
    """What a status of C-STORE, or a reason of STOW-RS, means for the object."""

    def answer(fate: Fate, code: str) -> Answer:
        error = SendError(code, peer=destination.name, status=f"0x{status:04X}")
        return Answer(fate=fate, error=error, words=words)

    if status == _SUCCESS:
        return Answer(fate=Fate.TAKEN)
    if status == _HAD_IT:
        return answer(Fate.TAKEN, "had_it_already")
    if any(status in group for group in _WARNINGS):
        return answer(Fate.TAKEN, "stored_with_warning")
    if status in _NO_ROOM:
        return answer(Fate.NO_ROOM, "no_room")
    if any(status in group for group in (*_REFUSALS, *_MORE_REFUSALS)):
        return answer(Fate.REFUSED, "object_refused")
    return answer(Fate.FAILED, "object_failed")
