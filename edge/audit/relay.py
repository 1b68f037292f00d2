"""Moves notes from the journal to the audit files, and from there to a syslog server.

The files are flushed before the transaction that removes the notes and moves the anchor is
committed: after a power cut a note is in the journal, or its record confirmed, or both halves
are done again. Nothing waits for the server: what it has not got stays behind its position.
"""

from __future__ import annotations

import os
import secrets
import threading
from itertools import islice
from pathlib import Path

from sqlite_utils import Database

from edge import clock, log
from edge.audit import syslog
from edge.audit.chain import Anchor, Record, adopted, anchor, append, files, records, surplus_bytes
from edge.audit.messages import Writer
from edge.config import Settings
from edge.errors import EdgeError
from edge.store.database import connect, writing
from edge.store.files import write_durably
from edge.store.journal import Action, entries, forget, note

_EVERY_S = 1.0
_BATCH = 200
_LONGEST_DELAY_S = 300.0


def run(settings: Settings, stopped: threading.Event) -> None:
    """Relay until told to stop; a fault of the disk or the network is logged, and tried again."""
    database = connect(settings.database)
    relay = Relay(settings, database)
    while not stopped.is_set():
        try:
            relay.step()
        except (EdgeError, OSError) as error:
            log.event("audit_failed", error_type=type(error).__name__, where=log.where(error))
        stopped.wait(_EVERY_S)
    relay.drain()
    database.close()


class Relay:
    """Moves what there is to move, one step at a time."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database
        self._delay_s = _EVERY_S
        self._due_at = clock.monotonic()

    def step(self) -> None:
        """Write notes to the files, then send what the server is due.

        Raises
        ------
        StorageError
            Nothing was moved.
        """
        while self.write() == _BATCH:
            continue
        if self._settings.audit.syslog_host and clock.monotonic() >= self._due_at:
            self._send()

    def write(self) -> int:
        """Move the oldest notes to the files, and return how many."""
        with writing(self._database):
            found = entries(self._database, _BATCH)
            if found:
                self._settings.audit_dir.mkdir(mode=0o700, exist_ok=True)
                writer = Writer(self._settings, _key(self._settings.audit_dir))
                messages = [writer.message(entry) for entry in found]
                _confirm(self._database, append(self._settings.audit_dir, messages, self._end()))
                forget(self._database, found)
        return len(found)

    def drain(self) -> None:
        """Write what was noted while the box stopped."""
        try:
            self.write()
        except EdgeError as error:  # it stays in the journal
            log.event("audit_failed", code=error.code)

    def _end(self) -> Anchor | None:
        """The last confirmed record; what is amiss with the files behind it becomes a message of its own."""
        last = anchor(self._database)
        if last is None:
            last = adopted(self._settings.audit_dir)
            if last is not None:
                note(self._database, Action.SECURITY_ALERT, code="audit_end_unknown", count=last.sequence)
        elif surplus := surplus_bytes(self._settings.audit_dir, last):
            code = "audit_tail_removed" if surplus > 0 else "audit_shortened"
            note(self._database, Action.SECURITY_ALERT, code=code, count=abs(surplus))
        return last

    def _send(self) -> None:
        try:
            while batch := _unsent(self._settings, self._database):
                syslog.send(self._settings, batch)
                with writing(self._database):
                    self._database.execute("UPDATE audit_anchor SET sent_sequence = ?", (batch[-1].sequence,))
                self._delay_s = _EVERY_S
        except (EdgeError, OSError) as error:
            log.event("syslog_failed", error_type=type(error).__name__, seconds=self._delay_s)
            self._due_at = clock.monotonic() + self._delay_s
            self._delay_s = min(2 * self._delay_s, _LONGEST_DELAY_S)


def _confirm(database: Database, last: Anchor) -> None:
    database.execute(
        """INSERT INTO audit_anchor (id, sequence, sha256, file, size_bytes, sent_sequence) VALUES (1, ?, ?, ?, ?, 0)
           ON CONFLICT (id) DO UPDATE SET sequence = excluded.sequence, sha256 = excluded.sha256,
               file = excluded.file, size_bytes = excluded.size_bytes""",
        (last.sequence, last.sha256, last.file, last.size_bytes),
    )


def _unsent(settings: Settings, database: Database) -> list[Record]:
    row = database.execute("SELECT sequence, sent_sequence FROM audit_anchor").fetchone()
    if row is None or row["sent_sequence"] >= row["sequence"]:
        return []
    sent, confirmed = row["sent_sequence"], row["sequence"]
    named = files(settings.audit_dir)
    begun = [path for path in named if int(path.stem) <= sent + 1]
    due = (
        record
        for record in records(begun[-1:] + named[len(begun) :])
        if isinstance(record, Record) and sent < record.sequence <= confirmed
    )
    return list(islice(due, _BATCH))


def _key(folder: Path) -> bytes:
    path = folder / "key"
    if not path.exists():
        write_durably(path, [secrets.token_bytes(32)])
    os.chmod(path, 0o600)
    return path.read_bytes()
