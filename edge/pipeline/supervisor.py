"""Keeps receiver, worker, page, the other ways in and the housekeeping running, each in a process of its own.

A process that ends is started again, later each time; the others never notice. Where the database breaks, all of them
end, and start again on one made anew. One box a
data folder, by ``flock``: the kernel releases it with the process, so no stale lock can
keep the box from starting after a power cut. Rejected: leaving this to systemd alone,
which a first trial on a laptop does not have.
"""

from __future__ import annotations

import errno
import fcntl
import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Iterable
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from edge import bus, clock, config, log
from edge.config import LOOPBACK, Settings
from edge.dicom.demo import example_files
from edge.dicom.receive import check, own_address
from edge.dicom.send import echo
from edge.dicom.tls import own_context
from edge.errors import SetupError, StorageError
from edge.pipeline.step_budget import OUT_OF_MEMORY, TIMED_OUT
from edge.store import reserve
from edge.store.files import SCRATCH, failure, make_folders, remove_unlocked, try_folder
from edge.store.journal import Action, note_alone
from edge.store.recovery import is_broken, prepare

NAMES = ("receiver", "worker", "web", "intake", "housekeeping")

_STAYS = frozenset({".lock", ".ipc"})
_LOOK_S = 0.1
_FIRST_DELAY_S = 0.5
_LONGEST_DELAY_S = 5.0  # so that a box whose process was killed is whole again within ten seconds
_HEALTHY_S = 60.0
_GRACE_S = 5.0


def serve(settings: Settings, *, demo: bool, ready: Callable[[str], None]) -> int:
    """Run the box until SIGINT or SIGTERM, and return the exit status.

    Parameters
    ----------
    demo : send two example studies to the box once it is ready.
    ready : told the page's address, once, when page and receiver answer.

    Raises
    ------
    SetupError
        Where the box cannot start on this machine or with these settings.
    """
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: stopped.set())
    settings = replace(settings, data_dir=settings.data_dir.absolute())
    if demo:
        example_files()
    check(settings)
    for name in names(settings):
        bus.address(settings.run_dir, name)
    with locked(settings):
        settings = _with_ports(settings)
        prepare(settings)
        own_context(settings)  # where TLS is asked for and cannot be, the person who starts the box has to know
        note_alone(settings.database, Action.BOX_STARTED)
        greeting = _Greeting(settings, demo, ready)
        while not _supervise(settings, greeting, stopped):
            _mend(settings, stopped)
    return 0


def names(settings: Settings) -> tuple[str, ...]:
    """The processes of a box with these settings."""
    asks = ("fetch",) if settings.pacs.host or settings.worklist.host else ()
    sends = ("export",) if settings.destination else ()
    return (*NAMES, *asks, *sends)


def _supervise(settings: Settings, greeting: _Greeting, stopped: threading.Event) -> bool:
    """Keep the processes running until told to stop; False where they ended because the database broke."""
    _described(settings).write_text(config.to_json(settings), encoding="utf-8")
    kept = [Kept(name, _described(settings)) for name in names(settings)]
    try:
        while not stopped.wait(_LOOK_S):
            if is_broken(settings):
                return False
            for process in kept:
                process.tend()
            greeting.tend()
        note_alone(settings.database, Action.BOX_STOPPED)  # the relay still runs, and takes it to the files
        return True
    finally:
        _end([process.running for process in kept] + [greeting.examples])


def _mend(settings: Settings, stopped: threading.Event) -> None:
    """Have a sound database again, as soon as the disk lets it; never without a pause."""
    while not stopped.wait(_LONGEST_DELAY_S):
        try:
            reserve.give_up(settings)
            prepare(settings)
            return
        except (StorageError, OSError) as error:
            log.event("not_mended", error_type=type(error).__name__, where=log.where(error))


def _described(settings: Settings) -> Path:
    return settings.run_dir / "settings.json"


class _Greeting:
    """Says once that the box is ready, and then sends the examples where they were asked for."""

    def __init__(self, settings: Settings, demo: bool, ready: Callable[[str], None]) -> None:
        self.examples: subprocess.Popen[bytes] | None = None
        self._settings = settings
        self._demo = demo
        self._ready = ready
        self._is_said = False

    def tend(self) -> None:
        """Look whether page and receiver answer now, if they did not before."""
        if self._is_said or not _answers(self._settings):
            return
        self._is_said = True
        self._ready(f"http://{LOOPBACK}:{self._settings.web.port}/")
        self.examples = start("examples", _described(self._settings)) if self._demo else None


class Kept:
    """One process that is started again whenever it ends, after a delay that doubles.

    A worker that a study ended does not wait longer each time: the study is set aside after two.
    """

    def __init__(self, name: str, settings: Path) -> None:
        self.running: subprocess.Popen[bytes] | None = None
        self._name = name
        self._settings = settings
        self._delay_s = _FIRST_DELAY_S
        self._last_exit = 0
        self._changed_at = clock.monotonic()
        self._due_at = self._changed_at

    def tend(self) -> None:
        """Start the process where it is due, and notice where it ended."""
        now = clock.monotonic()
        if self.running is None:
            if now >= self._due_at:
                self._start(now)
        elif self.running.poll() is not None:
            self._ended(self.running.returncode, lived_s=now - self._changed_at)

    def _start(self, now: float) -> None:
        self._changed_at = now
        _clear(self._settings.parent.glob(f"{SCRATCH}*"))  # a killed process leaves an image of a patient behind
        try:
            self.running = start(self._name, self._settings, self._last_exit)
        except OSError:  # no memory or no process left; the others must not fall with it
            self._ended(None, lived_s=0.0)

    def _ended(self, exit_code: int | None, lived_s: float) -> None:
        if lived_s >= _HEALTHY_S:
            self._delay_s = _FIRST_DELAY_S
        by_a_study = exit_code in (TIMED_OUT, OUT_OF_MEMORY)
        delay_s = _FIRST_DELAY_S if by_a_study else self._delay_s
        log.event("process_ended", process=self._name, exit_code=exit_code, seconds=delay_s)
        self.running = None
        self._last_exit = exit_code or 0
        self._due_at = clock.monotonic() + delay_s
        if not by_a_study:
            self._delay_s = min(2 * self._delay_s, _LONGEST_DELAY_S)


def start(name: str, settings: Path, last_exit: int = 0) -> subprocess.Popen[bytes]:
    """Start one of the box's processes; what it prints goes to standard error.

    Parameters
    ----------
    last_exit : the exit code with which the process of this name ended before, 0 where there was none.
    """
    # -I: neither the current directory nor the environment may bring modules in. A session of
    # its own: Ctrl-C reaches the supervisor only, which then ends them in order.
    command = [sys.executable, "-I", "-m", "edge.process", name, str(settings), str(os.getpid()), str(last_exit)]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=2, start_new_session=True)  # noqa: S603
    log.event("process_started", process=name, pid=process.pid)
    return process


def _end(processes: list[subprocess.Popen[bytes] | None]) -> None:
    running = [process for process in processes if process is not None and process.poll() is None]
    for process in running:
        process.terminate()
    deadline = clock.monotonic() + _GRACE_S
    for process in running:
        try:
            process.wait(max(0.0, deadline - clock.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def locked(settings: Settings) -> Generator[None, None, None]:
    """Make the folders of the box, and hold them against any other box for the length of the block.

    Raises
    ------
    SetupError
        ``no_permission``, ``read_only`` or ``already_running``.
    """
    for folder in settings.folders:
        _make_usable(folder)
    try:
        lock = settings.lock.open("a")
    except OSError as error:
        raise SetupError("no_permission", path=settings.lock) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise SetupError("already_running", path=settings.data_dir) from error
        reserve.give_up(settings)
        _clear((*settings.run_dir.iterdir(), settings.restoring))
        yield


def _make_usable(folder: Path) -> None:
    try:
        try:
            make_folders(folder)
        except OSError as error:
            raise failure(error) from error
        try_folder(folder)
    except StorageError as error:
        if error.code == "disk_full" and folder.is_dir():  # a box on a full disk still shows what it has
            return
        code = "read_only" if error.code == "read_only" else "no_permission"
        raise SetupError(code, path=folder) from error


def _clear(left: Iterable[Path]) -> None:
    """Remove what processes left that were killed, such as pieces of images and databases."""
    for path in left:
        if path.suffix in _STAYS:
            continue
        try:
            remove_unlocked(path)
        except OSError as error:  # another user's; it keeps no box from starting
            log.event("not_removed", error_type=type(error).__name__, where=log.where(error))


def _with_ports(settings: Settings) -> Settings:
    # Chosen here rather than by each process, so that a restarted one comes back where it was.
    with ExitStack() as bound:
        receiver = _free_port(bound, settings.dicom.host, settings.dicom.port)
        page = _free_port(bound, LOOPBACK, settings.web.port)
    return replace(settings, dicom=replace(settings.dicom, port=receiver), web=replace(settings.web, port=page))


def _free_port(bound: ExitStack, host: str, port: int) -> int:
    probe = bound.enter_context(socket.socket())
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        probe.bind((host, port))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise SetupError("port_in_use", port=port) from error
        if error.errno == errno.EACCES:
            raise SetupError("port_forbidden", port=port) from error
        expected = "an address of this machine"
        raise SetupError("bad_setting", name="dicom.host", expected=expected, value=host) from error
    return int(probe.getsockname()[1])


def _answers(settings: Settings) -> bool:
    if not all((settings.run_dir / f"{name}.port").exists() for name in ("receiver", "web")):
        return False
    return _page_answers(settings.web.port) and echo(
        *own_address(settings), settings.dicom.ae_title, own_context(settings)
    )


def _page_answers(port: int) -> bool:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=2)
    try:
        connection.request("HEAD", "/")
        return connection.getresponse().status < 500
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
