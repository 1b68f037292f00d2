"""Backups: made while the box runs, refused when anything is wrong with them, and the same box afterwards."""

from __future__ import annotations

import functools
import io
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pyrage
import pytest

from edge.audit.verify import verify
from edge.config import Settings
from edge.errors import BackupError, SetupError, StorageError
from edge.health.backup_command import make, put_back
from edge.store import backup, signing
from edge.store.database import connect
from edge.store.restore import BODY, KEY, is_empty, plaintext, restore
from edge.store.studies import worklist
from edge.types import State
from tests.support.box import Box, box_settings, eventually, served, storescu
from tests.support.inputs import dx, save
from tests.support.page import make_result
from tests.support.studies import put_finished_study, ready_box

PASSPHRASE = "correct horse battery"  # noqa: S105


@pytest.fixture
def box(tmp_path: Path) -> Settings:
    settings = ready_box(tmp_path / "var")
    put_finished_study(settings, make_result("normal", normal=0.9), patient_name="Zebra^Zoe")
    return settings


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup of such a box, made once: to turn a passphrase into a key takes seconds, and shall."""
    folder = tmp_path_factory.mktemp("backup")
    settings = ready_box(folder / "var")
    put_finished_study(settings, make_result("normal", normal=0.9), patient_name="Zebra^Zoe")
    backup.back_up(settings, None, folder / "box.backup", PASSPHRASE)
    return folder / "box.backup"


@pytest.fixture
def made(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(whole, tmp_path / "box.backup"))


def test_the_key_that_signs_receipts_goes_along(tmp_path: Path) -> None:
    first, second = ready_box(tmp_path / "first"), ready_box(tmp_path / "second")
    key = signing.private_key(first).private_bytes_raw()
    backup.back_up(first, None, tmp_path / "box.backup", PASSPHRASE)

    restore(second, tmp_path / "box.backup", PASSPHRASE)

    assert signing.private_key(second).private_bytes_raw() == key


def state(settings: Settings) -> dict[str, bytes]:
    """Every file of a data folder."""
    found = (path for path in settings.data_dir.rglob("*") if path.is_file())
    return {str(path.relative_to(settings.data_dir)): path.read_bytes() for path in found}


def test_nothing_of_the_box_can_be_read_in_the_file(made: Path) -> None:
    assert b"Zebra" not in made.read_bytes() and b"SQLite" not in made.read_bytes()
    assert made.stat().st_mode & 0o077 == 0


def test_stock_tools_open_it(made: Path, tmp_path: Path) -> None:
    """As the README says: ``tar`` and ``age``, with nothing of this software; ``age`` asks on a terminal."""
    subprocess.run(["tar", "xf", made, "-C", tmp_path], check=True)
    opening = f"cd {shlex.quote(str(tmp_path))} && age -d -o key {KEY}"
    terminal = ["script", "--quiet", "--return", "--command", opening, "/dev/null"]
    subprocess.run(terminal, input=f"{PASSPHRASE}\n".encode(), capture_output=True, timeout=60, check=True)
    body = subprocess.run(["age", "-d", "-i", "key", BODY], cwd=tmp_path, capture_output=True, check=True).stdout
    names = subprocess.run(["tar", "t"], input=body, capture_output=True, check=True).stdout.decode().splitlines()
    assert "chest-edge.sqlite" in names
    assert sum(name.startswith("results/") for name in names) == 2


def _flipped(content: bytes, place: float) -> bytes:
    at = int(len(content) * place)
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "text": lambda content: b"no backup\n" * 1000,
    "cut in the key": lambda content: content[:700],
    "cut in the middle": lambda content: content[: len(content) // 2],
    "cut at the end": lambda content: content[:-3000],
    **{f"flipped at {place}": lambda content, place=place: _flipped(content, place) for place in (0.3, 0.9)},
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_changes_nothing(box: Settings, made: Path, damage: str) -> None:
    before = state(box)
    made.write_bytes(DAMAGES[damage](made.read_bytes()))
    with pytest.raises(BackupError):
        restore(box, made, PASSPHRASE)
    assert state(box) == before


@pytest.mark.parametrize("share", [0.02, 0.5, 0.99])
def test_a_backup_that_was_cut_off_is_told_as_one(box: Settings, made: Path, share: float) -> None:
    content = made.read_bytes()
    made.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(BackupError, match="unopenable.*cut off"):
        restore(box, made, PASSPHRASE)
    made.write_bytes(b"something else" * 1000)
    with pytest.raises(BackupError, match="not_a_backup"):
        restore(box, made, PASSPHRASE)


def test_a_file_that_is_there_is_never_replaced_by_a_backup(box: Settings, made: Path) -> None:
    before = made.read_bytes()
    with pytest.raises(BackupError, match="exists"):
        backup.back_up(box, None, made, PASSPHRASE)
    assert made.read_bytes() == before


def test_an_empty_file_is_no_passphrase(box: Settings, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("\n")
    with pytest.raises(SetupError, match="empty_passphrase"):
        make(box, None, tmp_path / "new", secret)
    with pytest.raises(SetupError, match="file_not_found"):
        make(box, None, tmp_path / "new", tmp_path / "absent")


def test_a_restore_that_is_refused_leaves_no_folders_behind(made: Path, tmp_path: Path) -> None:
    config, secret = tmp_path / "other.toml", tmp_path / "secret"
    config.write_text(f'data_dir = "{tmp_path}/other"\n')
    secret.write_text(PASSPHRASE + "!")
    command = [sys.executable, "-m", "edge", "--config", str(config), "restore", str(made), "--passphrase-file"]
    refused = subprocess.run([*command, str(secret)], capture_output=True, text=True, check=False)
    assert (refused.returncode, "wrong passphrase" in refused.stderr) == (1, True)
    assert not (tmp_path / "other").exists()


def test_a_wrong_passphrase_changes_nothing(box: Settings, made: Path) -> None:
    before = state(box)
    with pytest.raises(BackupError) as caught:
        restore(box, made, PASSPHRASE + "!")
    assert caught.value.code == "unopenable"
    assert state(box) == before


def test_a_newer_schema_is_refused(box: Settings, tmp_path: Path) -> None:
    database = connect(box.database)
    database.execute("BEGIN IMMEDIATE")
    database.execute(
        "INSERT INTO _sqlite_migrations SELECT max(id) + 1, 'chest_edge', '9999_later', '2030' FROM _sqlite_migrations"
    )
    database.execute("COMMIT")
    database.close()
    newer = _packed(tmp_path, lambda archive: archive.add(box.database, box.database.name))
    with pytest.raises(BackupError) as caught:
        restore(box, newer, PASSPHRASE)
    assert caught.value.code == "newer"


@pytest.mark.parametrize("name", ["../evil", "/tmp/evil", "incoming/../../evil", "run/box.lock", "a.sqlite"])  # noqa: S108
def test_foreign_names_are_refused(box: Settings, tmp_path: Path, name: str) -> None:
    def add(archive: tarfile.TarFile) -> None:
        entry = tarfile.TarInfo(name)
        entry.size = 4
        archive.addfile(entry, io.BytesIO(b"evil"))

    before = state(box)
    with pytest.raises(BackupError) as caught:
        restore(box, _packed(tmp_path, add), PASSPHRASE)
    assert caught.value.code == "not_a_backup"
    assert state(box) == before


def test_a_link_in_the_archive_is_refused(box: Settings, tmp_path: Path) -> None:
    def add(archive: tarfile.TarFile) -> None:
        entry = tarfile.TarInfo("clock")
        entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(entry)

    with pytest.raises(BackupError):
        restore(box, _packed(tmp_path, add), PASSPHRASE)


@functools.cache
def _key() -> tuple[pyrage.x25519.Identity, bytes]:
    """A key and what it is under the passphrase, made once, as each takes seconds."""
    identity = pyrage.x25519.Identity.generate()
    return identity, pyrage.passphrase.encrypt(f"{identity}\n".encode(), PASSPHRASE)


def _packed(folder: Path, add: Callable[[tarfile.TarFile], None]) -> Path:
    """A backup as somebody could make it who knows the passphrase."""
    inner, (identity, key) = io.BytesIO(), _key()
    with tarfile.open(fileobj=inner, mode="w") as archive:
        add(archive)
    parts = {
        KEY: key,
        BODY: pyrage.encrypt(inner.getvalue(), [identity.to_public()]),
    }
    path = folder / "foreign.backup"
    with tarfile.open(path, "w") as outer:
        for name, content in parts.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            outer.addfile(entry, io.BytesIO(content))
    return path


def test_a_box_that_holds_studies_is_replaced_only_by_force(box: Settings, made: Path, tmp_path: Path) -> None:
    secret = tmp_path / "passphrase"
    secret.write_text(PASSPHRASE + "\n")
    with pytest.raises(BackupError) as caught:
        put_back(box, made, secret, force=False)
    assert caught.value.code == "not_empty"
    put_finished_study(box, make_result("normal", normal=0.9), patient_name="Later")
    assert put_back(box, made, secret, force=True) == 0
    assert [row.patient_name for row in worklist(box.database, 10)] == ["Zebra^Zoe"]


def test_files_that_are_no_part_of_a_box_stay(made: Path, tmp_path: Path) -> None:
    other = Settings(data_dir=tmp_path / "other")
    for name in ("clinic.toml", "drop/untaken.dcm"):
        (other.data_dir / name).parent.mkdir(parents=True, exist_ok=True)
        (other.data_dir / name).write_text("mine")
    assert is_empty(other)
    restore(other, made, PASSPHRASE)
    assert (other.data_dir / "clinic.toml").exists() and (other.data_dir / "drop" / "untaken.dcm").exists()


@pytest.mark.parametrize("name", ["certificates/box.key", "audit/1.log", "chest-edge.sqlite.damaged-1"])
def test_what_a_restore_would_replace_is_seen(tmp_path: Path, name: str) -> None:
    box = Settings(data_dir=tmp_path)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine")
    assert not is_empty(box)


def test_a_study_that_is_deleted_meanwhile_is_left_out(
    box: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = next(path for path in box.results.rglob("*") if path.is_file())
    monkeypatch.setattr(backup, "_check_room", lambda folder, found: picture.unlink())
    backup.back_up(box, None, tmp_path / "x", PASSPHRASE)
    with plaintext(tmp_path / "x", PASSPHRASE) as plain, tarfile.open(fileobj=plain, mode="r|") as archive:
        names = archive.getnames()
    assert "chest-edge.sqlite" in names and str(picture.relative_to(box.data_dir)) not in names


def test_a_short_passphrase_is_refused(box: Settings, tmp_path: Path) -> None:
    with pytest.raises(BackupError):
        backup.back_up(box, None, tmp_path / "x", "secret")


def test_a_full_stick_leaves_nothing(box: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup.shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10**6, 10**6, 1000))
    with pytest.raises(BackupError) as caught:
        backup.back_up(box, None, tmp_path / "x", PASSPHRASE)
    assert caught.value.code == "no_room"
    assert list(tmp_path.glob("x*")) == []


def test_a_stick_that_keeps_something_else_is_noticed(
    box: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = backup.digest_of

    def worn(part: Path, passphrase: str) -> str:
        part.write_bytes(_flipped(part.read_bytes(), 0.7))
        return right(part, passphrase)

    monkeypatch.setattr(backup, "digest_of", worn)
    with pytest.raises(BackupError):
        backup.back_up(box, None, tmp_path / "x", PASSPHRASE)
    assert list(tmp_path.glob("x*")) == []


def test_a_stick_that_is_pulled_leaves_no_whole_name(
    box: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pulled(file: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(backup.os, "fsync", pulled)
    with pytest.raises((BackupError, StorageError)):
        backup.back_up(box, None, tmp_path / "x", PASSPHRASE)
    assert not (tmp_path / "x").exists()


def test_what_the_disk_refuses_is_told(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Settings(data_dir=tmp_path / "other")
    other.run_dir.mkdir(parents=True)
    monkeypatch.setattr(shutil, "copyfileobj", lambda *arguments: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(StorageError):
        restore(other, made, PASSPHRASE)
    assert not other.database.exists()


def _page(box: Box) -> list[str]:
    """The worklist and each study, without what names the moment."""
    addresses = [box.address, *(f"{box.address}study/{row.study_key}.json" for row in box.rows())]
    return [urllib.request.urlopen(address).read().decode() for address in addresses]  # noqa: S310


def test_another_box_shows_the_same_after_a_restore(tmp_path: Path) -> None:
    settings = box_settings(tmp_path / "first" / "var")
    settings.data_dir.parent.mkdir()
    secret = tmp_path / "passphrase"
    secret.write_text(PASSPHRASE)
    paths = [save(dx(PatientID=f"P{number}"), tmp_path / f"{number}.dcm") for number in range(2)]
    with served(settings) as box:
        assert storescu(box.receiver_port, paths) == 0
        eventually(lambda: sum(row.state in (State.DONE, State.NO_RESULT) for row in box.rows()) == 2)
        eventually(lambda: not any(row.is_provisional for row in box.rows()))
        shown = _page(box)
        command = [sys.executable, "-m", "edge", "--config", str(settings.data_dir.parent / "box.toml")]
        done = subprocess.run(
            [*command, "backup", str(tmp_path), "--passphrase-file", str(secret)],
            capture_output=True,
            text=True,
            check=True,
        )
        assert re.search(r"read back and right", done.stdout)
        (file,) = tmp_path.glob("*.backup")
        running = subprocess.run([*command, "restore", str(file), "--force"], capture_output=True, check=False)
        assert running.returncode == 2 and b"already runs" in running.stderr
        box.stop()
    other = box_settings(tmp_path / "second" / "var")
    other.run_dir.mkdir(parents=True)
    put_back(other, file, secret, force=False)
    assert "data_dir" in (other.data_dir / "settings.toml").read_text()
    with served(other) as box:
        assert _page(box) == shown
        for row in box.rows():
            stored = connect(other.database).execute("SELECT path FROM instances").fetchall()
            assert all((other.incoming / path["path"]).exists() for path in stored) and row.version == 1
        box.stop()
    assert verify(other).faults == []
    assert make(other, None, tmp_path / "again", secret) == 0
    with plaintext(tmp_path / "again", PASSPHRASE) as plain:
        assert plain.read(1)


@pytest.mark.parametrize("verb", ["backup", "restore"])
def test_without_a_terminal_the_passphrase_has_to_come_from_a_file(verb: str, box: Settings, tmp_path: Path) -> None:
    config, file = tmp_path / "box.toml", tmp_path / "a.backup"
    config.write_text(f'data_dir = "{box.data_dir}"\n')
    if verb == "restore":
        file.write_bytes(b"a backup")
    force = ["--force"] if verb == "restore" else []
    command = [sys.executable, "-m", "edge", "--config", str(config), verb, str(file), *force]
    run = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert (run.returncode, "--passphrase-file" in run.stderr, "Traceback" in run.stderr) == (2, True, False)
