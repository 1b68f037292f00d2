"""``python -m tests.support.faulty_box``: ``chest-edge`` with the worker of ``faulty_worker``; all else as it ships."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from edge.__main__ import main
from edge.pipeline import supervisor
from tests.support import faulty_worker


def _install() -> None:
    real = supervisor.start

    def start(name: str, settings: Path, last_exit: int = 0) -> subprocess.Popen[bytes]:
        if name != "worker":
            return real(name, settings, last_exit)
        program = [sys.executable, "-I", str(Path(faulty_worker.__file__).resolve())]
        arguments = [name, str(settings), str(os.getpid()), str(last_exit)]
        return subprocess.Popen([*program, *arguments], stdin=subprocess.DEVNULL, stdout=2, start_new_session=True)

    supervisor.start = start


if __name__ == "__main__":
    _install()
    sys.exit(main())
