"""Audit messages to a syslog server over TLS: RFC 5424 messages in the octet counting of RFC 5425.

DICOM PS3.15 section A.6 fixes facility 10, severity 5 and the message identifier. Syslog has no
acknowledgement of its own: a batch counts as sent once the server has closed the TLS connection in
answer to our closing, for it then has read all of it. A batch that was cut is sent again whole, and
its numbers (``meta sequenceId``) tell a server what it has already. Rejected: syslog over UDP, which
loses messages and says nothing.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from xml.etree import ElementTree as ET

from edge.audit.chain import Record
from edge.config import Settings
from edge.dicom.tls import client_context

_PRIORITY = 10 * 8 + 5
_TIMEOUT_S = 10.0
_BOM = "\N{ZERO WIDTH NO-BREAK SPACE}"


def send(settings: Settings, batch: Iterable[Record]) -> None:
    """Send records, and return once the server has read them all.

    Raises
    ------
    OSError
        Also ``ssl.SSLError``: some of them may not have arrived.
    SetupError, StorageError
        The certificates of the box cannot be used.
    """
    address = (settings.audit.syslog_host, settings.audit.syslog_port)
    context = client_context(settings)
    with socket.create_connection(address, _TIMEOUT_S) as plain:
        with context.wrap_socket(plain, server_hostname=settings.audit.syslog_host) as secure:
            for record in batch:
                secure.sendall(framed(record))
            secure.unwrap()


def framed(record: Record) -> bytes:
    """One message in its frame (RFC 5425 section 4.3)."""
    message = ET.fromstring(record.message)  # noqa: S314 - of our own making
    happened = message.find("EventIdentification")
    at = happened.get("EventDateTime", "-") if happened is not None else "-"
    head = f"<{_PRIORITY}>1 {at} {socket.gethostname() or '-'} chest-edge {os.getpid()} DICOM+RFC3881"
    # RFC 5424 section 7.3.1: the greatest number is 2147483647, then it begins again at 1.
    content = f'{head} [meta sequenceId="{(record.sequence - 1) % 2147483647 + 1}"] {_BOM}{record.message}'.encode()
    return b"%d %s" % (len(content), content)
