"""The directory of a disc or stick, DICOMDIR (PS3.10 section 8, PS3.3 annex F). Runs in the child process only.

What it says is a claim: names are checked before anything is opened by them, and here only taken apart.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydicom import dcmread
from pydicom.multival import MultiValue

from edge.dicom.attributes import text
from edge.errors import UnreadableError

_MOST_RECORDS = 100_000


def list_directory(path: Path) -> dict[str, Any]:
    """How many studies a DICOMDIR names, and where it says that their images lie, one list of names for each.

    Raises
    ------
    UnreadableError
        ``undecodable`` where it is none.
    """
    records = dcmread(path).get("DirectoryRecordSequence")
    if records is None or len(records) > _MOST_RECORDS:
        raise UnreadableError("undecodable")
    kinds = [(text(record, "DirectoryRecordType"), record.get("ReferencedFileID")) for record in records]
    return {
        "studies": sum(kind == "STUDY" for kind, _ in kinds),
        "files": [_names(place) for kind, place in kinds if kind == "IMAGE" and place],
    }


def _names(place: object) -> list[str]:
    return [str(name) for name in (place if isinstance(place, MultiValue) else (place,))]
