"""Ties a child process to its parent: no process of the box outlives the one that started it. Names processes.

Linux's PR_SET_PDEATHSIG (prctl(2)) also works where the parent is killed with SIGKILL and
the child sits in a decoder that never returns. Rejected: watching a pipe, which needs the
child's attention.
"""

from __future__ import annotations

import ctypes
import os
import signal
from pathlib import Path

from edge import clock

_PR_SET_PDEATHSIG = 1
_ENDED = frozenset("ZX")  # a zombie does nothing any more
_START_TIME = 18  # after process id, name and state


def die_with_parent(parent_pid: int) -> None:
    """Have the kernel kill this process when the thread that started it ends; call it first of all."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent_pid:
        os._exit(1)  # the parent ended before the line above


def identity(pid: int) -> str:
    """A name that no other process has had or will have: start of the machine, id, start of the process.

    Empty where there is no such process. A process id alone is given out again (proc_pid_stat(5)).
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""
    state, *fields = stat.rpartition(")")[2].split()
    return "" if state in _ENDED else f"{clock.boot_id()} {pid} {fields[_START_TIME]}"


def is_alive(name: str) -> bool:
    """Whether the process of this ``identity`` runs."""
    return identity(int(name.split()[1])) == name
