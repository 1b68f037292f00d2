"""``chest-edge clock``: what the clock says, and setting it by hand, by the X-ray unit or by a time server of the LAN.

The unit's time is proposed, never taken: its own clock may be the wrong one. Its difference is
that between the time in an image's header and the time at which the box received the image. The
server (SNTP, RFC 4330) is asked where somebody asks for that; anyone on the network can answer in
its place, so that its time is proposed too. Rejected: a service that follows it by itself; where
one is wanted, the operating system has it.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import ntplib

from edge import clock
from edge.config import Settings
from edge.dicom.reader import Reader
from edge.errors import SetupError, UnreadableError
from edge.store.database import opened
from edge.store.timekeeping import confirm, set_clock

_SNTP_PORT = 123
_ANSWER_S = 5
_ALARM = 3  # leap indicator of a server whose clock is not set
_NO_TIME = (0, 16)  # strata of a server that does not know the time itself (RFC 4330, section 4)
_OLDEST = timedelta(days=365)
_ASKED = 20  # newest images whose headers are looked at


def print_status(settings: Settings) -> int:
    """Print the time and whether it can be right; 0 where it can."""
    trusted, known = clock.is_trusted(settings.data_dir), clock.floor(settings.data_dir)
    print(f"The clock says {_said(clock.utc())}.")
    print(f"Last known time: {_said(known) if known else 'none'}.")
    doubt = "It cannot be right. Set it; where it is right after all, set it to what it says."
    print("The box trusts it." if trusted else doubt)
    return int(not trusted)


def set_by_hand(settings: Settings, words: str) -> int:
    """Set the clock to a local time such as ``2026-11-24 17:00``, or confirm it where it says so already.

    Raises
    ------
    SetupError
        For words that are no time, and where this user may not.
    """
    try:
        moment = datetime.fromisoformat(words).astimezone()
    except (ValueError, OverflowError) as error:
        raise SetupError("bad_time", value=words) from error
    if abs(moment - clock.utc()) < timedelta(minutes=1):
        confirm(settings)  # needs no rights
    else:
        set_clock(settings, moment)
    print(f"The clock says {_said(clock.utc())}.")
    return 0


def print_modality_time(settings: Settings) -> int:
    """Print what the X-ray unit's clock says now, by its newest image, and how to take it over; 1 where none tells."""
    found = _difference(settings)
    if found is None:
        print("No image that came from an X-ray unit tells when it was taken.")
        print("Take one and send it at once, then ask again.")
        return 1
    unit, difference = found
    known = clock.floor(settings.data_dir)
    if known and clock.utc() + difference < known - _OLDEST:
        print(f"The newest image from {unit} was taken long before the last known time, {_said(known)}.")
        print("It tells no time. Take one and send it at once, then ask again.")
        return 1
    _propose(f"By its newest image, that of the X-ray unit {unit}", difference)
    if difference < timedelta():
        print("That includes the time that the image took to the box.")
    return 0


def print_lan_time(host: str, port: int = _SNTP_PORT) -> int:
    """Print what a time server says now, and how to take it over; 1 where it does not tell.

    Parameters
    ----------
    host : name or address of the server.
    """
    try:
        answer = ntplib.NTPClient().request(host, version=4, port=port, timeout=_ANSWER_S)
    except (ntplib.NTPException, OSError, UnicodeError):  # the last one for a name that cannot be one
        print("The time server does not answer. Check its address and the network.")
        return 1
    if answer.leap == _ALARM or answer.stratum in _NO_TIME or not answer.tx_timestamp:
        print("The time server does not know the time itself.")
        return 1
    _propose("That of the time server", timedelta(seconds=round(answer.offset)))
    return 0


def _propose(whose: str, difference: timedelta) -> None:
    proposed = clock.utc() + difference
    print(f"The clock of the box says {_said(clock.utc())}.")
    print(f"{whose} says {_said(proposed)}, {abs(difference)} {'earlier' if difference < timedelta() else 'later'}.")
    print(f'If that is right: chest-edge clock set "{proposed.astimezone():%Y-%m-%d %H:%M:%S}"')


def _difference(settings: Settings) -> tuple[str, timedelta] | None:
    """Which unit sent the newest image by C-STORE, and how far its clock is ahead of that of the box."""
    with opened(settings.database) as database:
        newest = database.execute(
            """SELECT path, received_at, host, instances.calling_ae_title AS title FROM instances
               JOIN associations ON associations.id = association_id
               WHERE instances.state = 'parsed' AND way = '' AND title NOT IN ('', ?)
               ORDER BY instances.id DESC LIMIT ?""",
            (settings.pacs.ae_title, _ASKED),
        ).fetchall()
    with Reader() as reader:
        for row in newest:
            try:
                acquired_at = reader.read_header(settings.incoming / row["path"]).acquired_at
            except UnreadableError:
                continue
            if acquired_at is not None:
                difference = acquired_at.astimezone() - datetime.fromisoformat(row["received_at"])
                # An AE title that nobody set up can be anything, a name too.
                title = row["title"] if row["title"] in settings.dicom.calling_ae_titles else ""
                unit = " ".join(filter(None, (title, f"at {row['host']}" if row["host"] else "")))
                return unit, timedelta(seconds=round(difference.total_seconds()))
    return None


def _said(moment: datetime) -> str:
    return f"{moment.astimezone():%Y-%m-%d %H:%M:%S %Z}"
