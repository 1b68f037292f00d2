"""Who this box is: its name, and the key (Ed25519) with which it signs receipts.

Both are made once and lie below ``certificates`` in the data folder, where they outlive a database
that is made anew. Backups carry them, as they carry all that lies there. The key is not encrypted:
the box has nobody who could type a password when power comes back. Rejected: the key of the box's
TLS certificate, which is renewed, and would make old paper unverifiable.
"""

from __future__ import annotations

import fcntl
import re
import secrets
from collections.abc import Callable
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from edge.config import Settings
from edge.errors import SetupError
from edge.store.files import make_folders, refuse_another_user, write_durably


def private_key(settings: Settings) -> Ed25519PrivateKey:
    """The key of this box, made at the first call.

    Raises
    ------
    SetupError
        ``other_user``, ``no_permission``, or ``bad_certificates`` where what lies there is no such key.
    StorageError
        Where the disk refuses.
    """
    place = key_file(settings)
    try:
        key = load_pem_private_key(_kept(settings, place, lambda: _pem(Ed25519PrivateKey.generate())), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:  # what cryptography says of what it cannot parse
        raise SetupError("bad_certificates", path=place.parent) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise SetupError("bad_certificates", path=place.parent)
    return key


def box_id(settings: Settings) -> str:
    """Random name of this box, 32 hexadecimal digits, made at the first call; it stands in the objects that it makes.

    Raises
    ------
    SetupError, StorageError
        As ``private_key`` has it.
    """
    place = key_file(settings).with_name("box_id")
    known = _kept(settings, place, lambda: secrets.token_hex(16).encode()).decode("ascii", "replace").strip()
    if not re.fullmatch("[0-9a-f]{32}", known):
        raise SetupError("bad_certificates", path=place.parent)
    return known


def _kept(settings: Settings, place: Path, made: Callable[[], bytes]) -> bytes:
    refuse_another_user(settings.data_dir)
    try:
        make_folders(place.parent)
        with (place.parent / "lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not place.exists():
                write_durably(place, [made()])
        return place.read_bytes()
    except OSError as error:
        raise SetupError("no_permission", path=place) from error


def key_file(settings: Settings) -> Path:
    """Where the key is."""
    return settings.data_dir / "certificates" / "receipts.pem"


def public_pem(key: Ed25519PrivateKey) -> str:
    """The public half, to be handed out."""
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii")


def load_public(path: Path) -> Ed25519PublicKey:
    """A public key that a box handed out.

    Raises
    ------
    SetupError
        ``file_not_found``, or ``no_public_key`` where the file holds none of this kind.
    """
    try:
        key = load_pem_public_key(path.read_bytes())
    except OSError as error:
        raise SetupError("file_not_found", path=path) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise SetupError("no_public_key", path=path) from error
    if not isinstance(key, Ed25519PublicKey):
        raise SetupError("no_public_key", path=path)
    return key


def _pem(key: Ed25519PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
