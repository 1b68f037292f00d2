"""``chest-edge receipt``: whether a receipt on paper is genuine, and the key that tells it.

Needs no network and no box: another computer checks with the public key alone. A picture of the
QR code is read by OpenCV. What is printed is in English, as that of every command.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from edge.config import Settings
from edge.errors import SetupError
from edge.objects import receipt
from edge.store import signing

_PICTURES = (b"\x89PNG", b"\xff\xd8\xff")


def print_key(settings: Settings) -> int:
    """Print the public key of this box, which is made where there is none yet."""
    print(signing.public_pem(signing.private_key(settings)), end="")
    return 0


def verify(settings: Settings, text: str, key: Path | None, result: Path | None) -> int:
    """Say whether a receipt is genuine, and of this result where one is given; 0 where it is.

    Parameters
    ----------
    key : the public key of the box that should have made it; that of this box if None.
    result : a file with ``chest-edge/result/1``.

    Raises
    ------
    SetupError
        There is no key to check with, or a file cannot be read.
    """
    public = _public_key(settings, key)
    report = None if result is None else _json(result)
    try:
        told = receipt.read(text)
        is_genuine = receipt.is_signed_by(text, public)
    except receipt.NoReceiptError:
        print("No receipt: the text is not one, or letters of it are missing.")
        return 1
    if not is_genuine:
        print(_not_genuine(told, receipt.fingerprint(public)))
        return 1
    _print_told(told)
    if report is not None and not receipt.fits(told, report):
        print("But it is not the receipt of this result: one of the two was exchanged or changed.")
        return 1
    if report is not None:
        print("It is the receipt of this result.")
    return 0


def text_of(file: Path) -> str:
    """The receipt in a text file, or in the QR code of a picture (PNG, JPEG).

    Raises
    ------
    SetupError
        ``file_not_found``, or ``no_qr_code``.
    """
    content = _content(file)
    if not content.startswith(_PICTURES):
        return content.decode("ascii", errors="replace")
    picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_GRAYSCALE)
    if picture is None:
        raise SetupError("no_qr_code", path=file)
    for detector in (cv2.QRCodeDetector(), cv2.QRCodeDetectorAruco()):  # each misses one code in a hundred
        for scale in (1.0, 2.0, 0.5):
            resized = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            if found := detector.detectAndDecode(resized)[0]:
                return str(found)
    raise SetupError("no_qr_code", path=file)


def _public_key(settings: Settings, key: Path | None) -> Ed25519PublicKey:
    if key is not None:
        return signing.load_public(key)
    if not signing.key_file(settings).exists():  # one that is made now has signed nothing
        raise SetupError("no_receipt_key")
    return signing.private_key(settings).public_key()


def _not_genuine(told: receipt.Receipt, signer: str) -> str:
    if told.signer == signer:
        return "Forged: it names the key that it was checked with, but was not signed by it. Or a letter was misread."
    return f"Of another box: it names the key {told.signer}, and was checked with {signer}. Ask for that box's key."


def _print_told(told: receipt.Receipt) -> None:
    print(f"Genuine: signed by the key {told.signer}.")
    print(f"box {told.box_id}")
    print(f"study {told.study_key}, version {told.version}")
    print(f"completed at {told.completed_at.isoformat(timespec='seconds')} by the clock of the box")


def _json(path: Path) -> Any:
    try:
        return json.loads(_content(path))
    except ValueError as error:
        raise SetupError("no_json", path=path) from error


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SetupError("file_not_found", path=path) from error
