"""Small objects of all kinds, results that are to leave the box, and archives that count what comes."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid
from pynetdicom import AE, evt
from pynetdicom.sop_class import StorageCommitmentPushModel  # type: ignore[attr-defined]

from edge.config import DestinationSettings, DicomSettings, Settings
from edge.dicom import commitment
from edge.export import making
from edge.export.courier import Courier
from edge.export.making import Maker
from edge.objects.case import Case
from edge.store import outbox
from edge.store.database import connect
from edge.store.outbox import OutState
from edge.types import Kind
from tests.support.page import make_result
from tests.support.studies import put_finished_study, ready_box

CLASSES = {
    Kind.SECONDARY_CAPTURE: UID("1.2.840.10008.5.1.4.1.1.7"),
    Kind.STRUCTURED_REPORT: UID("1.2.840.10008.5.1.4.1.1.88.33"),
    Kind.SEGMENTATION: UID("1.2.840.10008.5.1.4.1.1.66.4"),
    Kind.PRESENTATION_STATE: UID("1.2.840.10008.5.1.4.1.1.11.1"),
    Kind.PDF: UID("1.2.840.10008.5.1.4.1.1.104.1"),
}
_WORKLIST = UID("1.2.840.10008.5.1.4.31")
SC = (Kind.SECONDARY_CAPTURE.value,)


def small_object(case: Case, kind: Kind) -> Dataset:
    """What an archive takes for an object of this kind; the same identifiers at each call."""
    made, meta = Dataset(), FileMetaDataset()
    name = [case.box_id, case.study_key, str(case.version), kind.value]
    made.SOPClassUID = meta.MediaStorageSOPClassUID = CLASSES[kind]
    made.SOPInstanceUID = meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=name)
    made.StudyInstanceUID = generate_uid(entropy_srcs=name[:2])
    made.SeriesInstanceUID = generate_uid(entropy_srcs=[*name, "series"])
    made.PatientName, made.PatientID, made.Modality = "Example^Pat", "P-0042", "OT"
    made.StudyDate, made.SeriesNumber, made.InstanceNumber = "20261124", 1, 1
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.file_meta = meta
    return made


@pytest.fixture
def small_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the box make small objects of every kind."""
    monkeypatch.setattr(making, "kinds", lambda case: tuple(Kind))
    monkeypatch.setattr(making, "make", small_object)


def box_with(folder: Path, *destinations: DestinationSettings, **changes: Any) -> Settings:
    """A box with these destinations."""
    return replace(ready_box(folder), destination=destinations, **changes)


def archive(port: int, **changes: Any) -> DestinationSettings:
    """The destination of a scripted peer, which gets secondary captures and is asked for nothing."""
    given = DestinationSettings(
        name="PACS", ae_title="SCRIPTED", host="127.0.0.1", port=port, objects=SC, commitment=False
    )
    return replace(given, **changes)


def put_result(settings: Settings, decision: str | None = "normal", grade: str | None = None, **attributes: Any) -> str:
    """A study with a result that is to leave; its key."""
    result = make_result(decision, normal=0.9)
    result["severity"] = {"grade": grade} if grade else None
    return put_finished_study(settings, result, **attributes)


def states(settings: Settings, column: str = "state") -> list[Any]:
    """A column of the outbox, in the order of its rows."""
    database = connect(settings.database)
    try:
        return [row[column] for row in database.execute(f"SELECT {column} FROM outbox ORDER BY id")]  # noqa: S608
    finally:
        database.close()


@contextmanager
def courier(settings: Settings) -> Generator[Courier, None, None]:
    """The courier of the first destination, begun anew as after a start of the box."""
    database = connect(settings.database)
    try:
        yield Courier(settings, settings.destination[0], database, Maker(settings), lambda number: None)
    finally:
        database.close()


def drain(courier: Courier) -> int:
    """Have it do all that it can do now; how many steps that took."""
    steps = 0
    while courier.step():
        steps += 1
    return steps


@dataclass
class Archive:
    """A peer that does as told, and counts.

    Attributes
    ----------
    status : answers a C-STORE: by its number from 0, the status, a dataset with one, or None to break off.
    report : what it does about a request for commitment: called with the association, transaction and instances.
    """

    status: Callable[[int], Any] = lambda number: 0
    report: Callable[[Any, str, list[tuple[str, str]]], None] | None = None
    stored: Counter[str] = field(default_factory=Counter)
    digests: dict[str, set[str]] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
    associations: int = 0
    asked: list[list[str]] = field(default_factory=list)
    action_status: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, event: evt.Event) -> Any:
        """Answer a C-STORE."""
        uid = str(event.request.AffectedSOPInstanceUID)
        with self.lock:
            number = sum(self.stored.values())
            self.stored[uid] += 1
            self.digests.setdefault(uid, set()).add(sha256(event.encoded_dataset()).hexdigest())
            self.order.append(uid)
        answer = self.status(number)
        if answer is None:
            event.assoc.abort()
            return 0x0110
        return answer

    def act(self, event: evt.Event) -> Any:
        """Answer an N-ACTION, and report from a thread."""
        told = event.action_information
        pairs = [(one.ReferencedSOPClassUID, one.ReferencedSOPInstanceUID) for one in told.ReferencedSOPSequence]
        with self.lock:
            self.asked.append([uid for _, uid in pairs])
        if self.report is not None and self.action_status == 0:
            arguments = (event.assoc, str(told.TransactionUID), pairs)
            threading.Thread(target=self.report, args=arguments).start()
        return self.action_status, None

    def opened(self, event: evt.Event) -> None:
        """Count an association."""
        self.associations += 1

    @contextmanager
    def running(
        self, port: int = 0, offers: Sequence[Kind] = tuple(Kind), commits: bool = True, verifies: bool = True
    ) -> Generator[int, None, None]:
        """Listen as ``SCRIPTED``; the port."""
        entity = AE(ae_title="SCRIPTED")
        entity.dimse_timeout = entity.network_timeout = 10
        for kind in offers:
            entity.add_supported_context(CLASSES[kind])
        if verifies:
            entity.add_supported_context("1.2.840.10008.1.1")
        entity.add_supported_context(_WORKLIST)
        if commits:
            entity.add_supported_context(StorageCommitmentPushModel)
        handlers = [
            (evt.EVT_C_STORE, self.take),
            (evt.EVT_N_ACTION, self.act),
            (evt.EVT_ACCEPTED, self.opened),
            (evt.EVT_C_ECHO, lambda event: 0),
        ]
        server = entity.start_server(("127.0.0.1", port), block=False, evt_handlers=handlers)
        assert server is not None
        try:
            yield int(server.server_address[1])
        finally:
            server.shutdown()


def told(transaction: str, kept: Sequence[tuple[str, str]], denied: Sequence[tuple[str, str]] = ()) -> Dataset:
    """The event information of a report (PS3.4 table J.3-2)."""
    event = Dataset()
    event.TransactionUID = transaction
    for keyword, pairs in (("ReferencedSOPSequence", kept), ("FailedSOPSequence", denied)):
        items = []
        for class_uid, instance_uid in pairs:
            item = Dataset()
            item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = class_uid, instance_uid
            if keyword == "FailedSOPSequence":
                item.FailureReason = 0x0112
            items.append(item)
        if items:
            setattr(event, keyword, items)
    return event


def on_the_same(kept: bool = True) -> Callable[[Any, str, list[tuple[str, str]]], None]:
    """A report on the association of the request."""

    def report(association: Any, transaction: str, pairs: list[tuple[str, str]]) -> None:
        event = told(transaction, pairs) if kept else told(transaction, (), pairs)
        kind = 1 if kept else 2
        association.send_n_event_report(event, kind, commitment.PUSH_MODEL, commitment.INSTANCE)

    return report


def call_with(port: int, event: Dataset, kind: int = 1, calling: str = "SCRIPTED", roles: bool = True) -> int | None:
    """A report on a new association to the box's receiver; the status that it answers with."""
    from pynetdicom import build_role

    entity = AE(ae_title=calling)
    entity.add_requested_context(StorageCommitmentPushModel)
    role = [build_role(StorageCommitmentPushModel, scp_role=True)] if roles else []
    association = entity.associate("127.0.0.1", port, ae_title="CHESTEDGE", ext_neg=role)
    if not association.is_established:
        return None
    try:
        status, _ = association.send_n_event_report(event, kind, commitment.PUSH_MODEL, commitment.INSTANCE)
        return int(status.Status) if "Status" in status else None
    finally:
        association.release()


__all__ = ["DicomSettings", "OutState", "outbox"]
