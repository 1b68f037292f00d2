"""Objects in the forms in which they come other ways than by C-STORE."""

from __future__ import annotations

import io
from collections.abc import Sequence
from copy import copy
from pathlib import Path

from pydicom import config
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.sequence import Sequence as Items
from pydicom.uid import ExplicitVRLittleEndian, MediaStorageDirectoryStorage, generate_uid


def bare(dataset: Dataset) -> bytes:
    """A data set without preamble and File Meta Information, in implicit VR as old modalities write it."""
    naked = copy(dataset)
    del naked.file_meta
    content = io.BytesIO()
    dcmwrite(content, naked, implicit_vr=True, little_endian=True, enforce_file_format=False)
    return content.getvalue()


def dicomdir(folder: Path, studies: Sequence[Sequence[Sequence[str]]], name: str = "DICOMDIR") -> Path:
    """A directory (PS3.3 annex F) that names images by study, each by its folders and its name; nothing is checked."""
    directory = Dataset()
    directory.file_meta = FileMetaDataset()
    directory.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    directory.file_meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    directory.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    records = [_record("PATIENT")]
    for images in studies:
        records += [_record("STUDY"), _record("SERIES"), *(_record("IMAGE", places) for places in images)]
    directory.DirectoryRecordSequence = Items(records)
    path = folder / name
    directory.save_as(path, enforce_file_format=True)
    return path


def _record(kind: str, place: Sequence[str] = ()) -> Dataset:
    record = Dataset()
    record.DirectoryRecordType = kind
    if place:
        record[0x00041500] = DataElement(0x00041500, "CS", list(place), validation_mode=config.IGNORE)
    return record
