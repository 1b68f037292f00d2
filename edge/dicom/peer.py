"""An application entity that the box asks: one association with a limit on bytes and on time.

A PACS is trusted to hold images, not to behave: it may be down, hang, answer without end, or
not be what was meant. Whatever it does ends as a ``PeerError`` within a bounded time
(PS3.8 section 9.1.5, PS3.7 annex C). What it says of its own failure is never passed on,
since that may name a patient.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom import AE, build_context, evt
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext
from pynetdicom.status import code_to_category

from edge import log
from edge.config import DestinationSettings, PacsSettings, Settings, WorklistSettings
from edge.dicom.guard import TOO_LONG, GuardedSocket
from edge.dicom.send import VERIFICATION
from edge.dicom.tls import client_context
from edge.errors import PeerError
from edge.store import peers
from edge.store.journal import Action, note_alone, printable

_CONNECT_S = 5.0
_ANSWER_S = 30.0
_ECHO_S = 5.0
_MAX_PDU_BYTES = 65536
_OUT_OF_RESOURCES = 0xA700  # PS3.4 table B.2-1
_ASSOCIATE_RJ = b"\x03"  # PS3.8 section 9.3.4
_FIND_LIMITS_BYTES, _FIND_LIMITS_S, _MATCHES = 16 << 20, 60.0, 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one association may bring, and how long it may last."""

    size_bytes: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What an association is for.

    Attributes
    ----------
    contexts : the first is the one that counts, unless ``any_will_do``.
    store : answers C-STORE requests that come on it.
    has_other : another offer follows where the peer does not take this one, which then is no failure of its own.
    report : answers N-EVENT-REPORT requests that come on it.
    """

    contexts: list[PresentationContext]
    roles: Sequence[Any] = ()
    store: Callable[[evt.Event], int] | None = None
    has_other: bool = False
    report: Callable[[evt.Event], Any] | None = None
    any_will_do: bool = False


class Peer:
    """One application entity that the box asks.

    Parameters
    ----------
    address : the table of the settings that it stands in.
    """

    def __init__(self, settings: Settings, address: PacsSettings | WorklistSettings | DestinationSettings) -> None:
        self._settings = settings
        self._address = address
        self.ae_title = address.ae_title
        self.own_ae_title = settings.dicom.ae_title

    def error(self, code: str, **values: object) -> PeerError:
        """What went wrong with this peer, in words that name it."""
        return PeerError(code, peer=self._name(), ae_title=self.own_ae_title, **values)

    def _name(self) -> str:
        return self._address.name if isinstance(self._address, DestinationSettings) else peers.name(self._address)

    def note(self, action: Action, **fields: str | int) -> None:
        """Note for the audit trail what was asked of this peer."""
        if self._settings.database.exists():
            note_alone(self._settings.database, action, ae_title=printable(self.ae_title), **fields)

    def find(self, model: UID, query: Dataset) -> list[Dataset]:
        """Every match of a C-FIND (PS3.4 section C.4.1).

        Raises
        ------
        PeerError
            ``too_much`` for more than a thousand matches: what is looked for may be among the rest.
        """
        offer = Offer(contexts=[build_context(model)])
        found: list[Dataset] = []
        with self.associated(offer, Limits(size_bytes=_FIND_LIMITS_BYTES, seconds=_FIND_LIMITS_S)) as association:
            self.note(Action.QUERIED)
            for status, match in association.send_c_find(query, model):
                if self.is_pending(status) and match is not None:
                    found.append(match)
                if len(found) > _MATCHES:
                    raise self.error("too_much")
        return found

    def is_pending(self, status: Dataset) -> bool:
        """Whether more answers follow. A warning is no failure: it tells of images that did not come.

        Raises
        ------
        PeerError
            ``no_answer`` or ``peer_failed``.
        """
        if "Status" not in status:
            raise self.error("no_answer")
        category = code_to_category(status.Status)
        if category not in {"Success", "Warning", "Pending"}:
            raise self.error("peer_failed", status=f"0x{status.Status:04X}")
        return bool(category == "Pending")

    def echo(self) -> None:
        """See whether the peer answers the box (C-ECHO, PS3.4 annex A), and leave no note of it anywhere.

        Raises
        ------
        PeerError
        SetupError, StorageError
            As ``associated``.
        """
        offer, limits = Offer(contexts=[build_context(VERIFICATION)]), Limits(size_bytes=1 << 20, seconds=_ECHO_S)
        try:
            with self._associated(offer, limits) as association:
                self.is_pending(association.send_c_echo())
        except PeerError as error:
            if error.code != "not_offered":  # one that only offers other things has let the box in
                raise

    @contextmanager
    def associated(self, offer: Offer, limits: Limits) -> Generator[Association, None, None]:
        """An association, released at the end, and aborted where its bytes or its time are used up.

        How it ended is kept for the page and the doctor.

        Raises
        ------
        PeerError
            Where there is none, or the peer does not accept the first context.
        SetupError, StorageError
            Where there is no certificate for TLS.
        """
        try:
            with self._associated(offer, limits) as association:
                yield association
        except PeerError as error:
            if error.code != "not_offered" or not offer.has_other:
                self._note_end(error)
            raise
        self._note_end(None)

    def _note_end(self, error: PeerError | None) -> None:
        # A destination has its own record, which tells of objects too (edge.store.sent).
        if self._settings.database.exists() and not isinstance(self._address, DestinationSettings):
            peers.note(self._settings.database, self._address, error)

    @contextmanager
    def _associated(self, offer: Offer, limits: Limits) -> Generator[Association, None, None]:
        guard = _Guard(limits.size_bytes)
        association = self._open(offer, guard)
        timer = threading.Timer(limits.seconds, guard.cut, [association])
        timer.daemon = True
        timer.start()
        try:
            first = offer.contexts[0].abstract_syntax
            if not offer.any_will_do and all(c.abstract_syntax != first for c in association.accepted_contexts):
                raise self.error("not_offered")
            yield association
            association.release()
        except PeerError as error:
            raise (self.error("too_much") if guard.has_cut and error.code == "no_answer" else error) from None
        finally:
            timer.cancel()
            if association.is_established:
                association.abort()

    def _open(self, offer: Offer, guard: _Guard) -> Association:
        entity = AE(ae_title=self.own_ae_title)
        entity.connection_timeout = entity.acse_timeout = _CONNECT_S
        entity.dimse_timeout = entity.network_timeout = _ANSWER_S
        tls = (client_context(self._settings), self._address.host) if self._address.tls else None
        handlers: list[Any] = [(evt.EVT_CONN_OPEN, guard.sit_down), (evt.EVT_DATA_RECV, guard.count)]
        handlers += [(evt.EVT_C_STORE, guard.until_cut(offer.store))] if offer.store else []
        handlers += [(evt.EVT_N_EVENT_REPORT, offer.report)] if offer.report else []
        try:
            association = entity.associate(
                self._address.host,
                self._address.port,
                offer.contexts,
                ae_title=self.ae_title,
                max_pdu=_MAX_PDU_BYTES,
                ext_neg=list(offer.roles),
                tls_args=tls,
                evt_handlers=handlers,
            )
        except OSError as error:  # a name that no server knows
            raise self.error("unreachable") from error
        if association.is_established:
            return association
        if association.is_rejected or guard.was_rejected:
            raise self.error("refused")
        raise self.error("not_offered" if association.rejected_contexts else "unreachable")


class _Guard:
    """Ends an association that brings more than it may, or lasts too long."""

    def __init__(self, size_bytes: int) -> None:
        self.has_cut = self.was_rejected = False
        self._left = size_bytes

    def sit_down(self, event: evt.Event) -> None:
        """Read each PDU within its length and its time, from the first on; the library would wait for all of it."""
        association = event.assoc
        connection: Any = association.dul.socket

        def cut(code: str) -> None:
            log.event("peer_cut", code=code)
            if code == TOO_LONG:
                self.cut(association)
            with suppress(OSError):
                connection.socket.shutdown(socket.SHUT_RDWR)

        GuardedSocket.guard(connection, b"", cut)

    def count(self, event: evt.Event) -> None:
        """Count what came; the library forgets a rejection where the peer closes the connection at once."""
        self.was_rejected |= event.data[:1] == _ASSOCIATE_RJ
        self._left -= len(event.data)
        if self._left < 0:
            self.cut(event.assoc)

    def until_cut(self, store: Callable[[evt.Event], int]) -> Callable[[evt.Event], int]:
        """The same answer to C-STORE requests until the cut: what was on its way then must not be kept."""
        return lambda event: _OUT_OF_RESOURCES if self.has_cut else store(event)

    def cut(self, association: Association) -> None:
        """Have whoever waits for the next answer take it for lost, and abort."""
        if not self.has_cut:
            self.has_cut = True
            association.dimse.msg_queue.put((None, None))  # what the library puts there when a peer breaks off
