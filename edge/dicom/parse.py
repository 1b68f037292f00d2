"""One file to one image, or the reason why not. Runs in the child process only.

Reads PS3.10 files, bare data sets without a preamble (older modalities export them), and
PNG or JPEG pictures. pydicom sees the header alone, through a file that gives it no more than a
header may have: one megabyte of deflated data can ask for two gigabytes. The pixels go to
a file in bands, and are never whole in memory unless a codec needs them so.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from pydicom import dcmread
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.filereader import read_sequence
from pydicom.tag import Tag

from edge.dicom import hounsfield, pictures, stored
from edge.dicom.attributes import age_years, frame_count, header_of, integer, pixel_spacing_mm, text
from edge.dicom.image import Header, Readable, ReadableSlices, UnreadableImageError
from edge.dicom.limits import LONGEST_VALUE_BYTES, LimitedFile, check_frames, check_sides
from edge.dicom.pixels import Pixels, to_unit_range
from edge.dicom.planes import planes
from edge.dicom.storage_classes import STORAGE_CLASSES
from edge.errors import UnreadableError

_PER_FRAME = Tag("PerFrameFunctionalGroupsSequence")
_Band = TypeVar("_Band")
_READ_MODALITIES = frozenset({"CR", "DX", "DR", "RG", "CT", "OT", "SC", ""})
_READ_CLASSES = frozenset({*STORAGE_CLASSES, ""})


def parse_header(path: Path) -> Header:
    """Read what the box keeps of a file's header; the image may still turn out unreadable.

    Raises
    ------
    UnreadableError
        With the reason.
    """
    if _start(path).startswith(pictures.SIGNATURES):
        return Header(is_picture=True)
    with LimitedFile(path) as file:
        return _header(_dataset(file)[0])


def parse(path: Path) -> tuple[Readable, Iterator[Pixels]]:
    """Read one file: what it holds, and its pixels in bands from the top, which are made as they are asked for.

    Raises
    ------
    UnreadableError
        With the reason, also where the bands are made; an ``UnreadableImageError`` where the header could be read.
    MemoryError
        Where the process's limit is too small for it.
    """
    if _start(path).startswith(pictures.SIGNATURES):
        return pictures.parse_picture(path)
    file, dataset, span, header = located(path)
    with _telling(header):
        bands = _finite(to_unit_range(stored.bands(file, dataset, span), dataset))
    return _readable(header, dataset), _told(bands, header)


def parse_slices(path: Path) -> tuple[ReadableSlices, Iterator[hounsfield.HU]] | None:
    """Read a CT image: what it holds, and its frames in Hounsfield units one by one; None where it is none.

    Of a picture among the CT images, such as a dose report, no frame is decoded.

    Raises
    ------
    UnreadableError, MemoryError
        As ``parse``.
    """
    if _start(path).startswith(pictures.SIGNATURES):
        return None
    file, dataset, span, header = located(path, as_slices=True)
    if not header.planes:
        return None
    if header.planes[0].is_picture:
        return ReadableSlices.of(header, (0, 0, 0)), iter([np.empty((0, 0, 0), np.int16)])
    with _telling(header):
        shape = (frame_count(dataset), int(dataset.Rows), int(dataset.Columns))
        check_frames(*shape)
        slices = hounsfield.frames(file, dataset, span, shape[0])
    return ReadableSlices.of(header, shape), _told(slices, header)


def located(path: Path, *, as_slices: bool = False) -> tuple[LimitedFile, Dataset, stored.Span, Header]:
    """An image's file, its header in whole and in part, and where its stored values lie; nothing is decoded.

    Parameters
    ----------
    as_slices : take a CT image of several frames.

    Raises
    ------
    UnreadableError
        With the reason; an ``UnreadableImageError`` where the header could be read.
    """
    file = LimitedFile(path)
    dataset, is_cut = _dataset(file)
    header = _header(dataset)
    with _telling(header):
        if not (as_slices and header.planes):
            _check_single(dataset)
        _check_kind(dataset)
        span = stored.find(file, dataset)
        if span is None:
            raise UnreadableError("truncated" if is_cut else "no_pixel_data")
    return file, dataset, span, header


def _start(path: Path) -> bytes:
    with path.open("rb") as file:
        start = file.read(132)
    if not start:
        raise UnreadableError("empty_file")
    return start


def _dataset(file: LimitedFile) -> tuple[Dataset, bool]:
    """Everything before the image, and whether the file ends inside of that."""
    has_preamble = file.piece(128, 4) == b"DICM"
    file.seek(0)
    dataset = _read(file, code="undecodable" if has_preamble else "not_dicom")
    if "DirectoryRecordSequence" in dataset:  # the list of files on a disc (PS3.3 annex F)
        raise UnreadableError("unsupported_object", modality="DICOMDIR")
    if not any(keyword in dataset for keyword in ("SOPClassUID", "Rows")):
        raise UnreadableError("truncated" if has_preamble else "not_dicom")
    return dataset, _is_cut(dataset, file)


def _read(file: LimitedFile, code: str) -> Dataset:
    try:
        dataset = dcmread(file, stop_before_pixels=True, force=True, defer_size=LONGEST_VALUE_BYTES)
        _take_in_frames(dataset, file)
        return dataset
    except Exception as error:  # pydicom raises anything on broken bytes, and puts other errors in the place of some
        if file.refusal is not None:
            raise file.refusal from error
        _raise_limits(error)
        is_at_end = code == "undecodable" and file.tell() == file.size_bytes
        raise UnreadableError("truncated" if is_at_end else code) from error


def _take_in_frames(dataset: Dataset, file: LimitedFile) -> None:
    """Read the attributes of each frame, which are skipped as a long value where they are many."""
    element = dataset.get_item(_PER_FRAME, keep_deferred=True)
    if not isinstance(element, RawDataElement) or element.value is not None:
        return
    end = file.tell()
    file.seek(element.value_tell)
    items = read_sequence(file, element.is_implicit_VR, element.is_little_endian, element.length, "iso8859")
    dataset[_PER_FRAME] = DataElement(_PER_FRAME, "SQ", items)
    file.seek(end)


def _raise_limits(error: BaseException) -> None:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, (MemoryError, RecursionError)):
            raise type(cause) from error
        cause = cause.__cause__ or cause.__context__


def _header(dataset: Dataset) -> Header:
    """What is a CT image by its class is one by its modality too, by which all later parts go."""
    header, found = header_of(dataset), planes(dataset)
    return replace(header, planes=found, modality="CT") if found else header


def _check_single(dataset: Dataset) -> None:
    frames = frame_count(dataset)
    if frames > 1:
        raise UnreadableError("multi_frame", frames=frames)


def _check_kind(dataset: Dataset) -> None:
    modality = text(dataset, "Modality")
    if modality not in _READ_MODALITIES or text(dataset, "SOPClassUID") not in _READ_CLASSES:
        raise UnreadableError("unsupported_object", modality=modality or "?")
    rows, columns = integer(dataset, "Rows"), integer(dataset, "Columns")
    if rows is not None and columns is not None:
        check_sides(rows=rows, columns=columns)


def _is_cut(dataset: Dataset, file: LimitedFile) -> bool:
    # pydicom reads on silently where a file ends inside an element.
    last = list(dataset.values())[-1]
    return isinstance(last, RawDataElement) and last.value_tell + last.length != file.tell()


@contextmanager
def _telling(header: Header) -> Generator[None, None, None]:
    """Whatever goes wrong with the image, as a reason with the header that could be read."""
    try:
        yield
    except UnreadableError as error:
        raise UnreadableImageError(error.code, header, **error.values) from error
    except Exception as error:  # each codec has its own errors; broken tables and windows raise in many ways
        _raise_limits(error)
        code = "unsupported_transfer_syntax" if isinstance(error, NotImplementedError) else "undecodable"
        raise UnreadableImageError(code, header) from error


def _told(bands: Iterable[_Band], header: Header) -> Iterator[_Band]:
    with _telling(header):
        yield from bands


def _finite(bands: Iterable[Pixels]) -> Iterator[Pixels]:
    for band in bands:
        if not np.isfinite(band).all():
            raise UnreadableError("undecodable")
        yield np.ascontiguousarray(band, dtype=np.float32)


def _readable(header: Header, dataset: Dataset) -> Readable:
    return Readable.of(
        header,
        shape=(int(dataset.Rows), int(dataset.Columns)),
        pixel_spacing_mm=pixel_spacing_mm(dataset),
        view=text(dataset, "ViewPosition") or None,
        patient_age_years=age_years(dataset),
    )
