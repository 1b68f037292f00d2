"""Sends by C-STORE: several objects over one association, which is negotiated for their classes (PS3.4 annex B).

Verification is proposed too, so that a peer which takes none of the classes still accepts something: then
the objects are at fault, and not the peer. Rejected: an association for each object.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.filereader import read_file_meta_info
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian, generate_uid
from pynetdicom import build_context
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext

from edge import clock
from edge.config import DestinationSettings, Settings
from edge.dicom import commitment
from edge.dicom.peer import Limits, Offer, Peer
from edge.dicom.send import VERIFICATION
from edge.errors import EdgeError, PeerError, SendError
from edge.export.answers import Answer, Asked, Fate, of_status
from edge.store.outbox import Item

_LIMITS = Limits(size_bytes=16 << 20, seconds=3600.0)
_HOLD_S = 2.0  # for a report on the association of its request
_LOOK_S = 0.02


class CStore:
    """One destination that is spoken to by DIMSE.

    Parameters
    ----------
    report : answers N-EVENT-REPORT.
    """

    def __init__(
        self, settings: Settings, destination: DestinationSettings, report: Callable[[Any], tuple[int, None]]
    ) -> None:
        self._peer = Peer(settings, destination)
        self._destination = destination
        self._report = report

    @contextmanager
    def connected(self, paths: Sequence[Path]) -> Generator[Asked, None, None]:
        """An association for these objects.

        Raises
        ------
        EdgeError
            There is none; no object is at fault.
        """
        found = [read_file_meta_info(path) for path in paths]
        pairs = dict.fromkeys((meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID) for meta in found)
        contexts = [build_context(VERIFICATION), *(context for pair in pairs for context in _contexts(*pair))]
        with self._associated(Offer(contexts=contexts, any_will_do=True)) as association:
            yield _Association(self._destination, association)

    def ask(self, items: Iterable[Item], note: Callable[[str], None], is_answered: Callable[[str], bool]) -> None:
        """Ask for a commitment, and stay a moment for an answer on the same association.

        Parameters
        ----------
        note : told the transaction before it begins.
        is_answered : whether the transaction has been answered.

        Raises
        ------
        SendError
            ``no_commitment`` where the peer lives and offers none; ``commitment_refused``; ``broke_off``.
        EdgeError
            It cannot be reached.
        """
        contexts = [build_context(VERIFICATION), build_context(commitment.PUSH_MODEL)]
        with self._associated(Offer(contexts=contexts, any_will_do=True, report=self._report)) as association:
            if not _accepts(association, commitment.PUSH_MODEL):
                raise SendError("no_commitment", peer=self._destination.name)
            uid = str(generate_uid(prefix=None))
            note(uid)
            request = commitment.request(uid, items)
            try:
                status, _ = association.send_n_action(
                    request, commitment.ACTION, commitment.PUSH_MODEL, commitment.INSTANCE
                )
            except RuntimeError as error:  # it ended a moment ago
                raise SendError("broke_off", peer=self._destination.name) from error
            if status.get("Status") != 0:
                told = f"0x{status.Status:04X}" if "Status" in status else "–"
                raise SendError("commitment_refused", peer=self._destination.name, status=told)
            held_to, pause = clock.monotonic() + _HOLD_S, threading.Event()
            while association.is_established and clock.monotonic() < held_to and not is_answered(uid):
                pause.wait(_LOOK_S)

    @contextmanager
    def _associated(self, offer: Offer) -> Generator[Association, None, None]:
        try:
            with self._peer.associated(offer, _LIMITS) as association:
                yield association
        except PeerError as error:
            raise _named(self._destination, error) from error


class _Association:
    def __init__(self, destination: DestinationSettings, association: Association) -> None:
        self._destination = destination
        self._association = association

    def send(self, path: Path) -> Answer:
        """Send a file, and return what came of it."""
        if not self._association.is_established:
            return self._broken()
        dataset = dcmread(path)
        if not self._takes_as_it_is(dataset):
            dataset.decompress(generate_instance_uid=False)
        try:
            status = self._association.send_c_store(dataset)
        except RuntimeError:  # it ended a moment ago
            return self._broken()
        except ValueError:  # no accepted context takes it
            return Answer(fate=Fate.REFUSED, error=SendError("class_refused", peer=self._destination.name))
        if "Status" not in status:
            return self._broken()
        return of_status(self._destination, int(status.Status), str(status.get("ErrorComment") or ""))

    def _takes_as_it_is(self, dataset: Dataset) -> bool:
        syntax = dataset.file_meta.TransferSyntaxUID
        accepted = [each for each in self._association.accepted_contexts if each.abstract_syntax == dataset.SOPClassUID]
        return not syntax.is_compressed or not accepted or any(syntax in each.transfer_syntax for each in accepted)

    def _broken(self) -> Answer:
        return Answer(fate=Fate.BROKEN, error=SendError("broke_off", peer=self._destination.name))


def _contexts(class_uid: UID, syntax: UID) -> list[PresentationContext]:
    # The default syntax is for a peer that knows no other (PS3.5 section 10.1): it gets the same pixels, uncompressed.
    if syntax.is_compressed:
        plain = build_context(class_uid, [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
        return [build_context(class_uid, [syntax]), plain]
    return [build_context(class_uid, [syntax, ImplicitVRLittleEndian])]


def _accepts(association: Association, class_uid: str) -> bool:
    return any(context.abstract_syntax == class_uid for context in association.accepted_contexts)


def _named(destination: DestinationSettings, error: PeerError) -> EdgeError:
    codes = {"unreachable": "unreachable", "not_offered": "nothing_accepted"}
    return SendError(codes[error.code], peer=destination.name) if error.code in codes else error
