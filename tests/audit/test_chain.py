"""The audit files: what the relay writes is whole, and whoever touches it is found out."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.audit import chain
from edge.audit.chain import Record, files, records
from edge.audit.command import print_last, print_verified
from edge.audit.relay import Relay
from edge.audit.verify import verify
from edge.config import Settings
from edge.errors import StorageError
from edge.store import associations
from edge.store.database import connect, migrate
from edge.store.instances import add_received
from edge.store.journal import Action, entries, note_alone
from tests.support.studies import new_instance

KEY = "0123456789abcdef" * 2


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = Settings(data_dir=tmp_path)
    migrate(settings.database)
    return settings


def happened(settings: Settings, times: int) -> None:
    """Note that many views of a study, and have them written."""
    for number in range(times):
        note_alone(settings.database, Action.STUDY_VIEWED, study_key=KEY, count=number)
    relayed(settings)


def relayed(settings: Settings) -> None:
    database = connect(settings.database)
    Relay(settings, database).step()
    database.close()


def numbers(settings: Settings) -> list[int | str]:
    found = records(files(settings.audit_dir))
    return [record.sequence if isinstance(record, Record) else record for record in found]


def test_each_note_becomes_one_record_and_leaves_the_journal(settings: Settings) -> None:
    happened(settings, 3)
    happened(settings, 2)
    assert numbers(settings) == [1, 2, 3, 4, 5]
    assert entries(connect(settings.database), 10) == []
    assert (verify(settings).count, verify(settings).faults) == (5, [])


def test_only_the_owner_may_read_the_files(settings: Settings) -> None:
    happened(settings, 1)
    assert settings.audit_dir.stat().st_mode & 0o077 == 0
    assert [path.name for path in settings.audit_dir.iterdir() if path.stat().st_mode & 0o077] == []


def test_a_full_file_is_left_and_the_chain_goes_on_in_the_next(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chain, "_ROTATED_BYTES", 1000)
    for _ in range(4):
        happened(settings, 1)
    assert len(files(settings.audit_dir)) >= 2
    assert verify(settings).faults == []


def _lines(path: Path, change: Callable[[list[bytes]], list[bytes]]) -> None:
    path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))


def _forged(lines: list[bytes]) -> list[bytes]:
    """A record put in with a hash of its own that is right."""
    sequence, previous, _, message = lines[4].decode().rstrip("\n").split(" ", 3)
    forged = f"{sequence} {previous} {chain._hash(int(sequence), previous, message + ' ')} {message} \n"
    return [*lines[:4], forged.encode(), *lines[4:]]


ATTACKS: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "changed": lambda lines: [*lines[:4], lines[4].replace(b"count=4", b"count=5"), *lines[5:]],
    "removed": lambda lines: [*lines[:4], *lines[5:]],
    "exchanged": lambda lines: [*lines[:4], lines[5], lines[4], *lines[6:]],
    "put in twice": lambda lines: [*lines[:4], lines[4], *lines[4:]],
    "forged": _forged,
    "first removed": lambda lines: lines[1:],
    "last removed": lambda lines: lines[:-1],
    "last torn": lambda lines: [*lines[:-1], lines[-1][:-20]],
    "all removed": lambda lines: [],
    "put behind": lambda lines: [*lines, lines[-1]],
    "no record": lambda lines: [*lines[:4], b"\xff\xfe\n", *lines[4:]],
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_every_attack_is_found(settings: Settings, attack: str, capsys: pytest.CaptureFixture[str]) -> None:
    happened(settings, 10)
    _lines(files(settings.audit_dir)[0], ATTACKS[attack])
    assert verify(settings).faults != []
    assert print_verified(settings) == 1
    assert "not whole" in capsys.readouterr().out


@pytest.mark.parametrize("attack", [name for name in ATTACKS if name not in {"put behind"}])
def test_no_later_record_hides_an_attack(settings: Settings, attack: str) -> None:
    happened(settings, 10)
    _lines(files(settings.audit_dir)[0], ATTACKS[attack])
    happened(settings, 3)
    assert verify(settings).faults != []


def test_every_single_byte_counts(settings: Settings) -> None:
    happened(settings, 3)
    path = files(settings.audit_dir)[0]
    whole = path.read_bytes()
    for place in itertools.islice(range(len(whole)), 0, None, 7):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert verify(settings).faults != [], place


def test_a_lost_file_is_found_and_the_chain_goes_on(settings: Settings) -> None:
    happened(settings, 3)
    files(settings.audit_dir)[0].unlink()
    happened(settings, 1)
    relayed(settings)
    assert verify(settings).faults != []
    assert "audit_shortened" in files(settings.audit_dir)[-1].read_text()


def test_a_power_cut_between_file_and_database_leaves_each_note_once(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    happened(settings, 2)
    with monkeypatch.context() as cut:
        cut.setattr("edge.audit.relay.forget", lambda database, found: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            happened(settings, 2)
    assert numbers(settings) == [1, 2, 3, 4]
    relayed(settings)
    relayed(settings)  # the message about what was cut off
    said = [record.message for record in records(files(settings.audit_dir)) if isinstance(record, Record)]
    assert sum("study_viewed" in message for message in said) == 4
    assert "audit_tail_removed" in said[-1]
    assert verify(settings).faults == []


def test_the_disk_that_cannot_be_written_keeps_the_note(settings: Settings) -> None:
    settings.audit_dir.write_bytes(b"")  # a file where the folder should be
    note_alone(settings.database, Action.STUDY_VIEWED, study_key=KEY)
    database = connect(settings.database)
    with pytest.raises((StorageError, OSError)):
        Relay(settings, database).step()
    assert len(entries(database, 10)) == 1


def test_a_new_database_goes_on_behind_the_files_and_says_so(settings: Settings) -> None:
    happened(settings, 3)
    settings.database.unlink()
    migrate(settings.database)
    happened(settings, 1)
    relayed(settings)
    assert verify(settings).faults == []
    assert numbers(settings) == [1, 2, 3, 4, 5]
    assert "audit_end_unknown" in files(settings.audit_dir)[-1].read_text()


def test_an_open_note_waits_until_its_delivery_ends(settings: Settings) -> None:
    database = connect(settings.database)
    number = associations.begin(database, "CT1", "10.0.0.9")
    for _ in range(3):
        add_received(database, new_instance(), number)
    relayed(settings)
    assert numbers(settings) == []
    associations.finish(database, number, associations.End.RELEASED)
    relayed(settings)
    assert "count=3" in files(settings.audit_dir)[0].read_text()
    assert numbers(settings) == [1]


def test_show_prints_the_newest_in_plain_lines(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    happened(settings, 5)
    assert print_last(settings, 2) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["4", "5"]
    assert "DICOM Instances Accessed" in lines[1] and f"study {KEY}" in lines[1]
