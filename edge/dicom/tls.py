"""TLS with modalities and the PACS: 1.2 or newer, both sides with a certificate (PS3.15 annex B.9, BCP 195).

A context is made in a millisecond, so it is never kept for long: a certificate that was revoked
or renewed a second ago counts, and there is nothing to reload. The name in a certificate
is not compared with the host: PACS are configured by address, and what is trusted here is a
short list that was put together by hand. Rejected: the authorities of the operating system.
"""

from __future__ import annotations

import os
import ssl

from edge import clock
from edge.config import Settings
from edge.dicom import certificates
from edge.errors import SetupError

_X509_V_FLAG_NO_CHECK_TIME = 0x200000


class _Context(ssl.SSLContext):
    revoked: frozenset[bytes] = frozenset()


class _Socket(ssl.SSLSocket):
    """Refuses what was revoked, whoever else is trusted: OpenSSL wants a list from every issuer or from none."""

    def do_handshake(self, block: bool = False) -> None:
        super().do_handshake(block)
        if isinstance(self.context, _Context) and self.getpeercert(binary_form=True) in self.context.revoked:
            raise ssl.SSLCertVerificationError("certificate revoked")


def server_context(settings: Settings, *, wait: bool = True) -> ssl.SSLContext:
    """For connections to the box: only certificates that it issued, and did not revoke, are let in.

    Raises
    ------
    BlockingIOError, SetupError, StorageError
        As ``certificates.opened``.
    """
    return _context(settings, ssl.PROTOCOL_TLS_SERVER, wait=wait)


def client_context(settings: Settings) -> ssl.SSLContext:
    """For connections of the box to others: shows its own certificate, trusts its own authority and ``trusted/``.

    Raises
    ------
    SetupError, StorageError
        As ``certificates.opened``.
    """
    return _context(settings, ssl.PROTOCOL_TLS_CLIENT)


def own_context(settings: Settings) -> ssl.SSLContext | None:
    """How the box speaks with its own receiver: None where that takes no TLS."""
    return client_context(settings) if settings.dicom.tls else None


def _context(settings: Settings, protocol: int, *, wait: bool = True) -> ssl.SSLContext:
    context = _Context(protocol)
    context.sslsocket_class = _Socket
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    with certificates.opened(settings, wait=wait) as place:
        context.revoked = certificates.revoked(place)
        foreign = certificates.trusted(place) if protocol == ssl.PROTOCOL_TLS_CLIENT else []
        try:
            context.load_cert_chain(place / "box.pem")
            _trust(context, certificates.trust(place))
            for path in foreign:
                context.load_verify_locations(path)
        except ssl.SSLError as error:
            raise SetupError("bad_certificates", path=place) from error
    if foreign:  # they may be certificates of single peers
        context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    else:
        context.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF
    if not clock.is_trusted(settings.data_dir):  # then nothing is known of the time, and all other checks still hold
        context.verify_flags |= ssl.VerifyFlags(_X509_V_FLAG_NO_CHECK_TIME)
    return context


def _trust(context: ssl.SSLContext, pem: bytes) -> None:
    # From memory: on a full disk the box must still answer. Lists of the revoked are only read from files.
    with os.fdopen(os.memfd_create("trust"), "wb", buffering=0) as file:
        file.write(pem)
        context.load_verify_locations(f"/proc/self/fd/{file.fileno()}")
