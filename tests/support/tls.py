"""The other side of TLS: contexts of modalities, handshakes in memory, certificates gone wrong."""

from __future__ import annotations

import socket
import ssl
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from edge.config import Settings
from edge.dicom import certificates


def issued(settings: Settings, folder: Path, name: str = "XRAY-1", *, server: bool = False) -> Path:
    """Issue a certificate into a folder, and return that."""
    certificates.issue(settings, name, folder, server=server)
    return folder


def expired(settings: Settings, folder: Path, name: str = "OLD") -> Path:
    """One that ended yesterday."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(certificates, "_ISSUED_LIFE", -timedelta(days=1))
        return issued(settings, folder, name)


def modality_context(
    folder: Path | None, ca: Path, *, name: str = "XRAY-1", newest: ssl.TLSVersion = ssl.TLSVersion.MAXIMUM_SUPPORTED
) -> ssl.SSLContext:
    """What a modality speaks with, with the certificate of this name in the folder, or with none."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    if newest is not ssl.TLSVersion.MAXIMUM_SUPPORTED:
        context.set_ciphers("DEFAULT@SECLEVEL=0")
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        context.maximum_version = newest
    context.load_verify_locations(ca)
    if folder is not None:
        context.load_cert_chain(folder / f"{name}.crt", folder / f"{name}.key")
    return context


def shake(server: ssl.SSLContext, client: ssl.SSLContext) -> ssl.SSLError | OSError | None:
    """Why the two do not come together, or None where a byte passed each way."""
    ours, theirs = socket.socketpair()
    for end in (ours, theirs):
        end.settimeout(10)
    peer = threading.Thread(target=_speak, args=(client, theirs))
    peer.start()
    try:
        with server.wrap_socket(ours, server_side=True) as wrapped:
            came = wrapped.recv(1)
            if not came:  # by TLS 1.3 a client may leave after the server took the handshake for done
                return ConnectionAbortedError()
            wrapped.sendall(came)
    except OSError as error:
        return error
    finally:
        ours.close()
        peer.join()
    return None


def _speak(context: ssl.SSLContext, connection: socket.socket) -> None:
    try:
        with context.wrap_socket(connection) as wrapped:
            wrapped.sendall(b"x")
            wrapped.recv(1)
    except OSError:
        connection.close()


def dcmtk_options(stick: Path, name: str = "XRAY-1") -> tuple[str, ...]:
    """What dcmtk needs for a certificate that was issued into this folder."""
    return ("+tls", str(stick / f"{name}.key"), str(stick / f"{name}.crt"), "+cf", str(stick / "ca.crt"))
