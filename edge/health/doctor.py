"""The self-test that ``chest-edge doctor`` prints: what is wrong with this machine, in plain words.

Every check looks and changes nothing; one that fails never hides the others. Of what is set up
around the box, a PACS and a worklist are asked by C-ECHO. What the models are checked with is
handed in, because this room does not know the engines.
Rejected: starting the box and looking whether it works, which takes its ports and data.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import socket
import sqlite3
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from edge import clock
from edge.config import LOOPBACK, Settings
from edge.errors import EdgeError, StorageError
from edge.health import libraries
from edge.store import budget, dropped, peers, recovery, sent
from edge.store.database import opened
from edge.store.files import try_folder

ModelCheck = Callable[[], Mapping[str, EdgeError | None]]

_PYTHON = (3, 10)
_SQLITE = (3, 35, 0)  # RETURNING
_FREE_BYTES = 2 * 1024**3
_SOON = timedelta(days=60)


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found.

    Attributes
    ----------
    ok : whether nothing has to be done.
    text : what was looked at; where not ok, also what is wrong and what to do.
    """

    ok: bool
    text: str


def doctor(settings: Settings, models: ModelCheck) -> int:
    """Print a line for each check; return 0 where all is well, else 1."""
    well = True
    for finding in examine(settings, models):
        well = well and finding.ok
        print("OK      " if finding.ok else "PROBLEM ", finding.text, flush=True)
    return 0 if well else 1


def examine(settings: Settings, models: ModelCheck) -> Iterator[Finding]:
    """Check the machine and the box, one finding after the other.

    Parameters
    ----------
    models : loads every registered model, and gives the error or None by name.
    """
    yield _python()
    yield _sqlite()
    yield from _libraries()
    yield from _models(models)
    yield _data_directory(settings)
    yield _disk(settings)
    yield _database(settings)
    yield _budget(settings)
    yield _socket_path(settings)
    yield from _receiver(settings)
    running = is_running(settings)
    yield _port("DICOM", "dicom.port", settings.dicom.host, settings.dicom.port, running)
    yield _port("page", "web.port", LOOPBACK, settings.web.port, running)
    yield _clock(settings)
    yield from _certificates(settings)
    yield from _drop_folder(settings, running)
    yield from _peers(settings)
    yield from _destinations(settings)


def is_running(settings: Settings) -> bool:
    """Whether a box runs on this data directory: it holds the lock there while it lives."""
    try:
        with settings.lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info >= _PYTHON:
        return Finding(True, f"Python {version}")
    return Finding(False, f"Python {version} is too old. Install Python 3.10 or newer.")


def _sqlite() -> Finding:
    if sqlite3.sqlite_version_info >= _SQLITE:
        return Finding(True, f"SQLite {sqlite3.sqlite_version}")
    needed = ".".join(map(str, _SQLITE))
    return Finding(False, f"SQLite {sqlite3.sqlite_version} is too old. Install Python with SQLite {needed} or newer.")


def _libraries() -> Iterator[Finding]:
    found = libraries.broken()
    for name in found:
        yield Finding(False, f"The library or decoder {name} does not work. Run make install again.")
    if not found:
        yield Finding(True, f"{len(libraries.LIBRARIES)} libraries, {len(libraries.COMPRESSIONS)} compressions")


def _models(check: ModelCheck) -> Iterator[Finding]:
    try:
        found = check()
    except EdgeError as error:
        yield _model_problem(error)
        return
    except (ImportError, OSError):
        yield Finding(False, "The models cannot be loaded: a library or their list is gone. Run make install again.")
        return
    for name, problem in found.items():
        yield Finding(True, f"Model {name}") if problem is None else _model_problem(problem)


def _model_problem(error: EdgeError) -> Finding:
    return Finding(False, error.text % error.values)


def _data_directory(settings: Settings) -> Finding:
    path = settings.data_dir.resolve()
    place = _nearest_existing(path)
    if not place.is_dir():
        return Finding(False, f"{place} is a file, not a directory. Choose another one (setting data_dir).")
    for folder in (place, *(folder for folder in settings.folders[1:] if os.path.lexists(folder))):
        try:
            try_folder(folder)
        except StorageError as error:
            return Finding(
                False,
                f"Cannot write to {folder}: {error.text}"
                " Repair it, or choose another data directory (setting data_dir).",
            )
    return Finding(True, f"Data directory {path}")


def _disk(settings: Settings) -> Finding:
    free = shutil.disk_usage(_nearest_existing(settings.data_dir.resolve())).free
    text = f"{free / 1024**3:.1f} GiB free for studies"
    if free >= _FREE_BYTES:
        return Finding(True, text)
    return Finding(False, f"Only {text}. Make room, or move the data to a larger disk (setting data_dir).")


def _database(settings: Settings) -> Finding:
    try:
        if recovery.is_sound(settings):
            there = settings.database.exists()
            return Finding(True, "Database" if there else "No database yet: the first start of the box makes it")
    except StorageError as error:
        return Finding(False, error.text % error.values)
    except OSError as error:
        return Finding(
            False, f"The database cannot be read: {os.strerror(error.errno or 0)}. Check the data directory."
        )
    return Finding(
        False, "The database is missing or damaged. Start the box anew: it makes another one from the stored images."
    )


def _budget(settings: Settings) -> Finding:
    share = _used_share(settings)
    text = f"The box is {100 * share:.0f} % full"
    if share >= budget.REFUSE_FROM:
        return Finding(False, f"{text} and takes no more images. Make room on its disk, or move it to a larger one.")
    if share >= budget.WARN_FROM:
        return Finding(False, f"{text}. Open what nobody has seen, so that it may be deleted, or use a larger disk.")
    return Finding(True, text)


def _used_share(settings: Settings) -> float:
    try:
        return budget.used_share(settings.database, settings)
    except StorageError:  # no database yet, or none that can be read
        return budget.partition_share(_nearest_existing(settings.data_dir.resolve()))


def _nearest_existing(path: Path) -> Path:
    return next(place for place in (path, *path.parents) if os.path.exists(place))


def _socket_path(settings: Settings) -> Finding:
    try:
        from edge import bus

        bus.address(settings.run_dir, "receiver")
    except ImportError:
        return Finding(False, "The paths of the box's own sockets cannot be checked without the library pyzmq.")
    except EdgeError as error:
        return Finding(False, f"{error.text % error.values} Choose a shorter one (setting data_dir).")
    return Finding(True, "Length of the paths of the box's own sockets")


def _receiver(settings: Settings) -> Iterator[Finding]:
    """What a start would refuse of the settings of the receiver."""
    try:
        from edge.dicom import receive

        receive.check(settings)
    except ImportError:
        return  # the libraries are told of above
    except EdgeError as error:
        yield Finding(False, error.text % error.values)


def _port(what: str, setting: str, host: str, port: int, running: bool) -> Finding:
    place = f"{what} port {port} on {host}"
    if running:
        return Finding(True, f"{place}: the box is running")
    try:
        _bind_once(host, port)
    except OSError as error:
        return Finding(False, f"{place} {_why_not(error, setting)}.")
    return Finding(True, f"{place} is free")


def _why_not(error: OSError, setting: str) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"is in use by another program. Stop it or choose another port (setting {setting})"
    if error.errno == errno.EACCES:
        return f"needs more rights than this user has. Choose a port from 1024 up (setting {setting})"
    return "is not an address of this machine. Choose another address (setting dicom.host)"


def _bind_once(host: str, port: int) -> None:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as attempt:
        # As servers do: a connection that ended a moment ago does not keep the port.
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        attempt.bind(address)


def _clock(settings: Settings) -> Finding:
    now = f"{clock.utc():%Y-%m-%d %H:%M} UTC"
    if clock.is_trusted(settings.data_dir):
        return Finding(True, f"Clock {now}")
    return Finding(False, f"The clock says {now}, which cannot be. Set it: times on results would be wrong.")


def _certificates(settings: Settings) -> Iterator[Finding]:
    try:
        from edge.dicom import certificates

        valid = [entry for entry in certificates.listed(settings) if not entry.revoked]
    except ImportError:
        yield Finding(False, "The certificates cannot be checked without the library cryptography.")
        return
    except EdgeError as error:
        yield Finding(False, error.text % error.values)
        return
    for entry in valid:
        text = f"Certificate {entry.name} until {entry.ends_at:%Y-%m-%d}"
        soon = entry.ends_at < clock.utc() + _SOON
        advice = ". Replace it: afterwards connections with it are refused."
        yield Finding(not soon, text + advice * soon)


def _drop_folder(settings: Settings, running: bool) -> Iterator[Finding]:
    folder = settings.intake.folder
    if not folder:
        return
    try:
        standing = _standing(settings, running)
    except StorageError as error:
        yield Finding(False, f"Drop folder {folder}: {error.text % error.values}")
        return
    if standing.trouble:
        yield Finding(False, f"Drop folder {folder}: {dropped.TROUBLES[standing.trouble]}")
    for code, count in sorted(standing.left.items()):
        files = "1 file stays" if count == 1 else f"{count} files stay"
        yield Finding(False, f"Drop folder {folder}: {files} there. {dropped.REASONS[code]}")
    if not standing.trouble and not standing.left:
        yield Finding(True, f"Drop folder {folder}" + ": what lies there is told while the box runs" * (not running))


def _standing(settings: Settings, running: bool) -> dropped.Standing:
    if not running:
        return dropped.Standing(trouble=dropped.trouble(Path(settings.intake.folder)), left={})
    with opened(settings.database) as database:
        return dropped.standing(database)


def _peers(settings: Settings) -> Iterator[Finding]:
    for what, address in (("PACS", settings.pacs), ("Worklist", settings.worklist)):
        if address.host:
            yield _peer(settings, what, address)


def _peer(settings: Settings, what: str, address: peers.Address) -> Finding:
    name = f"{what} {peers.name(address)}"
    try:
        from edge.dicom import certificates
        from edge.dicom.peer import Peer

        if address.tls and not certificates.folder(settings).exists():
            return Finding(True, f"{name} is not asked: the box makes its certificate when it first needs it")
        Peer(settings, address).echo()
    except ImportError:
        return Finding(False, f"{name} cannot be asked without the libraries pynetdicom and cryptography.")
    except EdgeError as error:
        return Finding(False, f"{what}: {error.text % error.values}{_since(settings, address)}")
    if failed := _failed(settings, address):
        reason = failed.text % failed.values
        return Finding(False, f"{name} answers, but what the box last asked for failed: {reason}{_at(failed)}")
    return Finding(True, f"{name} answers")


def _since(settings: Settings, address: peers.Address) -> str:
    failed = _failed(settings, address)
    return _at(failed) if failed else ""


def _at(failed: peers.LastAnswer) -> str:
    return f" Requests fail since {failed.since[:16].replace('T', ' ')} UTC."


def _failed(settings: Settings, address: peers.Address) -> peers.LastAnswer | None:
    try:
        with opened(settings.database) as database:
            last = peers.last(database, address)
    except StorageError:  # told by its own line
        return None
    return last if last and last.code else None


def _destinations(settings: Settings) -> Iterator[Finding]:
    try:
        found = sent.standings(settings.database, settings) if settings.database.exists() else []
    except StorageError:  # told by its own line
        return
    for one in found:
        yield _destination(one)


def _destination(one: sent.Standing) -> Finding:
    text = f"Destination {one.name}: {one.arrived} objects arrived, {one.waiting} wait"
    if one.oldest:
        text += f" (the oldest since {one.oldest[:16].replace('T', ' ')} UTC)"
    problems = []
    if one.trouble:
        problems.append(f"{one.trouble['text']} So it is since {(one.since or '')[:16].replace('T', ' ')} UTC.")
    if one.dead:
        problems.append(f"{one.dead} could not be sent: see chest-edge outbox list, then chest-edge outbox retry.")
    if not one.is_known:
        problems.append("The settings do not name it any more.")
    return Finding(not problems, ". ".join([text, " ".join(problems)]) if problems else text)
