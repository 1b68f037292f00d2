"""One file to one image, or the reason why not. Runs in the child process only.

Reads PS3.10 files, bare data sets without a preamble (older modalities export them), and
PNG or JPEG pictures. Deflated transfer syntax is refused before anything is inflated: one
megabyte of it can ask for two gigabytes.
"""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import gdcm
import numpy as np
from pydicom import dcmread
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.filereader import read_file_meta_info
from pydicom.pixels.utils import pixel_array
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from edge.dicom import pictures
from edge.dicom.attributes import age_years, header_of, integer, pixel_spacing_mm, text
from edge.dicom.image import Header, ParsedImage, UnreadableImageError
from edge.dicom.limits import check_sides
from edge.dicom.pixels import Stored, to_unit_range
from edge.dicom.storage_classes import STORAGE_CLASSES
from edge.errors import UnreadableError
from edge.types import Radiograph

_READ_MODALITIES = frozenset({"CR", "DX", "DR", "RG", "CT", "OT", "SC", ""})
_READ_CLASSES = frozenset({*STORAGE_CLASSES, ""})
# JPEG processes with 12-bit samples that pydicom leaves out and GDCM decodes.
_GDCM_ONLY = frozenset({"1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.53", "1.2.840.10008.1.2.4.55"})


def parse_header(path: Path) -> Header:
    """Read what the box keeps of a file's header; the image may still turn out unreadable.

    Raises
    ------
    UnreadableError
        With the reason.
    """
    if _start(path).startswith(pictures.SIGNATURES):
        return Header(is_picture=True)
    return header_of(_dataset(path)[0])


def parse(path: Path) -> ParsedImage:
    """Read one file.

    Raises
    ------
    UnreadableError
        With the reason; an ``UnreadableImageError`` where the header could be read.
    MemoryError
        Where the process's limit is too small for it.
    """
    if _start(path).startswith(pictures.SIGNATURES):
        return pictures.parse_picture(path)
    dataset, content = _dataset(path)
    header = header_of(dataset)
    try:
        _check_kind(dataset)
        stored = _decoded(content, path)
        return ParsedImage.of(header, _radiograph(stored, dataset))
    except UnreadableError as error:
        raise UnreadableImageError(error.code, header, **error.values) from error


def _start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(132)


def _dataset(path: Path) -> tuple[Dataset, bytes]:
    """Everything before the image, and the whole content."""
    has_preamble = _start(path)[128:] == b"DICM"
    if has_preamble:
        _refuse_deflated(path)
    # In memory, because reading from a file allocates whatever length an element claims.
    content = path.read_bytes()
    return _header(content, has_preamble), content


def _refuse_deflated(path: Path) -> None:
    try:
        transfer_syntax = read_file_meta_info(path).get("TransferSyntaxUID")
    except Exception as error:  # pydicom raises anything on broken bytes, MemoryError for a wild length
        raise UnreadableError("undecodable") from error
    if transfer_syntax == DeflatedExplicitVRLittleEndian:
        raise UnreadableError("unsupported_transfer_syntax")


def _header(content: bytes, has_preamble: bool) -> Dataset:
    dataset = _read(content, stop_before_pixels=True, code="undecodable" if has_preamble else "not_dicom")
    if "DirectoryRecordSequence" in dataset:  # the list of files on a disc (PS3.3 annex F)
        raise UnreadableError("unsupported_object", modality="DICOMDIR")
    if not any(keyword in dataset for keyword in ("SOPClassUID", "Rows")):
        raise UnreadableError("truncated" if has_preamble else "not_dicom")
    return dataset


def _read(content: bytes, stop_before_pixels: bool, code: str) -> Dataset:
    file = BytesIO(content)
    try:
        return dcmread(file, stop_before_pixels=stop_before_pixels, force=True)
    except MemoryError:
        raise
    except Exception as error:  # pydicom raises anything on broken bytes
        is_at_end = code == "undecodable" and file.tell() == len(content)
        raise UnreadableError("truncated" if is_at_end else code) from error


def _check_kind(dataset: Dataset) -> None:
    frames = integer(dataset, "NumberOfFrames") or 1
    if frames > 1:
        raise UnreadableError("multi_frame", frames=frames)
    modality = text(dataset, "Modality")
    if modality not in _READ_MODALITIES or text(dataset, "SOPClassUID") not in _READ_CLASSES:
        raise UnreadableError("unsupported_object", modality=modality or "?")
    rows, columns = integer(dataset, "Rows"), integer(dataset, "Columns")
    if rows is not None and columns is not None:
        check_sides(rows=rows, columns=columns)


def _decoded(content: bytes, path: Path) -> Stored:
    whole = _read(content, stop_before_pixels=False, code="undecodable")
    _check_complete(whole, len(content))
    if "TransferSyntaxUID" not in whole.file_meta:
        whole.file_meta.TransferSyntaxUID = _guessed_transfer_syntax(whole)
    try:
        if whole.file_meta.TransferSyntaxUID in _GDCM_ONLY:
            return _decode_with_gdcm(path, rows=int(whole.Rows), columns=int(whole.Columns))
        return pixel_array(whole)
    except MemoryError:
        raise
    except NotImplementedError as error:
        raise UnreadableError("unsupported_transfer_syntax") from error
    except Exception as error:  # each codec has its own errors
        raise UnreadableError("undecodable") from error


def _check_complete(whole: Dataset, size_bytes: int) -> None:
    # pydicom reads on silently where a file ends inside an element, and drops everything
    # read so far where it ends inside a sequence or a compressed image.
    keys = list(whole.keys())
    last = whole.get_item(keys[-1]) if keys else None
    if last is None:
        raise UnreadableError("truncated")
    has_image = bool(whole.get("PixelData"))
    if isinstance(last, RawDataElement) and last.length != 0xFFFFFFFF:
        end = last.value_tell + last.length
        if end > size_bytes or (not has_image and end < size_bytes):
            raise UnreadableError("truncated")
    if not has_image:
        raise UnreadableError("no_pixel_data")


def _guessed_transfer_syntax(dataset: Dataset) -> UID:
    is_implicit, is_little_endian = dataset.original_encoding
    if is_implicit:
        return ImplicitVRLittleEndian
    return ExplicitVRLittleEndian if is_little_endian else ExplicitVRBigEndian


def _decode_with_gdcm(path: Path, rows: int, columns: int) -> Stored:
    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    if not reader.Read():
        raise UnreadableError("undecodable")
    image = reader.GetImage()
    pixel_format = image.GetPixelFormat()
    sign = "i" if pixel_format.GetPixelRepresentation() else "u"
    # GDCM's wrapper hands the buffer over as text; this is the documented way back to bytes.
    content = image.GetBuffer().encode("utf-8", errors="surrogateescape")
    values = np.frombuffer(content, f"{sign}{pixel_format.GetBitsAllocated() // 8}")
    return values.reshape(rows, columns)


def _radiograph(stored: Stored, dataset: Dataset) -> Radiograph:
    try:
        pixels = to_unit_range(stored, dataset)
    except (UnreadableError, MemoryError):
        raise
    except Exception as error:  # broken tables and windows raise in many ways
        raise UnreadableError("undecodable") from error
    if not np.isfinite(pixels).all():
        raise UnreadableError("undecodable")
    return Radiograph(
        pixels=np.ascontiguousarray(pixels, dtype=np.float32),
        pixel_spacing_mm=pixel_spacing_mm(dataset),
        view=text(dataset, "ViewPosition") or None,
        patient_age_years=age_years(dataset),
    )
