"""The rights of an ordinary user for a test that runs as root (capabilities(7)); others have no more anyway."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Generator
from contextlib import contextmanager

_VERSION = 0x20080522
_BEYOND_FILE_MODES = 1 << 1 | 1 << 2  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
ORDINARY = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search") if os.geteuid() == 0 else ()
"""Prefix of a command that is to run with them."""


@contextmanager
def ordinary() -> Generator[None, None, None]:
    """Modes of files and folders hold for this thread during the block, even for root."""
    libc = ctypes.CDLL(None, use_errno=True)
    header, caps = (ctypes.c_uint32 * 2)(_VERSION, 0), (ctypes.c_uint32 * 6)()
    assert libc.capget(header, caps) == 0
    before = caps[0]
    caps[0] &= ~_BEYOND_FILE_MODES
    assert libc.capset(header, caps) == 0
    try:
        yield
    finally:
        caps[0] = before
        assert libc.capset(header, caps) == 0
