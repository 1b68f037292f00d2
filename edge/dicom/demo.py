"""Two example studies of the PyPI package pydicom-data, sent to the box over a real association.

RG1 is a chest radiograph, RG3 a leg. Sending them again changes nothing: same identifiers,
same content. Rejected: pydicom's own look-up of examples, which downloads what is missing.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from edge import log
from edge.config import Settings
from edge.dicom.receive import own_address
from edge.dicom.send import send
from edge.dicom.tls import own_context
from edge.errors import SetupError

_NAMES = ("RG1_UNCR.dcm", "RG3_UNCR.dcm")


def example_files() -> list[Path]:
    """The two files.

    Raises
    ------
    SetupError
        Where the package is not installed.
    """
    package = importlib.util.find_spec("data_store")
    folders = list(package.submodule_search_locations or ()) if package else []
    paths = [Path(folder) / "data" / name for folder in folders for name in _NAMES]
    if not paths or not all(path.is_file() for path in paths):
        raise SetupError("examples_missing")
    return paths


def run(settings: Settings) -> int:
    """Send both files to the box, and return 0 where both were accepted."""
    host, port = own_address(settings)
    statuses = send(example_files(), host, port, settings.dicom.ae_title, own_context(settings))
    accepted = statuses.count(0)
    log.event("examples_sent", count=accepted)
    return 0 if accepted == len(_NAMES) else 1
