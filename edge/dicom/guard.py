"""Who may associate with the box, how long a PDU may take, and what is said of those who were refused.

PS3.8 section 9.3 has the PDUs. AE titles are no secret and prove nothing: the list keeps
mistakes out, TLS keeps people out. Rejected: deciding inside pynetdicom's negotiation, which
begins after two threads were started for the connection.
"""

from __future__ import annotations

import ipaddress
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pynetdicom.association import Association
from pynetdicom.pdu import A_ASSOCIATE_RQ
from pynetdicom.transport import AssociationSocket

from edge import clock, log
from edge.config import LOOPBACK, Settings
from edge.dicom.send import TITLE
from edge.errors import SetupError
from edge.store.journal import Action, note_alone

PDU_S = 10.0
"""Seconds that one PDU may take from its first byte to its last."""
MAX_PDU_BYTES = 1 << 20
"""Longest PDU that is read in an association; the box announces far less."""
TOO_LONG = "pdu_too_long"

_PDU_HEADER = 6
_PDU_TYPES = range(1, 8)
_AE_TITLE_LENGTH = 16
_SEND_S = 30.0
_WINDOW_S = 60.0
_LINES = 20


@dataclass(frozen=True, slots=True)
class Rejection:
    """An A-ASSOCIATE-RJ (PS3.8 table 9-21), and the code that the log gets."""

    code: str
    result: int
    source: int
    reason: int

    def pdu(self) -> bytes:
        """As it is sent."""
        return bytes((3, 0, 0, 0, 0, 4, 0, self.result, self.source, self.reason))


UNKNOWN_CALLING = Rejection("calling_ae_title", 1, 1, 3)
UNKNOWN_CALLED = Rejection("called_ae_title", 1, 1, 7)
FULL = Rejection("too_many_associations", 2, 3, 2)  # transient: try again


class Rules:
    """The lists of the settings.

    Raises
    ------
    SetupError
        For an address or an AE title that cannot be one.
    """

    def __init__(self, settings: Settings) -> None:
        dicom = settings.dicom
        self._networks = [_network(text) for text in dicom.addresses]
        self._calling = {_ae_title("dicom.calling_ae_titles", title) for title in dicom.calling_ae_titles}
        self._called = {_ae_title("dicom.called_ae_titles", title) for title in dicom.called_ae_titles}
        self._called.add(dicom.ae_title.strip())
        self._own_hosts = {LOOPBACK, dicom.host}
        reporting = [destination for destination in settings.destination if destination.asks_commitment]
        self._reporting_hosts = {destination.host for destination in reporting}
        if self._calling:
            self._calling |= {destination.ae_title.strip() for destination in reporting}

    def may_connect(self, host: str) -> bool:
        """Whether an address is on the list; the box itself always is, or it could not look whether it works.

        So is an archive that has to report what it keeps, where the settings give its address.
        """
        if not self._networks or host in self._own_hosts | self._reporting_hosts:
            return True
        address = ipaddress.ip_address(host)
        address = getattr(address, "ipv4_mapped", None) or address
        return any(address in network for network in self._networks)

    def rejection(self, host: str, called: str, calling: str) -> Rejection | None:
        """Why an association is not accepted, or None."""
        if "*" not in self._called and called not in self._called:
            return UNKNOWN_CALLED
        is_own = calling == TITLE and host in self._own_hosts
        if self._calling and calling not in self._calling and not is_own:
            return UNKNOWN_CALLING
        return None


class Refusals:
    """Counts what was refused, and logs it: a few hosts a minute by name, and all of them as sums.

    Parameters
    ----------
    database : whose journal gets the sums too, for the audit trail; None for none.
    """

    def __init__(self, database: Path | None = None) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._named: set[tuple[str, str]] = set()
        self._counts: Counter[str] = Counter()
        self._since = clock.monotonic()

    def note(self, host: str, code: str, *, field: str = "host") -> None:
        """Count one connection that was refused or cut."""
        with self._lock:
            self._counts[code] += 1
            is_new = (host, code) not in self._named and len(self._named) < _LINES
            if is_new:
                self._named.add((host, code))
        if is_new:
            log.event("connection_refused", code=code, **{field: host})

    def thread_failed(self, failure: threading.ExceptHookArgs) -> None:
        """Count an association that a malformed message ended, in place of ``threading.excepthook``.

        A thread of the box's own that ends is no fault of a sender.
        """
        if not isinstance(failure.thread, Association):
            log.thread_failed(failure)
            return
        place = log.where(failure.exc_value) if failure.exc_value else "unknown"
        self.note(place, "malformed_message", field="where")

    def tell(self, *, now: bool = False) -> None:
        """Log the sums of the last minute once it is over, or now."""
        with self._lock:
            seconds = clock.monotonic() - self._since
            if seconds < _WINDOW_S and not now:
                return
            counts, self._counts = self._counts, Counter()
            self._named.clear()
            self._since += seconds
        for code, count in counts.items():
            log.event("connections_refused", code=code, count=count, seconds=round(seconds))
        if counts and self._database is not None:
            # A thread of its own: whoever waits at the door must not wait for the disk.
            try:
                threading.Thread(target=_note, args=(self._database, counts)).start()
            except RuntimeError:  # no thread can be started, and the door stays open
                log.event("not_noted", code="no_thread")


def _note(database: Path, counts: Counter[str]) -> None:
    for code, count in counts.items():
        note_alone(database, Action.ASSOCIATION_REJECTED, code=code, count=count)


class GuardedSocket(AssociationSocket):
    """The socket of an association, which reads a PDU within its length and its time or not at all.

    It is never constructed: ``guard`` turns an existing one into it, as a second one on the same
    association would tell its state machine of a second connection.
    """

    active_at: float
    """Monotonic time when a PDU last came or went."""
    _first: bytes
    _deadline: float
    _in_body: bool
    _cut: Callable[[str], None]

    @classmethod
    def guard(cls, given: Any, first: bytes, cut: Callable[[str], None]) -> None:
        """Turn a socket into a guarded one.

        Parameters
        ----------
        first : what was read from it before.
        cut : told a code where a PDU is too long or too slow.
        """
        given.__class__ = cls
        given._first = first
        given._in_body = False
        given.active_at = clock.monotonic()
        given._cut = cut
        given.socket.settimeout(_SEND_S)

    @property
    def ready(self) -> bool:
        """Whether there is something to read."""
        return bool(self._first) or super().ready

    def recv(self, nr_bytes: int) -> bytearray:
        """The header of a PDU, or its body after that; less where the peer closes.

        Raises
        ------
        OSError
            Where the PDU is too long or too slow.
        """
        if self._in_body:
            self._in_body = False
            return self._read(nr_bytes)
        self._deadline = clock.monotonic() + PDU_S
        header = self._read(nr_bytes)
        if int.from_bytes(header[2:_PDU_HEADER], "big") > MAX_PDU_BYTES:
            self._cut(TOO_LONG)
            raise ConnectionAbortedError
        self._in_body = len(header) == _PDU_HEADER and header[0] in _PDU_TYPES
        return header

    def send(self, bytestream: bytes) -> None:
        """Send a PDU, as the library does."""
        super().send(bytestream)
        self.active_at = clock.monotonic()

    def _read(self, count: int) -> bytearray:
        connection: Any = self.socket
        received = bytearray(self._first[:count])
        self._first = self._first[count:]
        try:
            while len(received) < count:
                left_s = self._deadline - clock.monotonic()
                connection.settimeout(max(left_s, 0.001))
                piece = connection.recv(min(count - len(received), 1 << 16))
                if not piece:
                    break
                received += piece
                if clock.monotonic() >= self._deadline and len(received) < count:
                    raise TimeoutError
        except TimeoutError:
            self._cut("pdu_too_slow")
            raise
        finally:
            connection.settimeout(_SEND_S)
        self.active_at = clock.monotonic()
        return received


def is_sound(request: bytes | bytearray) -> bool:
    """Whether an A-ASSOCIATE-RQ can be decoded."""
    decoded = A_ASSOCIATE_RQ()
    try:
        decoded.decode(bytes(request))
        decoded.to_primitive()
    except Exception:  # the library raises whatever the first wrong byte leads to
        return False
    return True


def ae_titles(request: bytes | bytearray) -> tuple[str, str]:
    """Called and calling AE title of an A-ASSOCIATE-RQ (PS3.8 table 9-11)."""
    called, calling = (request[start : start + _AE_TITLE_LENGTH].decode("ascii", "replace") for start in (10, 26))
    return called.strip(" \0"), calling.strip(" \0")


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        expected = "addresses or networks such as 192.168.1.0/24"
        raise SetupError("bad_setting", name="dicom.addresses", expected=expected, value=text) from error


def _ae_title(name: str, text: str) -> str:
    title = text.strip()
    if not 1 <= len(title) <= _AE_TITLE_LENGTH or not title.isascii() or not title.isprintable() or "\\" in title:
        raise SetupError("bad_setting", name=name, expected="AE titles of 1 to 16 characters", value=repr(text))
    return title
