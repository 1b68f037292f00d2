"""Asking a PACS: C-FIND, and C-GET or C-MOVE of a study (PS3.4 annex C, study root).

C-GET goes first, since its images come on the box's own association: nothing has to be set up
at the PACS, and what was not asked for is refused. C-MOVE is asked of a PACS without C-GET;
its images come to the receiver like any others. Each class is offered once for each transfer
syntax, so that the PACS can send what it stores as it stores it. Rejected: C-MOVE alone, which
needs the box's address in the PACS; the patient root, which many PACS do not offer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag, Tag
from pydicom.uid import UID
from pynetdicom import build_context, build_role, evt
from pynetdicom.dsutils import encode_file_meta

from edge.dicom.attributes import text, whole_text
from edge.dicom.peer import Limits, Offer, Peer
from edge.dicom.receive import TRANSFER_SYNTAXES, delivery_of
from edge.dicom.storage_classes import STORAGE_CLASSES
from edge.errors import PeerError, StorageError
from edge.store.priors import is_same_patient
from edge.store.spool import Spool

_FIND = UID("1.2.840.10008.5.1.4.1.2.2.1")
_MOVE = UID("1.2.840.10008.5.1.4.1.2.2.2")
_GET = UID("1.2.840.10008.5.1.4.1.2.2.3")
_STUDY_UID = Tag("StudyInstanceUID")
_SUCCESS, _NOT_ALLOWED, _OUT_OF_RESOURCES = 0x0000, 0x0124, 0xA700  # PS3.7 annex C, PS3.4 table B.2-1


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is fetched: a study, or some of its series.

    Attributes
    ----------
    patient : what ``is_same_patient`` compares every image with; None for any patient.
    most : how many images may come.
    """

    study_instance_uid: str
    most: int
    series_instance_uids: Sequence[str] = ()
    patient: Mapping[str, Any] | None = None

    def identifiers(self) -> Iterator[Dataset]:
        """A request for each series, or one for the whole study (PS3.4 section C.4.2.1.4)."""
        for series in self.series_instance_uids:
            yield identifier("SERIES", StudyInstanceUID=self.study_instance_uid, SeriesInstanceUID=series)
        if not self.series_instance_uids:
            yield identifier("STUDY", StudyInstanceUID=self.study_instance_uid)


def identifier(level: str, **elements: str) -> Dataset:
    """A request at a level of the study root; what is empty is asked for."""
    request = Dataset()
    request.QueryRetrieveLevel = level
    for keyword, value in elements.items():
        setattr(request, keyword, value)
        if not value.isascii():
            request.SpecificCharacterSet = "ISO_IR 192"
    return request


def find_studies(peer: Peer, **elements: str) -> list[Dataset]:
    """Studies with these attributes, as the peer describes them.

    Raises
    ------
    PeerError
    """
    wanted = ("StudyDate", "StudyTime", "PatientName", "PatientBirthDate", "PatientSex", "ModalitiesInStudy")
    empty = dict.fromkeys((*wanted, "PatientID", "AccessionNumber", "StudyInstanceUID"), "")
    return peer.find(_FIND, identifier("STUDY", **{**empty, **elements}))


def find_series(peer: Peer, study_instance_uid: str) -> list[Dataset]:
    """The series of a study.

    Raises
    ------
    PeerError
    """
    wanted = dict.fromkeys(("SeriesInstanceUID", "Modality", "BodyPartExamined"), "")
    return peer.find(_FIND, identifier("SERIES", StudyInstanceUID=study_instance_uid, **wanted))


def patient_of(dataset: Dataset) -> dict[str, Any]:
    """Who a match or an image is of, as ``is_same_patient`` compares it."""
    born = text(dataset, "PatientBirthDate")
    return {
        "patient_id": whole_text(dataset, "PatientID"),
        "patient_name": text(dataset, "PatientName"),
        "birth_date": f"{born[:4]}-{born[4:6]}-{born[6:]}" if len(born) == 8 else None,
        "sex": text(dataset, "PatientSex"),
    }


def fetch(peer: Peer, asked: Asked, spool: Spool, limits: Limits) -> int:
    """Fetch what is asked, by C-GET or else by C-MOVE; return how many images came.

    Raises
    ------
    PeerError
        Images that came before it are kept.
    StorageError
        The box cannot store them.
    """
    taker = _Taker(peer, asked, spool)
    try:
        with spool.together(peer.ae_title) as taker.association_id:
            return _get(peer, asked, taker, limits)
    except PeerError as error:
        if error.code not in {"not_offered", "peer_failed", "incomplete"} or taker.kept or taker.refused:
            raise
    return _move(peer, asked, limits)


def _get(peer: Peer, asked: Asked, taker: _Taker, limits: Limits) -> int:
    contexts = [build_context(_GET)]
    contexts += [build_context(kind, syntax) for kind in STORAGE_CLASSES for syntax in TRANSFER_SYNTAXES]
    roles = [build_role(kind, scp_role=True) for kind in STORAGE_CLASSES]
    missing = 0
    offer = Offer(contexts=contexts, roles=roles, store=taker.store, has_other=True)
    with peer.associated(offer, limits) as association:
        for request in asked.identifiers():
            try:
                missing += _ended(peer, asked, association.send_c_get(request, _GET)).missing
            finally:
                taker.check()
    if missing:
        raise peer.error("incomplete", count=missing)
    return taker.kept


def _move(peer: Peer, asked: Asked, limits: Limits) -> int:
    done = missing = 0
    with peer.associated(Offer(contexts=[build_context(_MOVE)]), limits) as association:
        for request in asked.identifiers():
            ended = _ended(peer, asked, association.send_c_move(request, peer.own_ae_title, _MOVE))
            done, missing = done + ended.done, missing + ended.missing
    if missing:
        raise peer.error("incomplete", count=missing)
    return done


@dataclass(frozen=True, slots=True)
class _Ended:
    done: int
    missing: int


def _ended(peer: Peer, asked: Asked, answers: Iterator[tuple[Dataset, Any]]) -> _Ended:
    """Wait for the last answer of a C-GET or C-MOVE (PS3.7 section 9.1.3.1)."""
    last = Dataset()
    for last, _ in answers:
        is_pending = peer.is_pending(last)
        if _count(last, "Remaining") + _count(last, "Completed") > asked.most:
            raise peer.error("too_much")
        if not is_pending:
            break
    return _Ended(done=_count(last, "Completed") + _count(last, "Warning"), missing=_count(last, "Failed"))


def _count(status: Dataset, kind: str) -> int:
    return int(status.get(f"NumberOf{kind}Suboperations") or 0)


class _Taker:
    """Keeps what a C-GET brings, as far as it was asked for."""

    def __init__(self, peer: Peer, asked: Asked, spool: Spool) -> None:
        self.kept = self.refused = 0
        self.association_id: int | None = None
        self._peer = peer
        self._asked = asked
        self._spool = spool
        self._fault: StorageError | PeerError | None = None

    def store(self, event: evt.Event) -> int:
        """Answer one C-STORE request; after a fault everything is refused and the rest called off."""
        content = event.encoded_dataset(include_meta=False)
        if self.kept >= self._asked.most:
            self._stop(event, self._peer.error("too_much"))
        if self._fault is not None:
            return _OUT_OF_RESOURCES
        if not self._is_asked(event.context.transfer_syntax, content):
            self.refused += 1
            return _NOT_ALLOWED
        return self._keep(event, content)

    def check(self) -> None:
        """Raise what went wrong on the box's side."""
        if self._fault is not None:
            raise self._fault
        if self.refused:
            raise self._peer.error("not_asked", count=self.refused)

    def _keep(self, event: evt.Event, content: bytes) -> int:
        try:
            delivery = delivery_of(event, self._peer.ae_title, self.association_id)
            self._spool.keep(encode_file_meta(event.file_meta), content, delivery)
        except StorageError as error:
            self._stop(event, error)
            return error.dicom_status
        self.kept += 1
        return _SUCCESS

    def _stop(self, event: evt.Event, fault: StorageError | PeerError) -> None:
        if self._fault is None:
            self._fault = fault
            event.assoc.send_c_cancel(1, query_model=_GET)

    def _is_asked(self, transfer_syntax: str, content: bytes) -> bool:
        syntax = UID(transfer_syntax)
        try:
            header = read_dataset(
                BytesIO(content), syntax.is_implicit_VR, syntax.is_little_endian, stop_when=_is_behind_study_uid
            )
            asked, patient = self._asked, patient_of(header)
        except Exception:  # pydicom raises anything on broken bytes; what cannot be told was not asked for
            return False
        is_study = text(header, "StudyInstanceUID") == asked.study_instance_uid
        return is_study and (asked.patient is None or is_same_patient(patient, asked.patient))


def _is_behind_study_uid(tag: BaseTag, vr: str | None, length: int) -> bool:
    return bool(tag > _STUDY_UID)
