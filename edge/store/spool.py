"""The one door into the store: durable on the disk, then recorded, then acknowledged.

Whatever way an object came, the receiver, a folder, a stick or the web, it passes here. Its
bytes are stored undecoded (PS3.10 section 7.1), under a random name and behind a preamble of
our own. Rejected: a writer for each way in, which would have as many promises.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from sqlite_utils import Database

from edge import clock, log
from edge.config import Settings
from edge.errors import StorageError
from edge.store import associations
from edge.store.associations import End, Way
from edge.store.budget import require_room
from edge.store.database import connect
from edge.store.files import write_durably
from edge.store.instances import Receipt, add_received, restore
from edge.types import Instance

PREAMBLE = bytes(128) + b"DICM"  # zeros of our own, so that a stored file is never also a program
"""What every stored file begins with (PS3.10 section 7.1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What the bringer of an object says of it; empty where it says nothing.

    ``association_id`` is the number of what it came with (``Spool.begin``); None for an object that came alone.
    """

    sop_class_uid: str = ""
    sop_instance_uid: str = ""
    transfer_syntax_uid: str = ""
    calling_ae_title: str = ""
    association_id: int | None = None


class Spool:
    """Keeps received objects. May be used by several threads.

    Parameters
    ----------
    wake : told the id of whatever was kept, one thread at a time.
    """

    def __init__(self, settings: Settings, wake: Callable[[int], None]) -> None:
        self._settings = settings
        self._database = connect(settings.database, any_thread=True)
        self._wake = wake
        self._lock = threading.Lock()  # for the connection and the wake-ups
        self._unended: dict[int, End] = {}

    def keep(self, file_meta: bytes, content: bytes | Iterable[bytes], delivery: Delivery) -> Receipt:
        """Store one object, and return once it would survive a power cut.

        Parameters
        ----------
        file_meta : its encoded File Meta Information group.
        content : its encoded data set, whole or in pieces; what iterating raises is passed on.

        Raises
        ------
        StorageError
            Nothing was kept; the object must not be acknowledged.
        """
        self._admit(len(content) if isinstance(content, bytes) else 0)
        path = self._settings.incoming / f"{secrets.token_hex(16)}.dcm"  # a name from outside could leave the folder
        counted = _Counted((content,) if isinstance(content, bytes) else content, self._admit)
        write_durably(path, chain((PREAMBLE, file_meta), counted))
        with self._lock:
            receipt = self._record(_instance(delivery, path, counted), delivery.association_id)
            self._wake(receipt.instance_id)
        return receipt

    def tell(self, number: int) -> None:
        """Wake whoever shows or reads what changed, from any thread."""
        with self._lock:
            self._wake(number)

    def begin(self, calling_ae_title: str = "", host: str = "", way: Way = Way.NETWORK) -> int:
        """Open a delivery of several objects, and return its number; their studies wait for its end.

        Raises
        ------
        StorageError
            Nothing was opened.
        """
        self.sweep()
        with self._lock:
            return associations.begin(self._database, calling_ae_title, host, way)

    def end(self, association_id: int, how: End) -> None:
        """End a delivery: what it brought may be read. An end that cannot be stored now is stored by ``sweep``."""
        with self._lock:
            self._unended[association_id] = how
        self.sweep()

    @contextmanager
    def together(self, calling_ae_title: str = "", way: Way = Way.NETWORK) -> Generator[int, None, None]:
        """A delivery for the length of the block, which counts as broken off where the block raises."""
        association_id = self.begin(calling_ae_title, way=way)
        how = End.ABORTED
        try:
            yield association_id
            how = End.RELEASED
        finally:
            self.end(association_id, how)

    def sweep(self) -> None:
        """End the deliveries whose end could not be stored when it came."""
        with self._lock:
            for association_id, how in list(self._unended.items()):
                try:
                    associations.finish(self._database, association_id, how)
                except StorageError as error:
                    log.event("not_ended", code=error.code)
                    return
                del self._unended[association_id]
                self._wake(association_id)

    def close(self) -> None:
        """Close the database once nobody delivers any more."""
        self.sweep()
        with self._lock:
            self._database.close()

    def _admit(self, size_bytes: int) -> None:
        with self._lock:
            require_room(self._database, self._settings, size_bytes)

    def _record(self, instance: Instance, association_id: int | None) -> Receipt:
        try:
            return record(self._database, self._settings.incoming, instance, association_id)
        except Exception:  # whatever it is, the sender sends again, and a copy for each try would fill the disk
            (self._settings.incoming / instance.path).unlink(missing_ok=True)
            raise


def record(
    database: Database,
    incoming: Path,
    instance: Instance,
    association_id: int | None = None,
    *,
    is_counted: bool = False,
) -> Receipt:
    """Record an object whose file is durable, and keep one file of each content.

    Parameters
    ----------
    association_id : the delivery that brought it.
    is_counted : the housekeeping has measured the file already.

    Raises
    ------
    StorageError
        Nothing was recorded, and the file is as it was.
    """
    receipt = add_received(database, instance, association_id, is_counted=is_counted)
    if receipt.is_new:
        return receipt
    if (incoming / receipt.path).exists():
        (incoming / instance.path).unlink(missing_ok=True)
        return receipt
    restore(database, receipt.instance_id, instance.path)
    return replace(receipt, path=instance.path)


class _Counted:
    """Pieces that are counted and hashed as they pass, each of them while there is room for all so far."""

    def __init__(self, pieces: Iterable[bytes], admit: Callable[[int], None]) -> None:
        self._pieces = pieces
        self._admit = admit
        self.digest = hashlib.sha256()
        self.size_bytes = 0

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            self.digest.update(piece)
            self.size_bytes += len(piece)
            self._admit(self.size_bytes)
            yield piece


def _instance(delivery: Delivery, path: Path, content: _Counted) -> Instance:
    return Instance(
        sop_class_uid=delivery.sop_class_uid,
        sop_instance_uid=delivery.sop_instance_uid,
        series_instance_uid="",
        study_instance_uid="",
        transfer_syntax_uid=delivery.transfer_syntax_uid,
        path=Path(path.name),
        sha256=content.digest.hexdigest(),
        size_bytes=content.size_bytes,
        calling_ae_title=delivery.calling_ae_title,
        received_at=clock.utc(),
        clock_trusted=clock.is_trusted(path.parent.parent),
    )
