"""The box's own authority: whom it lets in, whom not, and what survives time, crashes and wrong clocks."""

from __future__ import annotations

import os
import shutil
import ssl
import stat
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import pkcs12

from edge import clock
from edge.config import Settings
from edge.dicom import certificates
from edge.dicom.tls import client_context, server_context
from edge.errors import SetupError, StorageError
from tests.support.tls import expired, issued, modality_context, shake


@pytest.fixture
def box(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "var")


@pytest.fixture
def modality(box: Settings, tmp_path: Path) -> Path:
    return issued(box, tmp_path / "stick")


def why_not(box: Settings, context: ssl.SSLContext) -> str:
    return str(shake(server_context(box), context))


def test_a_modality_with_a_certificate_of_the_box_is_let_in(box: Settings, modality: Path) -> None:
    assert shake(server_context(box), modality_context(modality, modality / "ca.crt")) is None


def test_tls_1_2_is_the_oldest_that_is_spoken(box: Settings, modality: Path) -> None:
    ca = modality / "ca.crt"
    assert shake(server_context(box), modality_context(modality, ca, newest=ssl.TLSVersion.TLSv1_2)) is None
    with pytest.warns(DeprecationWarning):
        old = modality_context(modality, ca, newest=ssl.TLSVersion.TLSv1_1)
    assert "UNSUPPORTED_PROTOCOL" in why_not(box, old)
    # What is refused is the version: the same old peer speaks with a server that allows it.
    lenient = server_context(box)
    lenient.set_ciphers("DEFAULT@SECLEVEL=0")
    with pytest.warns(DeprecationWarning):
        lenient.minimum_version = ssl.TLSVersion.TLSv1
    assert shake(lenient, old) is None


def test_without_a_certificate_nobody_is_let_in(box: Settings, modality: Path) -> None:
    assert "PEER_DID_NOT_RETURN_A_CERTIFICATE" in why_not(box, modality_context(None, modality / "ca.crt"))


def test_a_certificate_of_another_box_is_refused(box: Settings, modality: Path, tmp_path: Path) -> None:
    foreign = issued(Settings(data_dir=tmp_path / "other"), tmp_path / "foreign")
    assert "CERTIFICATE_VERIFY_FAILED" in why_not(box, modality_context(foreign, modality / "ca.crt"))


def test_an_expired_certificate_is_refused(box: Settings, tmp_path: Path) -> None:
    old = expired(box, tmp_path / "old")
    assert "certificate has expired" in why_not(box, modality_context(old, old / "ca.crt", name="OLD"))


def test_a_revoked_certificate_is_refused_at_once_and_others_are_not(
    box: Settings, modality: Path, tmp_path: Path
) -> None:
    other = issued(box, tmp_path / "other-stick", "XRAY-2")
    certificates.revoke(box, "XRAY-1")
    assert "certificate revoked" in why_not(box, modality_context(modality, modality / "ca.crt"))
    assert shake(server_context(box), modality_context(other, other / "ca.crt", name="XRAY-2")) is None
    assert [(entry.name, entry.revoked) for entry in certificates.listed(box)] == [
        ("authority", False),
        ("XRAY-2", False),
        ("XRAY-1", True),
    ]


def test_a_new_certificate_may_take_the_name_of_a_revoked_one(box: Settings, modality: Path, tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="certificate_exists"):
        issued(box, tmp_path / "again")
    certificates.revoke(box, "XRAY-1")
    again = issued(box, tmp_path / "again")
    assert shake(server_context(box), modality_context(again, again / "ca.crt")) is None
    assert shake(server_context(box), modality_context(modality, again / "ca.crt")) is not None


def test_the_box_calls_a_pacs_that_it_gave_a_certificate_and_no_modality_can_pose_as_one(
    box: Settings, modality: Path, tmp_path: Path
) -> None:
    pacs = issued(box, tmp_path / "pacs", "PACS", server=True)
    assert shake(serving(pacs, "PACS", pacs / "ca.crt"), client_context(box)) is None
    assert shake(serving(modality, "XRAY-1", pacs / "ca.crt"), client_context(box)) is not None
    certificates.revoke(box, "PACS")
    assert shake(serving(pacs, "PACS", pacs / "ca.crt"), client_context(box)) is not None


def test_the_box_calls_a_pacs_whose_certificate_was_put_into_trusted(box: Settings, tmp_path: Path) -> None:
    pacs = issued(Settings(data_dir=tmp_path / "other"), tmp_path / "pacs", "PACS", server=True)
    client_context(box)
    own = tmp_path / "box.crt"
    own.write_bytes(certificates.trust(certificates.folder(box)))
    assert shake(serving(pacs, "PACS", own), client_context(box)) is not None
    for name in ("ca.crt", "PACS.crt"):  # its authority, or nothing but the certificate itself
        put = certificates.folder(box) / "trusted" / "pacs.pem"
        shutil.copy(pacs / name, put)
        assert shake(serving(pacs, "PACS", own), client_context(box)) is None
    # To send to the box takes a certificate of the box all the same.
    assert "CERTIFICATE_VERIFY_FAILED" in why_not(box, modality_context(pacs, own, name="PACS"))


def test_a_revoked_pacs_is_refused_whoever_else_is_trusted(box: Settings, tmp_path: Path) -> None:
    pacs = issued(box, tmp_path / "pacs", "PACS", server=True)
    other = issued(Settings(data_dir=tmp_path / "other"), tmp_path / "stick")
    shutil.copy(other / "ca.crt", certificates.folder(box) / "trusted" / "other.pem")
    assert shake(serving(pacs, "PACS", pacs / "ca.crt"), client_context(box)) is None
    certificates.revoke(box, "PACS")
    assert shake(serving(pacs, "PACS", pacs / "ca.crt"), client_context(box)) is not None
    again = issued(box, tmp_path / "again", "PACS", server=True)
    assert shake(serving(again, "PACS", again / "ca.crt"), client_context(box)) is None


def test_a_clock_before_the_release_locks_no_modality_out(
    box: Settings, modality: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Seen from a box of the future, today is such a clock: nothing is valid yet.
    monkeypatch.setattr(clock, "RELEASED", clock.utc() + timedelta(days=365))
    future = Settings(data_dir=tmp_path / "future")
    theirs = modality_context(issued(future, tmp_path / "new"), tmp_path / "new" / "ca.crt")
    theirs.verify_flags |= ssl.VerifyFlags(0x200000)
    assert shake(server_context(future), theirs) is None
    assert shake(server_context(box), theirs) is not None
    certificates.revoke(future, "XRAY-1")
    assert "certificate revoked" in why_not(future, theirs)


def test_everything_is_valid_from_the_release_on_and_for_long(box: Settings, modality: Path) -> None:
    place = certificates.folder(box)
    paths = (place / "authority.pem", place / "box.pem", modality / "XRAY-1.crt")
    found = [x509.load_pem_x509_certificate(path.read_bytes()) for path in paths]
    assert {certificate.not_valid_before_utc for certificate in found} == {clock.RELEASED}
    years = [(certificate.not_valid_after_utc - clock.RELEASED).days // 365 for certificate in found]
    assert years == [30, 5, 15]


def test_the_box_renews_its_own_certificate_before_it_ends(
    box: Settings, modality: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = certificates.folder(box) / "box.pem"
    first = path.read_bytes()
    server_context(box)
    assert path.read_bytes() == first
    ends_at = x509.load_pem_x509_certificate(first).not_valid_after_utc
    monkeypatch.setattr(clock, "utc", lambda: ends_at - timedelta(days=100))
    server_context(box)
    renewed = path.read_bytes()
    assert x509.load_pem_x509_certificate(renewed).not_valid_after_utc > ends_at + timedelta(days=1000)
    assert shake(server_context(box), modality_context(modality, modality / "ca.crt")) is None


def test_keys_are_for_the_box_alone_and_that_of_a_modality_is_not_kept(box: Settings, modality: Path) -> None:
    place = certificates.folder(box)
    secret = [path for path in (*place.rglob("*"), *modality.iterdir()) if path.is_file() and is_key(path)]
    assert {path.name for path in secret} == {"authority.pem", "box.pem", "XRAY-1.key"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in (*secret, modality / "XRAY-1.p12")} == {0o600}
    assert stat.S_IMODE(place.stat().st_mode) == 0o700


def test_the_bundle_opens_with_its_password_and_holds_all(box: Settings, tmp_path: Path) -> None:
    password = certificates.issue(box, "XRAY-1", tmp_path)
    bundle = pkcs12.load_pkcs12((tmp_path / "XRAY-1.p12").read_bytes(), password.encode())
    assert bundle.cert is not None
    assert bundle.cert.certificate == x509.load_pem_x509_certificate((tmp_path / "XRAY-1.crt").read_bytes())
    assert [one.certificate for one in bundle.additional_certs] == [
        x509.load_pem_x509_certificate((tmp_path / "ca.crt").read_bytes())
    ]


@pytest.mark.parametrize("name", ["", ".", "../x", "a/b", "a b", "é", "x" * 64, "-x", "x\n"])
def test_a_name_is_never_a_path(box: Settings, tmp_path: Path, name: str) -> None:
    with pytest.raises(SetupError, match="bad_certificate_name"):
        issued(box, tmp_path / "out", name)
    with pytest.raises(SetupError, match="certificate_unknown"):
        certificates.revoke(box, name)


def test_a_slow_stick_keeps_nobody_from_speaking_tls(
    box: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, written = tmp_path / "stick", []

    def write(path: Path, pieces: list[bytes]) -> None:
        if path.parent == out:
            server_context(box, wait=False)
            written.append(path.name)
        real(path, pieces)

    real = certificates.write_durably
    monkeypatch.setattr(certificates, "write_durably", write)
    issued(box, out)
    assert written == ["XRAY-1.key", "XRAY-1.crt", "XRAY-1.p12", "ca.crt"]


def test_many_at_once_make_one_authority(box: Settings) -> None:
    command = [sys.executable, "-c", "import sys; from pathlib import Path; from edge.config import Settings; "]
    command[-1] += "from edge.dicom.tls import server_context; server_context(Settings(data_dir=Path(sys.argv[1])))"
    started = [subprocess.Popen([*command, str(box.data_dir)]) for _ in range(4)]
    assert [process.wait(60) for process in started] == [0] * 4
    server_context(box)


def test_a_disk_that_refuses_leaves_no_half_authority(box: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", no_space)
        with pytest.raises(StorageError, match="disk_full"):
            server_context(box)
    assert certificates.listed(box) == []
    server_context(box)


def test_a_full_disk_does_not_end_tls(box: Settings, modality: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificates, "write_durably", None)
    assert shake(server_context(box), modality_context(modality, modality / "ca.crt")) is None


def test_a_damaged_file_is_named(box: Settings, modality: Path) -> None:
    (certificates.folder(box) / "authority.pem").write_bytes(b"-----BEGIN CERTIFICATE-----\nAAAA\n")
    with pytest.raises(SetupError, match="bad_certificates"):
        server_context(box)
    with pytest.raises(SetupError, match="bad_certificates"):
        certificates.listed(box)


def test_another_user_is_refused_before_its_files_lock_the_box_out(
    box: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    box.data_dir.mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(SetupError, match="other_user"):
        issued(box, tmp_path / "out")
    assert list(box.data_dir.iterdir()) == []


def test_the_commands_issue_list_and_revoke(tmp_path: Path) -> None:
    (tmp_path / "box.toml").write_text(f'data_dir = "{tmp_path / "var"}"\n')
    assert "XRAY-1.p12" in command(tmp_path, "issue", "XRAY-1", "--out", str(tmp_path / "out"))
    listed = command(tmp_path, "list")
    assert "authority: ends on 2056-" in listed and "XRAY-1: ends on 20" in listed
    command(tmp_path, "revoke", "XRAY-1")
    assert "XRAY-1: revoked" in command(tmp_path, "list")


def command(folder: Path, *words: str) -> str:
    start = [sys.executable, "-m", "edge", "--config", str(folder / "box.toml"), "certificate", *words]
    return subprocess.run(start, capture_output=True, text=True, check=True).stdout


def serving(folder: Path, name: str, ca: Path) -> ssl.SSLContext:
    """A PACS with the certificate of this name, asking for one of this authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(ca)
    context.load_cert_chain(folder / f"{name}.crt", folder / f"{name}.key")
    return context


def is_key(path: Path) -> bool:
    return b"PRIVATE KEY" in path.read_bytes()


def test_a_folder_on_a_stick_that_is_not_there_is_not_made(box: Settings, tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="file_not_found"):
        certificates.issue(box, "XRAY-1", tmp_path / "nonexistent" / "out")
    assert not (tmp_path / "nonexistent").exists()
    assert certificates.listed(box) == []
