"""One stored image as it may leave the box without its patient (PS3.15 annex E, Basic Profile).

Runs in the child process only. A new file is written from nothing: no preamble, private attribute, overlay or
trailing byte of the old one can reach it. Pixels are decoded and written plainly, for a comment inside
of a JPEG, or an overlay in the bits above those that are used, may hold a name. What is burnt into
the picture stays; whoever exports has to look. Rejected: removing from a copy what is known to be wrong.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels.processing import apply_color_lut
from pydicom.sequence import Sequence
from pydicom.uid import UID, ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from edge.dicom import stored
from edge.dicom.attributes import integer, text
from edge.dicom.limits import LimitedFile
from edge.dicom.parse import located
from edge.dicom.pixels import Stored
from edge.dicom.profile import ALLOWED, CLASSES, EMPTY, MAY_BE_EMPTY, RENEW, OddTableError, action_of, actions
from edge.errors import UnreadableError

_METHOD = "PS3.15 2024b Basic Profile; an allow-list; pixels not looked at"
_PIXEL_DATA = struct.pack("<HH2sH", 0x7FE0, 0x0010, b"OW", 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Disguise:
    """What one export gives to all its images; it crosses to the child process as JSON.

    Attributes
    ----------
    salt : random, as hexadecimal digits; forgotten after the export, so that no new identifier leads back.
    pseudonym : name and number of the patient.
    number : of this image in the export.
    is_checked : somebody looked whether a name is burnt into the picture.
    """

    salt: str
    pseudonym: str
    number: int
    is_checked: bool


class RefusedError(Exception):
    """The image may not leave; ``code`` is one of ``edge.errors.ExportError``."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def disguise(path: Path, target: Path, given: Disguise) -> None:
    """Write the image without its patient to a new file.

    Raises
    ------
    UnreadableError, OddTableError
        With the reason.
    RefusedError
        ``not_a_radiograph``, ``burned_in`` or ``no_room``.
    """
    file, source, span, _ = located(path)
    if text(source, "SOPClassUID") not in CLASSES:
        raise RefusedError("not_a_radiograph")
    if not given.is_checked and _may_show_a_name(source):
        raise RefusedError("burned_in")
    bits = integer(source, "BitsStored") or 0
    if integer(source, "HighBit") not in {None, bits - 1}:
        raise UnreadableError("undecodable")
    bands = _bands(file, source, span, bits)
    first = next(bands)
    made = _header(source, given)
    _describe(made, source, first, bits)
    try:
        made.save_as(target, enforce_file_format=True)
        _append_pixels(target, made, first, bands)
    except OSError as error:
        raise RefusedError("no_room") from error


def _may_show_a_name(source: Dataset) -> bool:
    is_from_elsewhere = text(source, "SOPClassUID") == SecondaryCaptureImageStorage or "ConversionType" in source
    return is_from_elsewhere or text(source, "BurnedInAnnotation") != "NO"


def _header(source: Dataset, given: Disguise) -> Dataset:
    made, known = Dataset(), actions()
    made.SOPClassUID = text(source, "SOPClassUID")
    for keyword, check in ALLOWED.items():
        action = action_of(keyword, known)
        value = None
        if action == RENEW:
            value = _renewed(keyword, source, given)
        elif action is None and keyword in source:
            value = check(source, keyword)
        if value is not None:
            setattr(made, keyword, value)
        elif keyword in MAY_BE_EMPTY and (action in {None, EMPTY}) and _is_wanted(keyword, source):
            setattr(made, keyword, Sequence() if keyword.endswith("Sequence") else None)
    made.PatientName = made.PatientID = given.pseudonym
    made.InstanceNumber = given.number
    made.Manufacturer = None
    _confess(made, given)
    return made


def _is_wanted(keyword: str, source: Dataset) -> bool:
    return keyword in source or keyword in _EVERYWHERE


_EVERYWHERE = (
    *("StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName", "PatientBirthDate", "PatientSex"),
    *("StudyID", "SeriesNumber"),
)


def _renewed(keyword: str, source: Dataset, given: Disguise) -> str:
    """A new identifier, the same for the same old one within an export (PS3.5 annex B.2)."""
    old = text(source, keyword) or (str(given.number) if keyword == "SOPInstanceUID" else "")
    digest = hmac.digest(bytes.fromhex(given.salt), f"{keyword}\0{old}".encode(), hashlib.sha256)
    return f"2.25.{int.from_bytes(digest[:16], 'big')}"


def _confess(made: Dataset, given: Disguise) -> None:
    if given.is_checked:
        made.BurnedInAnnotation = "NO"
    made.PatientIdentityRemoved = "YES"
    made.DeidentificationMethod = _METHOD
    made.LongitudinalTemporalInformationModified = "REMOVED"
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator = "113100", "DCM"
    code.CodeMeaning = "Basic Application Confidentiality Profile"
    made.DeidentificationMethodCodeSequence = [code]


def _describe(made: Dataset, source: Dataset, band: Stored, bits: int) -> None:
    """What the pixels are now, and how they were compressed before."""
    is_colour = band.ndim == 3
    dark = text(source, "PhotometricInterpretation") == "MONOCHROME1"
    made.SamplesPerPixel = 3 if is_colour else 1
    made.PhotometricInterpretation = "RGB" if is_colour else "MONOCHROME1" if dark else "MONOCHROME2"
    if is_colour:
        made.PlanarConfiguration = 0
    made.Rows, made.Columns = int(source.Rows), int(source.Columns)
    made.BitsAllocated = band.dtype.itemsize * 8
    made.BitsStored = _bits(band, source, bits)
    made.HighBit = made.BitsStored - 1
    made.PixelRepresentation = int(band.dtype.kind == "i")
    for keyword in ("PixelPaddingValue", "PixelPaddingRangeLimit"):
        value = integer(source, keyword)
        if value is not None and np.iinfo(band.dtype).min <= value <= np.iinfo(band.dtype).max:
            padding = int(_masked(np.array([value], band.dtype), made.BitsStored)[0])
            made.add_new(keyword, "SS" if band.dtype.kind == "i" else "US", padding)
    syntax = UID(source.file_meta.get("TransferSyntaxUID", ""))
    if syntax in _LOSSY:
        made.LossyImageCompression = "01"
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID


_LOSSY = frozenset(f"1.2.840.10008.1.2.4.{last}" for last in (50, 51, 53, 55, 81, 91))


def _bits(band: Stored, source: Dataset, bits: int) -> int:
    is_table = text(source, "PhotometricInterpretation") == "PALETTE COLOR"
    return band.dtype.itemsize * 8 if is_table else bits


def _bands(file: LimitedFile, source: Dataset, span: stored.Span, bits: int) -> Iterator[Stored]:
    """The stored values with nothing above the bits that are used; indices as the colours that they mean."""
    for band in stored.bands(file, source, span)():
        if text(source, "PhotometricInterpretation") == "PALETTE COLOR":
            band = apply_color_lut(band, source)  # noqa: PLW2901
        yield _masked(band, _bits(band, source, bits))


def _masked(values: Stored, bits: int) -> Stored:
    """The values without the bits above; those of signed ones repeat the sign."""
    spare = values.dtype.itemsize * 8 - bits
    if not 0 <= spare < values.dtype.itemsize * 8:
        raise UnreadableError("undecodable")
    return np.asarray((values << spare) >> spare, values.dtype)


def _append_pixels(target: Path, made: Dataset, first: Stored, others: Iterator[Stored]) -> None:
    length = made.Rows * made.Columns * made.SamplesPerPixel * made.BitsAllocated // 8
    written = 0
    with target.open("ab") as file:
        file.write(_PIXEL_DATA + struct.pack("<L", length + length % 2))
        for band in chain((first,), others):
            written += file.write(_plain(band))
        file.write(b"\0" * (length % 2))
    if written != length:
        raise UnreadableError("undecodable")


def _plain(band: Stored) -> bytes:
    return band.astype(band.dtype.newbyteorder("<")).tobytes()


def reply(path: Path, target: Path, given: dict[str, Any]) -> dict[str, Any]:
    """What the child process answers: nothing, or why the image may not leave.

    Raises
    ------
    UnreadableError
        With the reason.
    """
    try:
        disguise(path, target, Disguise(**given))
    except RefusedError as error:
        return {"refused": error.code}
    except OddTableError:
        return {"refused": "odd_table"}
    return {}
