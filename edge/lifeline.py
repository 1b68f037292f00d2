"""Ties a child process to its parent: no process of the box outlives the one that started it.

Linux's PR_SET_PDEATHSIG (prctl(2)) also works where the parent is killed with SIGKILL and
the child sits in a decoder that never returns. Rejected: watching a pipe, which needs the
child's attention.
"""

from __future__ import annotations

import ctypes
import os
import signal

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent_pid: int) -> None:
    """Have the kernel kill this process when the thread that started it ends; call it first of all."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent_pid:
        os._exit(1)  # the parent ended before the line above
