"""The box's own certificate authority: who may speak TLS with it (PS3.15 annex B.9, RFC 5280).

A clinic without an administrator has no authority that could sign certificates, so the box
is one. Below ``data_dir/certificates`` are ``authority.pem`` and ``box.pem`` (key and certificate
in one file, so that no power cut parts them), ``issued/`` and ``revoked/`` (certificates that
were handed out) and ``trusted/`` (those of others, put there by hand).

A box whose clock is wrong must not lock its X-ray unit out, so every certificate is valid from
the release of this software on, and lasts long; a stolen one is revoked. Rejected: short lives
with automatic renewal, which no X-ray unit does; an authority on the internet.
"""

from __future__ import annotations

import fcntl
import re
import secrets
import socket
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    pkcs12,
)
from cryptography.x509.oid import ExtendedKeyUsageOID as Usage
from cryptography.x509.oid import NameOID

from edge import clock
from edge.config import Settings
from edge.errors import SetupError
from edge.store.files import refuse_another_user, write_durably
from edge.store.journal import Action, note_alone

_AUTHORITY_LIFE = timedelta(days=30 * 365)
_ISSUED_LIFE = timedelta(days=15 * 365)
_BOX_LIFE = timedelta(days=5 * 365)
_RENEW_BEFORE = timedelta(days=180)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_ENDING = ".pem"


@dataclass(frozen=True, slots=True)
class Identity:
    """A private key and the certificate that belongs to it."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    def pem(self) -> bytes:
        """Both, the key unencrypted: the box has nobody who could type a password when power comes back."""
        return _key_pem(self.key) + self.certificate.public_bytes(Encoding.PEM)


@dataclass(frozen=True, slots=True)
class Listed:
    """A certificate of this box, as a person sees it.

    Attributes
    ----------
    name : what it was issued to, or that of its file.
    ends_at : aware, UTC.
    """

    name: str
    ends_at: datetime
    revoked: bool


def folder(settings: Settings) -> Path:
    """Where keys and certificates are stored."""
    return settings.data_dir / "certificates"


@contextmanager
def opened(settings: Settings, *, wait: bool = True) -> Generator[Path, None, None]:
    """The folder with all that TLS needs in it, made or renewed where needed; nobody else changes it meanwhile.

    Raises
    ------
    BlockingIOError
        Somebody else works with it, and ``wait`` is False.
    SetupError
        Where it cannot be read or written by this user, or what it holds is damaged.
    StorageError
        Where the disk refuses.
    """
    place = folder(settings)
    refuse_another_user(settings.data_dir)
    try:
        for path in (settings.data_dir, place, *(place / name for name in ("issued", "revoked", "trusted"))):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (place / "lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            _complete(place, settings.dicom.ae_title)
            yield place
    except BlockingIOError:
        raise
    except OSError as error:
        raise SetupError("no_permission", path=place) from error
    except ValueError as error:  # what cryptography says of a file that it cannot parse
        raise SetupError("bad_certificates", path=place) from error


def issue(settings: Settings, name: str, out: Path, *, server: bool = False) -> str:
    """Make a key and a certificate for a modality or a PACS, and write them for carrying there.

    Parameters
    ----------
    name : of the device: letters, digits, dot, dash and underscore.
    out : gets ``NAME.key``, ``NAME.crt``, ``NAME.p12`` and ``ca.crt``. The box keeps no copy of the key.
    server : the device also accepts connections, as a PACS does that the box asks.

    Returns
    -------
    The password of ``NAME.p12``, which is kept nowhere.

    Raises
    ------
    SetupError
        ``bad_certificate_name``, ``certificate_exists``, ``file_not_found``, or as ``opened``.
    """
    if not _NAME.fullmatch(name):
        raise SetupError("bad_certificate_name", name=name)
    if not out.parent.is_dir():  # a stick that is not there: the key must not land on the disk of the box
        raise SetupError("file_not_found", path=out.parent)
    with opened(settings) as place:
        if _issued(place, name).exists():
            raise SetupError("certificate_exists", name=name)
        authority = _identity(place / "authority.pem")
        usages = [Usage.CLIENT_AUTH, Usage.SERVER_AUTH] if server else [Usage.CLIENT_AUTH]
        identity = _signed(authority, _subject(name, name), _ISSUED_LIFE, usages)
        password = secrets.token_hex(8)
        out.mkdir(exist_ok=True)
        # Recorded first: a certificate that is not listed could never be revoked.
        write_durably(_issued(place, name), [identity.certificate.public_bytes(Encoding.PEM)])
    # After the lock: a stick can take long, and nobody must wait for it who wants to speak TLS.
    for ending, content in _handed_out(identity, authority.certificate, name, password):
        write_durably(out / ending, [content])
    _note(settings, "issued")
    return password


def revoke(settings: Settings, name: str) -> None:
    """Refuse the certificate of this name from the next connection on.

    Raises
    ------
    SetupError
        ``certificate_unknown``, or as ``opened``.
    """
    with opened(settings) as place:
        if not _NAME.fullmatch(name) or not _issued(place, name).exists():
            raise SetupError("certificate_unknown", name=name)
        revoked = place / "revoked" / f"{name}@{secrets.token_hex(4)}{_ENDING}"
        write_durably(revoked, [_issued(place, name).read_bytes()])
        _issued(place, name).unlink()
    _note(settings, "revoked")


def _note(settings: Settings, code: str) -> None:
    if settings.database.exists():  # before the first start there is nobody yet to tell
        note_alone(settings.database, Action.CERTIFICATE_ISSUED, code=code)


def listed(settings: Settings) -> list[Listed]:
    """The authority, what others gave, then what the box issued; its own certificate renews itself. Makes nothing.

    Raises
    ------
    SetupError
        ``no_permission`` or ``bad_certificates``.
    """
    place = folder(settings)
    own = [path for path in (place / "authority.pem",) if path.exists()]
    paths = [*own, *trusted(place), *_sorted(place / "issued"), *_sorted(place / "revoked")]
    try:
        return [_listed(path) for path in paths]
    except OSError as error:
        raise SetupError("no_permission", path=place) from error
    except ValueError as error:
        raise SetupError("bad_certificates", path=place) from error


def trusted(place: Path) -> list[Path]:
    """Certificates of others that were put into ``trusted/`` by hand."""
    return _sorted(place / "trusted")


def revoked(place: Path) -> frozenset[bytes]:
    """The certificates that were revoked, as DER."""
    loaded = (x509.load_pem_x509_certificate(path.read_bytes()) for path in _sorted(place / "revoked"))
    return frozenset(certificate.public_bytes(Encoding.DER) for certificate in loaded)


def trust(place: Path) -> bytes:
    """The box's authority and its list of the revoked (RFC 5280 section 5), as PEM, valid as long as the authority."""
    authority = _identity(place / "authority.pem")
    issuer = authority.certificate
    builder = x509.CertificateRevocationListBuilder().issuer_name(issuer.subject)
    builder = builder.last_update(clock.RELEASED).next_update(issuer.not_valid_after_utc)
    for path in _sorted(place / "revoked"):
        serial = x509.load_pem_x509_certificate(path.read_bytes()).serial_number
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(clock.RELEASED)
        builder = builder.add_revoked_certificate(entry.build())
    revocations = builder.sign(authority.key, hashes.SHA256())
    return issuer.public_bytes(Encoding.PEM) + revocations.public_bytes(Encoding.PEM)


def _complete(place: Path, ae_title: str) -> None:
    if not (place / "authority.pem").exists():
        write_durably(place / "authority.pem", [_self_signed().pem()])
    authority = _identity(place / "authority.pem")
    if _has_to_be_made(place / "box.pem", authority):
        usages = [Usage.CLIENT_AUTH, Usage.SERVER_AUTH]
        box = _signed(authority, _subject(ae_title, socket.gethostname()), _BOX_LIFE, usages)
        write_durably(place / "box.pem", [box.pem()])


def _has_to_be_made(path: Path, authority: Identity) -> bool:
    if not path.exists():
        return True
    ends_at = _identity(path).certificate.not_valid_after_utc
    return _now() > ends_at - _RENEW_BEFORE and ends_at < authority.certificate.not_valid_after_utc


def _identity(path: Path) -> Identity:
    content = path.read_bytes()
    key = load_pem_private_key(content, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("expected a key on an elliptic curve")
    return Identity(key, x509.load_pem_x509_certificate(content))


def _self_signed() -> Identity:
    key = ec.generate_private_key(ec.SECP256R1())
    # A number in the name: clients find an authority by its name, and each box is its own.
    name = _named(f"Chest Edge authority {secrets.token_hex(4)}")
    usage = _key_usage(signs_certificates=True)
    builder = _builder(name, name, key.public_key(), clock.RELEASED + _AUTHORITY_LIFE)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    return Identity(key, builder.add_extension(usage, critical=True).sign(key, hashes.SHA256()))


@dataclass(frozen=True, slots=True)
class _Subject:
    name: x509.Name
    host: x509.SubjectAlternativeName


def _subject(name: str, host: str) -> _Subject:
    return _Subject(_named(name), x509.SubjectAlternativeName([x509.DNSName(host)]))


def _signed(authority: Identity, subject: _Subject, life: timedelta, usages: list[x509.ObjectIdentifier]) -> Identity:
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = authority.certificate
    ends_at = min(_now() + life, issuer.not_valid_after_utc)
    builder = _builder(subject.name, issuer.subject, key.public_key(), ends_at)
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    extensions: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (_key_usage(signs_certificates=False), True),
        (x509.ExtendedKeyUsage(usages), False),
        (identifier, False),
        (subject.host, False),
    ]
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return Identity(key, builder.sign(authority.key, hashes.SHA256()))


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, ends_at: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(clock.RELEASED)
        .not_valid_after(ends_at)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _handed_out(
    identity: Identity, authority: x509.Certificate, name: str, password: str
) -> Iterator[tuple[str, bytes]]:
    # The ciphers that every implementation reads; the key lies beside it in the clear anyway.
    protection = (
        PrivateFormat.PKCS12.encryption_builder()
        .kdf_rounds(50_000)
        .key_cert_algorithm(pkcs12.PBES.PBESv1SHA1And3KeyTripleDESCBC)
        .hmac_hash(hashes.SHA1())  # noqa: S303
        .build(password.encode())
    )
    bundle = pkcs12.serialize_key_and_certificates(
        name.encode(), identity.key, identity.certificate, [authority], protection
    )
    yield f"{name}.key", _key_pem(identity.key)
    yield f"{name}.crt", identity.certificate.public_bytes(Encoding.PEM)
    yield f"{name}.p12", bundle
    yield "ca.crt", authority.public_bytes(Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _now() -> datetime:
    return max(clock.utc(), clock.RELEASED)  # a clock before that is wrong, and nothing may end by it


def _issued(place: Path, name: str) -> Path:
    return place / "issued" / f"{name}{_ENDING}"


def _sorted(place: Path) -> list[Path]:
    return sorted(place.glob(f"*{_ENDING}"))


def _listed(path: Path) -> Listed:
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    name = path.stem.split("@")[0]
    return Listed(name, certificate.not_valid_after_utc, revoked=path.parent.name == "revoked")
