"""The header of an image that was read before, for the objects that refer to it.

The child process opens files of strangers; this one has passed it, and what makes the objects of a
result needs the header as it came. The same limits hold. Rejected: headers that cross over from the
child as JSON, which would be parsed a second time just the same.
"""

from __future__ import annotations

from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from edge.dicom import pictures
from edge.dicom.limits import LONGEST_VALUE_BYTES, LimitedFile
from edge.errors import UnreadableError


def source_header(path: Path) -> Dataset:
    """The header without pixels, its values undecoded; empty for a picture and for a file that is gone or broken."""
    try:
        with LimitedFile(path) as file:
            if file.piece(0, 16).startswith(pictures.SIGNATURES):
                return Dataset()
            file.seek(0)
            return dcmread(file, stop_before_pixels=True, force=True, defer_size=LONGEST_VALUE_BYTES)
    except (OSError, EOFError, InvalidDicomError, UnreadableError):
        return Dataset()
