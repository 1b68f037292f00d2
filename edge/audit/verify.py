"""Whether the audit files are whole: every record unchanged, in its place, and none missing from the end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from edge.audit.chain import START, Anchor, Record, anchor, files, records
from edge.config import Settings
from edge.store.database import opened, writing


@dataclass(slots=True)
class Checked:
    """How many records there are, and in plain words what is wrong with them."""

    count: int = 0
    faults: list[str] = field(default_factory=list)


def verify(settings: Settings) -> Checked:
    """Check all audit files, of a box that runs or not.

    Raises
    ------
    StorageError
        Where the database, which holds the end of the chain, cannot be read.
    """
    checked = _Check()
    with opened(settings.database) as database:
        before = anchor(database)
        closed = [path for path in files(settings.audit_dir) if before and path.name < before.file]
        checked.read(records(closed))
        with writing(database):  # so that the box does not append meanwhile
            checked.read(records(path for path in files(settings.audit_dir) if path not in closed))
            checked.end(settings.audit_dir, anchor(database))
    return checked.result


class _Check:
    def __init__(self) -> None:
        self.result = Checked()
        self._sequence, self._sha256 = 0, START

    def read(self, found: Iterator[Record | str]) -> None:
        for record in found:
            if isinstance(record, str):
                self._fault(f"{record} is not a record")
            else:
                self._next(record)

    def end(self, folder: Path, confirmed: Anchor | None) -> None:
        if confirmed is None:
            if self.result.count:
                self._fault("the database holds no end of the chain, so that records may be missing from it")
            return
        if (self._sequence, self._sha256) != (confirmed.sequence, confirmed.sha256):
            self._fault(f"the files end with record {self._sequence}, but the last confirmed is {confirmed.sequence}")
        last = folder / confirmed.file
        if last.exists() and last.stat().st_size != confirmed.size_bytes:
            self._fault(f"{confirmed.file} has not the length that was confirmed")

    def _next(self, record: Record) -> None:
        self.result.count += 1
        if not record.is_whole():
            self._fault(f"record {record.sequence} was changed")
        elif record.sequence != self._sequence + 1:
            self._fault(f"record {self._sequence + 1} should follow, but it is {record.sequence}")
        elif record.previous != self._sha256:
            self._fault(f"record {record.sequence} does not belong behind the one before it")
        self._sequence, self._sha256 = record.sequence, record.sha256

    def _fault(self, text: str) -> None:
        self.result.faults.append(text)
