"""A structured log: one JSON object a line on standard error, with an allow-list of fields.

Only fields named in ``FIELDS`` can be written, and none of them can hold patient data:
there is no free text, no DICOM identifier and no exception message. Libraries that log
element values (pydicom, pynetdicom) are silenced; their warnings never reach the log.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import warnings

from edge import clock

FIELDS = frozenset(
    {
        "adopted",
        "code",
        "count",
        "error_type",
        "exit_code",
        "host",
        "instance_id",
        "lost",
        "model",
        "pid",
        "port",
        "process",
        "seconds",
        "size_bytes",
        "stage",
        "state",
        "status",
        "study_id",
        "where",
    }
)
_LIBRARIES = ("pydicom", "pynetdicom", "waitress", "werkzeug")


def silence_libraries() -> None:
    """Keep libraries that print element values or URLs out of the log."""
    for name in _LIBRARIES:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    for name in ("pydicom", "pynetdicom"):
        warnings.filterwarnings("ignore", module=name)


def report_threads() -> None:
    """Log an error that ends a thread by its type and place; Python would print its message."""
    threading.excepthook = thread_failed


def event(name: str, **fields: str | int | float | None) -> None:
    """Write one event.

    Raises
    ------
    ValueError
        For a field that is not in ``FIELDS``.
    """
    unknown = fields.keys() - FIELDS
    if unknown:
        raise ValueError(f"expected log fields of the allow-list, got {sorted(unknown)}")
    line = {"time": clock.utc().isoformat(timespec="milliseconds"), "event": name, **fields}
    sys.stderr.write(json.dumps(line) + "\n")


def where(error: BaseException) -> str:
    """File and line of the innermost frame of an error: enough to find it, no values."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return "unknown"
    return f"{trace.tb_frame.f_globals.get('__name__', '?')}:{trace.tb_lineno}"


def thread_failed(failure: threading.ExceptHookArgs) -> None:
    """Log an error that ended a thread by its type and place (``threading.excepthook``)."""
    place = where(failure.exc_value) if failure.exc_value else "unknown"
    event("thread_failed", error_type=failure.exc_type.__name__, where=place)
