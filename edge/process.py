"""Start of the box's own processes: ``python -m edge.process NAME SETTINGS PARENT_PID [LAST_EXIT]``. Wiring only.

SETTINGS is the file that the supervisor wrote, with every port already chosen. LAST_EXIT is the
exit code with which the process of this name ended before.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from edge import config, log
from edge.config import Settings
from edge.errors import EdgeError
from edge.lifeline import die_with_parent


def main() -> int:
    """Run one process until it is told to stop, and return its exit status."""
    name, settings, parent_pid, *ended = sys.argv[1:]
    die_with_parent(int(parent_pid))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a crash dump would hold images and names
    log.silence_libraries()
    log.report_threads()
    try:
        return _entry(name, int(ended[0]) if ended else 0)(config.from_json(Path(settings).read_text(encoding="utf-8")))
    except EdgeError as error:
        log.event("process_failed", process=name, code=error.code)
        return 2
    except Exception as error:  # a traceback shows values, so the log gets only where it was
        log.event("process_failed", process=name, error_type=type(error).__name__, where=log.where(error))
        return 1


def _entry(name: str, last_exit: int) -> Callable[[Settings], int]:
    if name == "worker":
        from edge.pipeline import worker

        return partial(worker.run, last_exit=last_exit)
    if name == "receiver":
        from edge.dicom.receive import run
    elif name == "fetch":
        from edge.pipeline.fetch import run
    elif name == "export":
        from edge.export.run import run
    elif name == "web":
        from edge.web.server import run
    elif name == "intake":
        from edge.intake.run import run
    elif name == "housekeeping":
        from edge.health.housekeeping import run
    else:
        from edge.dicom.demo import run
    return run


if __name__ == "__main__":
    sys.exit(main())
