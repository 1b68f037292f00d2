"""The listening socket, and the lobby where connections wait until they said who they are.

A connection costs a file descriptor and no thread until its whole A-ASSOCIATE-RQ (PS3.8 section
9.3.2) is there; one thread reads them all and shakes hands where TLS is spoken. Only then
it takes one of the places of associations, so silent or slow peers never take one from a
sender, from however many addresses they come. When the lobby is full the oldest one leaves:
a sender needs milliseconds.

Rejected: a thread for each connection, as pynetdicom does: 200 silent ones kept 396 threads
and a whole core busy.
"""

from __future__ import annotations

import selectors
import socket
import ssl
import sys
import threading
from contextlib import suppress
from typing import Any, cast

from pynetdicom import AE
from pynetdicom.transport import AssociationServer, RequestHandler, ThreadedAssociationServer

from edge import clock, log
from edge.config import Settings
from edge.dicom.guard import FULL, PDU_S, GuardedSocket, Refusals, Rejection, Rules, ae_titles, is_sound
from edge.dicom.tls import server_context
from edge.errors import EdgeError

_SILENCE_S = 5.0
_STILL_S = 10.0  # longer than storing an object takes
_LOBBY = 256
_MAX_REQUEST_BYTES = 256 * 1024  # 128 presentation contexts of 30 transfer syntaxes need half of it
_LEAST_REQUEST_BYTES = 68
_ASSOCIATE_RQ = 1
_ABORT = bytes((7, 0, 0, 0, 0, 4, 0, 0, 2, 2))  # by the provider, unexpected PDU (PS3.8 table 9-26)
_ACCEPTED_AT_ONCE = 64
_CONTEXT_S = 1.0


class _Refused(Exception):
    """A guest that has to leave; its argument is the code for the log."""


class Guest:
    """A connection before its association."""

    def __init__(self, connection: socket.socket, address: Any, context: ssl.SSLContext | None) -> None:
        connection.setblocking(False)
        self.address = address
        self.host: str = address[0]
        self.request = bytearray()
        self.guarded: GuardedSocket | None = None
        self._came_at = clock.monotonic()
        self._is_shaking = context is not None
        self.connection = connection
        if context is not None:
            self.connection = context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)

    def is_late(self) -> bool:
        """Whether it was silent, or sending its request, for too long."""
        return clock.monotonic() - self._came_at > (PDU_S if self.request else _SILENCE_S)

    def read(self) -> bool:
        """Take what has come, never waiting; whether the request is whole.

        Raises
        ------
        _Refused
            Where it cannot become one.
        """
        try:
            if self._is_shaking:
                self.connection.do_handshake()  # type: ignore[attr-defined]
                self._is_shaking = False
            while missing := self._missing():
                piece = self.connection.recv(missing)
                if not piece:
                    raise _Refused("left")
                self.request += piece
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return False
        except OSError as error:
            raise _Refused("tls" if self._is_shaking else "left") from error
        return True

    def _missing(self) -> int:
        if len(self.request) < 6:
            return 6 - len(self.request)
        length = int.from_bytes(self.request[2:6], "big")
        if self.request[0] != _ASSOCIATE_RQ or length < _LEAST_REQUEST_BYTES:
            self.say(_ABORT)
            raise _Refused("no_request")
        if length > _MAX_REQUEST_BYTES:
            raise _Refused("pdu_too_long")
        return 6 + length - len(self.request)

    def say(self, pdu: bytes) -> None:
        """Send a few bytes to somebody who is about to leave, if they can be sent."""
        with suppress(OSError):
            self.connection.send(pdu)

    def still_s(self) -> float:
        """Seconds for which its association has neither heard nor said anything."""
        return clock.monotonic() - self.guarded.active_at if self.guarded else 0.0

    def shutdown(self, how: int) -> None:
        """As of a socket: the server ends what it was given."""
        self.connection.shutdown(how)

    def close(self) -> None:
        """As of a socket."""
        self.connection.close()


class _Association(RequestHandler):
    """Runs the association of a guest to its end, in the thread that the server started for it."""

    server: Server

    def handle(self) -> None:
        """Associate and wait for the end."""
        guest: Guest = self.request
        self.request = guest.connection
        association = self._create_association()
        refusals = self.server.refusals
        GuardedSocket.guard(association.dul.socket, bytes(guest.request), lambda code: refusals.note(guest.host, code))
        guest.guarded = cast(GuardedSocket, association.dul.socket)
        association.start()
        association.join()
        association.dul.kill_dul()  # in case an error ended the thread of the association


class Server(ThreadedAssociationServer):
    """Listens, keeps the lobby, and seats whom the rules allow.

    Parameters
    ----------
    entity : what is offered to associations.
    handlers : pynetdicom's event handlers.

    Raises
    ------
    SetupError
        For lists that cannot be.
    """

    socket: Any
    request_queue_size = 512
    daemon_threads = True

    def __init__(self, settings: Settings, entity: AE, handlers: list[Any]) -> None:
        self.refusals = Refusals(settings.database)
        self._settings = settings
        self._rules = Rules(settings)
        self._lobby: dict[socket.socket, Guest] = {}  # oldest first
        self._seated: list[Guest] = []
        self._lock = threading.Lock()
        self._selector = selectors.DefaultSelector()
        self._stopping = threading.Event()
        self._stopped = threading.Event()
        self._context: ssl.SSLContext | None = None
        self._context_at = -_CONTEXT_S
        address = (settings.dicom.host, settings.dicom.port)
        AssociationServer.__init__(
            self, entity, address, entity.ae_title, entity.supported_contexts, None, handlers, _Association
        )

    def serve_forever(self, poll_interval: float = 0.1) -> None:
        """Keep the lobby until ``shutdown``."""
        self.socket.setblocking(False)
        self._selector.register(self.socket, selectors.EVENT_READ)
        while not self._stopping.is_set():
            for key, _ in self._selector.select(poll_interval):
                if key.data is None:
                    self._open_door()
                elif key.fileobj in self._lobby:  # it may have had to leave for a newer one
                    self._hear(key.data)
            for guest in [guest for guest in self._lobby.values() if guest.is_late()]:
                self._refuse(guest, "silent")
            self.refusals.tell()
        self._selector.close()
        self._stopped.set()

    def shutdown(self) -> None:
        """Stop listening and abort what is open: nothing of it was acknowledged."""
        self._stopping.set()
        self._stopped.wait()
        self.server_close()
        for guest in self._lobby.values():
            guest.close()
        for association in self.active_associations:
            association.abort()
        self.refusals.tell(now=True)

    def handle_error(self, request: object, client_address: object) -> None:
        """Log a connection that failed by type and place; the library would print what the sender wrote."""
        error = sys.exc_info()[1]
        if error is not None:
            log.event("connection_failed", error_type=type(error).__name__, where=log.where(error))

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Run an association to its end, and give its place back whatever happened."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._leave(request)

    def _leave(self, guest: Guest) -> None:
        guest.close()
        with self._lock:
            self._seated.remove(guest)

    def _open_door(self) -> None:
        for _ in range(_ACCEPTED_AT_ONCE):
            try:
                connection, address = self.socket.accept()
            except OSError:  # nobody left, or gone again
                return
            code = self._why_not(address[0])
            if code is None:
                self._welcome(connection, address)
            else:
                self.refusals.note(address[0], code)
                connection.close()

    def _why_not(self, host: str) -> str | None:
        if not self._rules.may_connect(host):
            return "address"
        with self._lock:
            held = sum(guest.host == host for guest in (*self._lobby.values(), *self._seated))
        return "too_many_connections" if held >= self._settings.dicom.max_per_address else None

    def _welcome(self, connection: socket.socket, address: Any) -> None:
        if len(self._lobby) >= _LOBBY:
            self._refuse(next(iter(self._lobby.values())), "lobby_full")
        try:
            guest = Guest(connection, address, self._tls())
        except (EdgeError, OSError) as error:
            connection.close()
            log.event("connection_failed", error_type=type(error).__name__, where=log.where(error))
            return
        self._lobby[guest.connection] = guest
        self._selector.register(guest.connection, selectors.EVENT_READ, guest)
        self._hear(guest)

    def _tls(self) -> ssl.SSLContext | None:
        if self._settings.dicom.tls and clock.monotonic() - self._context_at >= _CONTEXT_S:
            with suppress(BlockingIOError):  # the one before is still good; never does the whole lobby wait for it
                self._context = server_context(self._settings, wait=self._context is None)
                self._context_at = clock.monotonic()
        return self._context

    def _hear(self, guest: Guest) -> None:
        try:
            is_whole = guest.read()
        except _Refused as refused:
            self._refuse(guest, str(refused))
            return
        if is_whole:
            self._seat(guest)

    def _seat(self, guest: Guest) -> None:
        if not is_sound(guest.request):  # the library would keep the place for seconds
            guest.say(_ABORT)
            self._refuse(guest, "malformed")
            return
        rejection = self._rules.rejection(guest.host, *ae_titles(guest.request)) or self._place(guest)
        if rejection is not None:
            guest.say(rejection.pdu())
            self._refuse(guest, rejection.code)
            return
        self._forget(guest)
        try:
            self.process_request(cast(Any, guest), guest.address)
        except RuntimeError:  # no thread can be started
            self.handle_error(guest, guest.address)
            self._leave(guest)

    def _place(self, guest: Guest) -> Rejection | None:
        with self._lock:
            if len(self._seated) < self._settings.dicom.max_associations:
                self._seated.append(guest)
                return None
            stillest = max(self._seated, key=Guest.still_s)
        if stillest.still_s() > _STILL_S:  # the sender's next try finds a place
            self.refusals.note(stillest.host, "still")
            with suppress(OSError):
                stillest.shutdown(socket.SHUT_RDWR)
        return FULL

    def _refuse(self, guest: Guest, code: str) -> None:
        self.refusals.note(guest.host, code)
        self._forget(guest)
        self.shutdown_request(cast(Any, guest))

    def _forget(self, guest: Guest) -> None:
        del self._lobby[guest.connection]
        self._selector.unregister(guest.connection)
