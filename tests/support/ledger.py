"""A sender that never stops, and the book of what the box acknowledged to it."""

from __future__ import annotations

import hashlib
import random
import threading
import time
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.dsutils import encode

from edge.config import Settings
from edge.store.database import connect, opened
from tests.support import inputs

_PATIENCE_S = 3  # the library does not notice that a receiver died while it waits for an answer


class Ledger:
    """SHA-256 of each acknowledged object, which holds its identifier, and how often each status came."""

    def __init__(self) -> None:
        self.acknowledged: set[str] = set()
        self.statuses: Counter[int | None] = Counter()
        self._lock = threading.Lock()

    def write(self, dataset: Dataset, status: int | None) -> None:
        """Note an answer."""
        with self._lock:
            self.statuses[status] += 1
            if status == 0:
                content = encode(dataset, is_implicit_vr=False, is_little_endian=True)
                self.acknowledged.add(hashlib.sha256(content or b"").hexdigest())


def small_image(chance: random.Random) -> Dataset:
    """A radiograph of a few kilobytes, like no other."""
    pixels = np.frombuffer(chance.randbytes(64 * 64 * 2), np.uint16).reshape(64, 64) >> 4
    return inputs.dx(pixels)


def associate(port: int, calling_ae_title: str = "MODALITY", timeout_s: float = 30) -> Association:
    """An association for radiographs; it may not be established."""
    entity = AE(ae_title=calling_ae_title)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = timeout_s
    entity.add_requested_context(DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian)
    return entity.associate("127.0.0.1", port, ae_title="CHESTEDGE")


def store(association: Association, dataset: Dataset) -> int | None:
    """C-STORE; the status, or None where the association broke."""
    try:
        return getattr(association.send_c_store(dataset), "Status", None)
    except (RuntimeError, ValueError):
        return None  # it has ended since


@contextmanager
def sending(port: int, ledger: Ledger, chance: random.Random, threads: int = 3) -> Generator[None, None, None]:
    """Send for the length of the block, on new associations where the old ones break."""
    stopped = threading.Event()
    seeds = [chance.getrandbits(64) for _ in range(threads)]
    senders = [threading.Thread(target=_send, args=(port, ledger, random.Random(seed), stopped)) for seed in seeds]
    for sender in senders:
        sender.start()
    try:
        yield
    finally:
        stopped.set()
        for sender in senders:
            sender.join()


def _send(port: int, ledger: Ledger, chance: random.Random, stopped: threading.Event) -> None:
    while not stopped.is_set():
        association = associate(port, timeout_s=_PATIENCE_S)
        while association.is_established and not stopped.is_set():
            dataset = small_image(chance)
            ledger.write(dataset, store(association, dataset))
        if association.is_established:
            association.release()
        else:
            time.sleep(0.05)


def faults(settings: Settings, ledger: Ledger) -> list[str]:
    """What is wrong with the store: acknowledged objects that are lost, files that are torn, a damaged database."""
    database = connect(settings.database)
    try:
        sound = database.execute("PRAGMA integrity_check").fetchone()[0]
        rows = database.execute("SELECT sha256, size_bytes, path FROM instances").fetchall()
    finally:
        database.close()
    found = [] if sound == "ok" else [f"integrity_check: {sound}"]
    kept = {row["sha256"] for row in rows}
    found += [f"torn: {row['path']}" for row in rows if not _is_whole(settings.incoming / row["path"], row)]
    found += [f"lost: {sha256}" for sha256 in ledger.acknowledged - kept]
    return found


def without_a_row(settings: Settings, ledger: Ledger) -> set[str]:
    """Acknowledged objects that the database does not know now, whatever a later start would take in."""
    acknowledged = ledger.acknowledged.copy()  # first: what is acknowledged from here on may not be looked for
    with opened(settings.database) as database:
        return acknowledged - {row["sha256"] for row in database.execute("SELECT sha256 FROM instances")}


def _is_whole(path: Path, row: dict[str, object]) -> bool:
    size = row["size_bytes"]
    if not path.exists() or not isinstance(size, int):
        return False
    return hashlib.sha256(path.read_bytes()[-size:]).hexdigest() == row["sha256"]
