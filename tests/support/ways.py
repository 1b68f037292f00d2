"""Objects in the forms in which they come other ways than by C-STORE."""

from __future__ import annotations

import io
from copy import copy

from pydicom.dataset import Dataset
from pydicom.filewriter import dcmwrite


def bare(dataset: Dataset) -> bytes:
    """A data set without preamble and File Meta Information, in implicit VR as old modalities write it."""
    naked = copy(dataset)
    del naked.file_meta
    content = io.BytesIO()
    dcmwrite(content, naked, implicit_vr=True, little_endian=True, enforce_file_format=False)
    return content.getvalue()
