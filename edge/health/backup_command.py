"""``chest-edge backup`` and ``chest-edge restore``: ask for the passphrase, and say what became of it.

A passphrase is never an argument or an environment variable, which every process of the machine can read.
"""

from __future__ import annotations

import getpass
import sys
from pathlib import Path

from edge import clock
from edge.config import Settings
from edge.errors import BackupError, SetupError
from edge.store.backup import back_up
from edge.store.journal import Action, note_alone
from edge.store.restore import is_empty, restore


def make(settings: Settings, config: Path | None, target: Path, passphrase_file: Path | None) -> int:
    """Back the box up to a file, or into a folder under a name of its own; it may run meanwhile.

    Raises
    ------
    SetupError, BackupError, StorageError
        There is no backup.
    """
    if not settings.database.exists():
        raise SetupError("file_not_found", path=settings.database)
    if target.is_dir():
        target /= f"chest-edge-{clock.utc():%Y%m%d-%H%M%S}.backup"
    count = back_up(settings, config, target, _passphrase(passphrase_file, twice=True))
    note_alone(settings.database, Action.BACKUP_MADE, count=count)
    print(f"{count} files are in {target}, {target.stat().st_size >> 20} MB, read back and right.")
    print("Without the passphrase nobody can open it, and nobody can recover it.")
    return 0


def put_back(settings: Settings, source: Path, passphrase_file: Path | None, *, force: bool) -> int:
    """Replace the box by that of a backup; the caller holds the lock of the box.

    Raises
    ------
    SetupError, BackupError
        Nothing was changed.
    StorageError
        The same command, with ``--force``, completes it.
    """
    if not source.is_file():
        raise SetupError("file_not_found", path=source)
    if not force and not is_empty(settings):
        raise BackupError("not_empty", path=settings.data_dir)
    count = restore(settings, source, _passphrase(passphrase_file, twice=False))
    print(f"{count} files are back in {settings.data_dir}.")
    if (settings.data_dir / "settings.toml").exists():
        print(f"The settings of that box are in {settings.data_dir / 'settings.toml'}.")
    return 0


def _passphrase(file: Path | None, *, twice: bool) -> str:
    if file is not None:
        try:
            line = file.read_text(encoding="utf-8").partition("\n")[0].rstrip("\r")
        except FileNotFoundError as error:
            raise SetupError("file_not_found", path=file) from error
        except (OSError, UnicodeDecodeError) as error:
            raise SetupError("unreadable_config", path=file) from error
        if not line:
            raise SetupError("empty_passphrase", path=file)
        return line
    if not sys.stdin.isatty():  # getpass would fail, or show what is typed
        raise SetupError("no_terminal")
    given = getpass.getpass("Passphrase: ")
    if twice and getpass.getpass("Once more: ") != given:
        raise SetupError("passphrases_differ")
    return given
