"""``chest-edge audit verify`` and ``chest-edge audit show``."""

from __future__ import annotations

from collections import deque
from xml.etree import ElementTree as ET

from edge.audit.chain import Record, files, records
from edge.audit.verify import verify
from edge.config import Settings


def print_verified(settings: Settings) -> int:
    """Print what is wrong with the audit files; 0 where nothing is."""
    checked = verify(settings)
    for fault in checked.faults:
        print(fault)
    print(f"{checked.count} records, {'not whole' if checked.faults else 'whole'}")
    return int(bool(checked.faults))


def print_last(settings: Settings, last: int) -> int:
    """Print the newest records, oldest first, one a line."""
    for record in deque(records(files(settings.audit_dir)), maxlen=max(0, last)):
        print(plain(record) if isinstance(record, Record) else f"{record} is not a record")
    return 0


def plain(record: Record) -> str:
    """A record in one line of plain text: number, time, event, what was said of it, who and which study."""
    message = ET.fromstring(record.message)  # noqa: S314 - of our own making
    event, words = message.find("EventIdentification"), message.findtext(".//EventOutcomeDescription", "")
    kind = message.find("EventIdentification/EventID")
    others = message.findall("ActiveParticipant")[1:]
    who = [f"{other.get('UserID')}@{other.get('NetworkAccessPointID', '?')}" for other in others]
    study = message.find("ParticipantObjectIdentification[@ParticipantObjectTypeCodeRole='3']")
    return "  ".join(
        [
            f"{record.sequence:>6}",
            event.get("EventDateTime", "") if event is not None else "",
            kind.get("originalText", "") if kind is not None else "",
            words,
            *who,
            *([f"study {study.get('ParticipantObjectID')}"] if study is not None else []),
        ]
    )
