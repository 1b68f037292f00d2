"""The last known time, kept for the next start, and the setting of the clock by hand.

It only moves forward, and only by a clock that can be right: one that jumped ten years ahead must
not make every right time after it look wrong.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

from edge import clock
from edge.config import Settings
from edge.errors import SetupError
from edge.store.files import write_durably
from edge.store.journal import Action, note_alone

_KEPT_EVERY = timedelta(minutes=5)  # each time costs a flush of the disk


def keep_floor(data_dir: Path) -> None:
    """Keep the time, where it can be right and the kept one is minutes old.

    Raises
    ------
    StorageError
        The older one is still there.
    """
    now, known = clock.utc(), clock.floor(data_dir)
    if clock.is_trusted(data_dir) and (known is None or now - known >= _KEPT_EVERY):
        _keep(data_dir, now)


def set_clock(settings: Settings, moment: datetime) -> None:
    """Set the machine's clock to what a person says, and trust it from now on.

    Parameters
    ----------
    moment : aware.

    Raises
    ------
    SetupError
        ``clock_forbidden``: this user may not; nothing was changed.
    StorageError
        The clock was set, but the box could not keep that it is right.
    """
    before = clock.utc()
    try:
        clock.set_system(moment)
    except PermissionError as error:
        raise SetupError("clock_forbidden") from error
    confirm(settings, before)


def confirm(settings: Settings, before: datetime | None = None) -> None:
    """Trust the clock as it stands.

    Parameters
    ----------
    before : what it showed before it was set; None where it was right.

    Raises
    ------
    StorageError
        The box could not keep that it is right.
    """
    now = clock.utc()
    _keep(settings.data_dir, now)
    note_alone(settings.database, Action.CLOCK_SET, time_before=(before or now).isoformat(), time_after=now.isoformat())


def _keep(data_dir: Path, moment: datetime) -> None:
    write_durably(clock.floor_file(data_dir), [moment.isoformat().encode()])
