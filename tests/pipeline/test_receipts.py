"""``chest-edge receipt``: what it says of a receipt, with and without the box, and how it ends."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
import segno
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge.__main__ import main
from edge.config import Settings
from edge.objects import receipt
from edge.store import signing
from tests.support.results import complete_result


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "box.toml"
    path.write_text(f'data_dir = "{tmp_path / "box"}"\n')
    return path


@pytest.fixture
def text(tmp_path: Path) -> str:
    key = signing.private_key(Settings(data_dir=tmp_path / "box"))
    return receipt.issue(key, "ab" * 16, "cd" * 16, 1, complete_result())


def _said(capsys: pytest.CaptureFixture[str]) -> str:
    said = capsys.readouterr()
    return said.out + said.err


def test_the_box_knows_its_own(config: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config", str(config), "receipt", "verify", text]) == 0
    said = _said(capsys)
    assert said.startswith("Genuine") and f"study {'cd' * 16}, version 1" in said


def test_another_computer_needs_the_public_key_only(
    config: Path, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--config", str(config), "receipt", "key"]) == 0
    (tmp_path / "box.pem").write_text(_said(capsys))
    (tmp_path / "elsewhere.toml").write_text(f'data_dir = "{tmp_path / "elsewhere"}"\n')
    elsewhere = ["--config", str(tmp_path / "elsewhere.toml"), "receipt", "verify", text]

    assert main([*elsewhere, "--key", str(tmp_path / "box.pem")]) == 0
    assert _said(capsys).startswith("Genuine")
    assert main(elsewhere) == 2
    assert "--key" in _said(capsys)
    assert not (tmp_path / "elsewhere").exists()


def test_a_changed_letter_is_forged(config: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    changed = text[:120] + ("A" if text[120] != "A" else "B") + text[121:]

    assert main(["--config", str(config), "receipt", "verify", changed]) == 1
    assert _said(capsys).startswith("Forged")


def test_another_box_is_named(config: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    other = receipt.issue(Ed25519PrivateKey.generate(), "ef" * 16, "cd" * 16, 1, complete_result())

    assert main(["--config", str(config), "receipt", "verify", other]) == 1
    assert _said(capsys).startswith("Of another box")


def test_any_other_text_is_none(config: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config", str(config), "receipt", "verify", text[:-20]]) == 1
    assert _said(capsys).startswith("No receipt")


def test_a_result_fits_or_not(config: Path, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fitting, other, broken = (tmp_path / name for name in ("fitting.json", "other.json", "broken.json"))
    fitting.write_text(json.dumps(complete_result()))
    other.write_text(json.dumps(complete_result("normal")))
    broken.write_text("{")
    given = ["--config", str(config), "receipt", "verify", text, "--result"]

    assert main([*given, str(fitting)]) == 0
    assert "It is the receipt of this result." in _said(capsys)
    assert main([*given, str(other)]) == 1
    assert "not the receipt of this result" in _said(capsys)
    assert main([*given, str(broken)]) == 2
    assert main([*given, str(tmp_path / "none.json")]) == 2


def test_a_file_or_a_picture_of_the_code_is_read(
    config: Path, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written, picture, blank = (tmp_path / name for name in ("receipt.txt", "receipt.png", "blank.png"))
    written.write_text(text + "\n")
    segno.make(text, error="m", boost_error=False, micro=False).save(str(picture), scale=4)
    blank.write_bytes(b"\x89PNG but no picture")

    for file, status in ((written, 0), (picture, 0), (blank, 2), (tmp_path / "none.txt", 2)):
        assert main(["--config", str(config), "receipt", "verify", "--file", str(file)]) == status, file


def test_a_key_of_another_kind_is_refused(
    config: Path, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "key.pem").write_text("nothing")

    assert main(["--config", str(config), "receipt", "verify", text, "--key", str(tmp_path / "key.pem")]) == 2
    assert "holds no public key" in _said(capsys)


def test_the_key_is_made_once_and_for_nobody_else(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "box")
    first = signing.private_key(settings)

    assert signing.private_key(settings).private_bytes_raw() == first.private_bytes_raw()
    assert stat.S_IMODE(signing.key_file(settings).stat().st_mode) == 0o600
    assert stat.S_IMODE(signing.key_file(settings).parent.stat().st_mode) == 0o700
