"""A receipt: what a box signed of one result, short enough for a QR code on paper (RFC 8032, RFC 4648).

It names the box, the study by our own key, the version, and the models and the reading by their
hashes; nothing in it tells who the patient is. Whoever has the public key of the box tells, with no
network, whether paper and result belong together. Only capital letters and digits are used: a QR
code holds them densely, and a USB scanner types them alike on most keyboards. Rejected: JSON or
a web token, three times as long; a link, which needs a server.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

PREFIX = "CE1"
UNSIGNED = "unsigned"
"""In the place of a receipt where no box stands behind a reading; the paper says so."""

_CONTEXT = b"chest-edge receipt 1\0"  # so that no other text that the key may sign passes for a receipt
_FIELDS = struct.Struct(">8s16s16sI16s32sq")
_SIGNATURE_BYTES = 64
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class NoReceiptError(ValueError):
    """A text that is no receipt: another one, a part of one, or one with a mistyped letter at its beginning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What a receipt says; nobody has looked yet whether it is true.

    Attributes
    ----------
    signer : first 8 bytes of the SHA-256 of the public key that belongs to it, as hexadecimal digits.
    box_id, study_key : 32 hexadecimal digits each.
    models : first 16 bytes of ``models_digest``, as hexadecimal digits.
    findings : ``findings_digest``, as hexadecimal digits.
    completed_at : aware, UTC.
    """

    signer: str
    box_id: str
    study_key: str
    version: int
    models: str
    findings: str
    completed_at: datetime


def issue(key: Ed25519PrivateKey, box_id: str, study_key: str, version: int, report: Mapping[str, Any]) -> str:
    """The receipt of one result.

    Parameters
    ----------
    box_id, study_key : 32 hexadecimal digits each.
    report : ``chest-edge/result/1``.
    """
    fields = _FIELDS.pack(
        bytes.fromhex(fingerprint(key.public_key())),
        bytes.fromhex(box_id),
        bytes.fromhex(study_key),
        version,
        bytes.fromhex(models_digest(report)),
        bytes.fromhex(findings_digest(report)),
        (datetime.fromisoformat(report["completed_at"]) - _EPOCH) // timedelta(microseconds=1),
    )
    signed = fields + key.sign(_CONTEXT + fields)
    return PREFIX + base64.b32encode(signed).decode("ascii").rstrip("=")


def read(text: str) -> Receipt:
    """What a receipt says. White space and the case of letters do not matter.

    Raises
    ------
    NoReceiptError
        It is none.
    """
    signer, box, study, version, models, findings, completed_us = _FIELDS.unpack(_signed(text)[: _FIELDS.size])
    try:
        completed_at = _EPOCH + timedelta(microseconds=completed_us)
    except OverflowError as error:
        raise NoReceiptError from error
    return Receipt(
        signer=signer.hex(),
        box_id=box.hex(),
        study_key=study.hex(),
        version=version,
        models=models.hex(),
        findings=findings.hex(),
        completed_at=completed_at,
    )


def is_signed_by(text: str, key: Ed25519PublicKey) -> bool:
    """Whether the holder of this key's other half made this very receipt.

    Raises
    ------
    NoReceiptError
        It is none.
    """
    signed = _signed(text)
    try:
        key.verify(signed[_FIELDS.size :], _CONTEXT + signed[: _FIELDS.size])
    except InvalidSignature:
        return False
    return True


def fits(receipt: Receipt, report: Mapping[str, Any]) -> bool:
    """Whether it is the receipt of this result: the same reading, by the same models, at the same moment."""
    try:
        completed_at = datetime.fromisoformat(report["completed_at"])
        digests = (models_digest(report), findings_digest(report))
    except (KeyError, TypeError, AttributeError, ValueError):  # no result of this box, whatever it is
        return False
    return (receipt.models, receipt.findings, receipt.completed_at) == (*digests, completed_at)


def fingerprint(key: Ed25519PublicKey) -> str:
    """The first 8 bytes of the SHA-256 of a public key, as hexadecimal digits."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:16]


def models_digest(report: Mapping[str, Any]) -> str:
    """The first 16 bytes of the SHA-256 over each step with the hash of its model, as hexadecimal digits."""
    used = [[stage.get("name"), stage.get("model_sha256")] for stage in report.get("stages") or ()]
    return _sha256(used)[:32]


def findings_digest(report: Mapping[str, Any]) -> str:
    """SHA-256, as hexadecimal digits, of what a decision may rest on: without file names, times and wording."""
    segmentation = report.get("segmentation") or {}
    parts = {name: report.get(name) for name in ("schema", "state", "classification", "detection", "severity")}
    parts["findings"] = report.get("findings") or []
    parts["cardiothoracic"] = segmentation.get("cardiothoracic")
    parts["plausible"] = segmentation.get("plausible")
    for name in ("reasons", "quality"):
        parts[name] = [[r.get("code"), r.get("severity"), r.get("values") or {}] for r in report.get(name) or ()]
    return _sha256(parts)


def _sha256(parts: Any) -> str:
    text = json.dumps(_plain(parts), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _plain(value: Any) -> Any:
    """The same value in one spelling: programs differ in how they write 1.0."""
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _signed(text: str) -> bytes:
    letters = "".join(text.split()).upper()
    body = letters[len(PREFIX) :]
    try:
        signed = base64.b32decode(body + "=" * (-len(body) % 8))
    except (binascii.Error, ValueError) as error:
        raise NoReceiptError from error
    if not letters.startswith(PREFIX) or len(signed) != _FIELDS.size + _SIGNATURE_BYTES:
        raise NoReceiptError
    if base64.b32encode(signed).decode("ascii").rstrip("=") != body:  # two texts must not mean one receipt
        raise NoReceiptError
    return signed
