"""Receipts: genuine, forged, of another box, of another result; and that no patient stands in them."""

from __future__ import annotations

import base64
import json
import re
from copy import deepcopy
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge.objects import receipt
from tests.support.results import complete_result

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
BOX, STUDY = "ab" * 16, "cd" * 16


def _issued(report: dict[str, Any] | None = None) -> str:
    return receipt.issue(KEY, BOX, STUDY, 3, report or complete_result())


def test_a_receipt_says_what_it_was_issued_for() -> None:
    told = receipt.read(_issued())

    assert (told.box_id, told.study_key, told.version) == (BOX, STUDY, 3)
    assert told.completed_at.isoformat() == "2026-03-01T10:20:00+00:00"
    assert told.signer == receipt.fingerprint(KEY.public_key())
    assert receipt.is_signed_by(_issued(), KEY.public_key())
    assert receipt.fits(told, complete_result())


def test_the_same_result_gives_the_same_receipt() -> None:
    assert _issued() == _issued(json.loads(json.dumps(complete_result())))


def test_a_qr_code_holds_it_densely_and_a_scanner_types_it() -> None:
    assert re.fullmatch("[0-9A-Z]+", _issued())
    assert len(_issued()) <= 311  # version 10, level M, alphanumeric (ISO/IEC 18004)


def test_case_and_white_space_do_not_matter() -> None:
    broken = "\n ".join(_issued().lower()[i : i + 40] for i in range(0, 300, 40))

    assert receipt.is_signed_by(broken, KEY.public_key())


def test_not_one_changed_bit_passes() -> None:
    signed = base64.b32decode(_issued()[3:] + "=" * (-len(_issued()[3:]) % 8))
    for bit in range(8 * len(signed)):
        changed = bytearray(signed)
        changed[bit // 8] ^= 1 << bit % 8
        text = "CE1" + base64.b32encode(bytes(changed)).decode().rstrip("=")
        assert not receipt.is_signed_by(text, KEY.public_key()), bit


def test_another_key_does_not_pass_for_this_one() -> None:
    assert not receipt.is_signed_by(_issued(), Ed25519PrivateKey.generate().public_key())


@pytest.mark.parametrize("text", ["", "CE1", "hello", "CE1" + "A" * 249, _issued()[:-1], _issued() + "A", "é" * 250])
def test_what_is_no_receipt_is_called_so(text: str) -> None:
    with pytest.raises(receipt.NoReceiptError):
        receipt.read(text)


def test_spare_bits_of_the_last_letter_make_no_second_text() -> None:
    last = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".index(_issued()[-1])
    accepted = []
    for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567":
        try:
            accepted.append(receipt.is_signed_by(_issued()[:-1] + letter, KEY.public_key()))
        except receipt.NoReceiptError:
            accepted.append(False)
    assert [number for number, is_accepted in enumerate(accepted) if is_accepted] == [last]


def _changes() -> dict[str, dict[str, Any]]:
    reports = {name: deepcopy(complete_result()) for name in ("decision", "class", "score", "finding", "model", "time")}
    reports["decision"]["classification"]["decision"] = "normal"
    reports["class"]["classification"]["probabilities"]["tuberculosis"] = 0.06
    reports["score"]["severity"]["zones"]["left_lower"] = 1.1
    del reports["finding"]["findings"][1]
    reports["model"]["stages"][5]["model_sha256"] = "f" * 64
    reports["time"]["completed_at"] = "2026-03-01T10:20:01+00:00"
    for name, value in (("state", "failed"), ("quality", []), ("reasons", complete_result()["quality"])):
        reports[name] = complete_result() | {name: value}
    return reports


@pytest.mark.parametrize("changed", _changes().values(), ids=_changes())
def test_a_result_that_says_something_else_does_not_fit(changed: dict[str, Any]) -> None:
    assert not receipt.fits(receipt.read(_issued()), changed)


def test_file_names_and_times_of_steps_do_not_count() -> None:
    other = complete_result() | {"source": ["elsewhere.dcm"]}
    other["stages"] = [stage | {"seconds": 99.0} for stage in other["stages"]]

    assert receipt.fits(receipt.read(_issued()), other)


def test_numbers_fit_however_a_program_spells_them() -> None:
    respelt = json.loads(json.dumps(complete_result()).replace('"brixia": 7.0', '"brixia": 7'))

    assert type(respelt["severity"]["brixia"]) is int
    assert receipt.fits(receipt.read(_issued()), respelt)


@pytest.mark.parametrize("report", [{}, [], None, "text", {"completed_at": 5}, {"completed_at": "x", "stages": 3}])
def test_what_is_no_result_does_not_fit(report: Any) -> None:
    assert not receipt.fits(receipt.read(_issued()), report)


def test_a_result_without_a_reading_has_a_receipt_too() -> None:
    bare = complete_result(None, state="no_result", **dict.fromkeys(("classification", "severity", "segmentation")))

    assert receipt.fits(receipt.read(_issued(bare)), bare)
