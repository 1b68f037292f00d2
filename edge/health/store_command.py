"""``chest-edge store`` and ``chest-edge quarantine``: what is stored, what is amiss with it, what was set aside."""

from __future__ import annotations

from pathlib import Path

from edge.config import Settings
from edge.store import journal, quarantine
from edge.store.database import opened
from edge.store.reconcile import difference, reconcile
from edge.store.recovery import is_sound, rebuild


def print_difference(settings: Settings) -> int:
    """Print how the database and the stored images differ; 0 where they do not."""
    if not is_sound(settings):
        print("The database is missing or damaged. Start the box, which makes it anew from the stored images.")
        return 1
    if not settings.database.exists():
        print("Nothing is stored.")
        return 0
    with opened(settings.database) as database:
        found = difference(database, settings)
    print(f"images that the database does not know: {len(found.orphans)}")
    print(f"images that are gone from the disk: {len(found.lost)}")
    return int(bool(found.orphans or found.lost))


def make_anew(settings: Settings) -> int:
    """Make the database anew from the stored images; the caller holds the lock of the box."""
    rebuild(settings)
    with opened(settings.database) as database:
        found = reconcile(database, settings)
    print(f"images taken in, to be read when the box starts: {len(found.orphans)}")
    return 0


def print_quarantine(settings: Settings) -> int:
    """Print each file that was set aside, with its reason."""
    for line in quarantine.lines(quarantine.listed(settings.database)):
        print(line)
    return 0


def export_quarantine(settings: Settings, folder: Path) -> int:
    """Copy those files, with a list of the reasons, into a folder."""
    count = quarantine.export(settings, folder)
    journal.note_alone(settings.database, journal.Action.EXPORTED, count=count)
    print(f"{count} files copied to {folder}")
    return 0


def retry_quarantine(settings: Settings) -> int:
    """Have all of them read again."""
    with opened(settings.database) as database:
        print(f"{quarantine.retry(database)} files are read again")
    return 0
