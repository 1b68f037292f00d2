"""How the last request to the PACS and to the worklist ended, for the page and the doctor.

Codes and what the box itself knows of the peer: what a peer says of its failure may name a patient.
Rejected: asking when the page is opened, which a peer that hangs would hold up.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from sqlite_utils import Database

from edge import clock, log
from edge.config import PacsSettings, WorklistSettings
from edge.errors import PeerError, StorageError
from edge.store import facts
from edge.store.database import opened, writing

Address = PacsSettings | WorklistSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class LastAnswer:
    """How the last request ended. Times are ISO 8601 text in UTC.

    Attributes
    ----------
    peer : name of whom was asked, as ``name`` gives it.
    code : of the ``PeerError``, empty where the peer answered; ``values`` fill its text.
    since : the first failure in a row, or the answer.
    asked_at : when it ended.
    """

    peer: str
    code: str
    values: Mapping[str, str]
    since: str
    asked_at: str

    @property
    def text(self) -> str:
        """What went wrong and what to do, with places for ``values``; empty where the peer answered."""
        return PeerError.texts.get(self.code, "")


def name(address: Address) -> str:
    """A peer as people know it: AE title, host and port."""
    return f"{address.ae_title} ({address.host}:{address.port})"


def note(source: Path | Database, address: Address, error: PeerError | None) -> None:
    """Keep how a request ended; where the disk is full the request counts all the same, and the log tells."""
    now = clock.utc().isoformat(timespec="seconds")
    try:
        with opened(source) as database, writing(database):
            before = last(database, address)
            since = before.since if error and before and before.code else now
            code, values = (error.code, error.values) if error else ("", {})
            answer = LastAnswer(peer=name(address), code=code, values=values, since=since, asked_at=now)
            facts.keep(database, _fact(address), json.dumps(asdict(answer)))
    except StorageError as error_of_ours:
        log.event("not_noted", code=error_of_ours.code)


def last(database: Database, address: Address) -> LastAnswer | None:
    """How the last request to this peer ended; None where it was not asked under this address yet."""
    kept = facts.text(database, _fact(address))
    answer = LastAnswer(**json.loads(kept)) if kept else None
    return answer if answer and answer.peer == name(address) else None


def _fact(address: Address) -> str:
    return facts.PACS_ANSWER if isinstance(address, PacsSettings) else facts.WORKLIST_ANSWER
