"""Where the stored values of an image lie in its file, and how to get them in bands of rows.

Uncompressed values (PS3.5 section 8.1.1) are read from the file band by band, so that the size of an
image costs no memory. Compressed ones (PS3.5 annex A.4) are decoded whole, as every codec does;
each has the size that it was measured to decode within the reader's 512 MiB and 10 seconds, and larger
images are refused before. Rejected: one limit for all, by the hungriest codec.
"""

from __future__ import annotations

import copy
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import gdcm
import numpy as np
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.utils import pixel_array
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000TransferSyntaxes,
    JPEGLSTransferSyntaxes,
    RLELossless,
)

from edge.dicom.attributes import integer
from edge.dicom.limits import LimitedFile, check_pixels
from edge.dicom.pixels import BAND_PX, Bands, Stored, cut
from edge.errors import UnreadableError

_PIXEL_DATA = (0x7FE0, 0x0010)
_DESCRIBING = (
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PlanarConfiguration",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
)
"""What a decoder has to know of an image (PS3.3 section C.7.6.3)."""
_ITEM, _DELIMITER = (0xFFFE, 0xE000), (0xFFFE, 0xE0DD)
_UNDEFINED = 0xFFFFFFFF
_LONG_VRS = frozenset({b"OB", b"OW", b"OF", b"OD", b"OL", b"OV", b"SQ", b"UC", b"UN", b"UR", b"UT", b"SV", b"UV"})
_MAX_FRAGMENTS = 100_000
# JPEG processes with 12-bit samples that pydicom leaves out and GDCM decodes.
_GDCM_ONLY = frozenset({"1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.53", "1.2.840.10008.1.2.4.55"})
# The plug-in that needs the least memory, and how many values it decodes in 350 MiB: measured at 4 to 14 bytes a value.
_OTHER = ("", 22_000_000)
_CODECS: Mapping[str, tuple[str, int]] = MappingProxyType(
    {
        RLELossless: ("pylibjpeg", 50_000_000),
        **dict.fromkeys(JPEGLSTransferSyntaxes, ("pyjpegls", 50_000_000)),
        **dict.fromkeys(JPEG2000TransferSyntaxes, ("pylibjpeg", 36_000_000)),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Where the value of Pixel Data lies in a file; of compressed data all fragments, without their delimiter."""

    offset: int
    length: int
    vr: str


def find(file: LimitedFile, dataset: Dataset) -> Span | None:
    """The image of a file whose header was read; None where there is none.

    Raises
    ------
    UnreadableError
        ``no_pixel_data`` for an empty one, ``truncated``, ``undecodable`` or ``too_many_elements``.
    """
    start = file.tell()
    head = file.piece(start, 12)
    if len(head) < 8:
        return None
    order = "<" if dataset.original_encoding[1] is not False else ">"
    if struct.unpack(f"{order}HH", head[:4]) != _PIXEL_DATA:
        return None
    vr, offset, length = _described(head, start, order)
    if length == _UNDEFINED:
        return Span(offset=offset, length=_fragments_end(file, offset) - offset, vr=vr)
    if offset + length > file.size_bytes:
        raise UnreadableError("truncated")
    if not length:
        raise UnreadableError("no_pixel_data")
    return Span(offset=offset, length=length, vr=vr)


def bands(file: LimitedFile, dataset: Dataset, span: Span) -> Bands:
    """The stored values, shape (rows, W) or (rows, W, 3) a band; may be gone through again and again.

    Raises
    ------
    UnreadableError
        With the reason; ``truncated`` or ``too_many_pixels`` before anything is decoded.
    """
    syntax = dataset.file_meta.get("TransferSyntaxUID") or _guessed_transfer_syntax(dataset)
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    part = _image_part(dataset, syntax)
    samples = integer(dataset, "SamplesPerPixel") or 1
    plugin, limit = _CODECS.get(syntax, _OTHER)
    if syntax in _GDCM_ONLY:
        check_pixels(rows, columns, limit // samples)
        return cut(_decode_with_gdcm(file, rows, columns))
    if not get_decoder(syntax).is_native:
        check_pixels(rows, columns, limit // samples)
        return cut(_decode(part, span.vr, file.piece(span.offset, span.length), plugin))
    _check_length(dataset, span)
    if samples == 1 and integer(dataset, "BitsAllocated") in {8, 16, 32}:
        return lambda: _read_bands(file, part, span, shape=(rows, columns))
    check_pixels(rows, columns, limit // samples)
    return cut(_decode(part, span.vr, file.piece(span.offset, span.length)))


def frames(file: LimitedFile, dataset: Dataset, span: Span, count: int) -> Iterator[Stored]:
    """The stored values of so many frames one after the other, shape (rows, W) or (rows, W, 3).

    Raises
    ------
    UnreadableError
        With the reason; ``truncated`` or ``too_many_pixels`` before anything is decoded.
    """
    syntax = dataset.file_meta.get("TransferSyntaxUID") or _guessed_transfer_syntax(dataset)
    samples = integer(dataset, "SamplesPerPixel") or 1
    plugin, limit = _CODECS.get(syntax, _OTHER)
    check_pixels(int(dataset.Rows), int(dataset.Columns), limit // samples)
    part = _image_part(dataset, syntax)
    part.NumberOfFrames = 1
    if syntax in _GDCM_ONLY:
        if count > 1:
            raise UnreadableError("unsupported_transfer_syntax")
        return iter([_decode_with_gdcm(file, int(dataset.Rows), int(dataset.Columns))])
    if get_decoder(syntax).is_native:
        _check_length(dataset, span, count)
        return _plain_frames(file, part, span, count)
    contents = _compressed_frames(file, span, count)
    return (_decode(part, span.vr, content, plugin) for content in contents)


def _image_part(dataset: Dataset, syntax: UID) -> Dataset:
    """What a decoder has to know of an object."""
    part = Dataset()
    for keyword in _DESCRIBING:
        if keyword in dataset:
            part.add(copy.copy(dataset[keyword]))  # a deep copy of the whole group takes longer than all else
    part.file_meta = dataset.file_meta
    part.file_meta.TransferSyntaxUID = syntax
    return part


def _plain_frames(file: LimitedFile, part: Dataset, span: Span, count: int) -> Iterator[Stored]:
    allocated, bits = integer(part, "BitsAllocated") or 0, integer(part, "BitsStored") or 0
    high = integer(part, "HighBit")
    above = 0 if high is None else allocated - 1 - high
    length = int(part.Rows) * int(part.Columns) * allocated * (integer(part, "SamplesPerPixel") or 1) // 8
    if allocated % 8 or not 0 <= above <= allocated - bits:
        raise UnreadableError("undecodable")
    is_shifted = above != allocated - bits  # older units left free bits below the values
    if is_shifted:
        part.BitsStored, part.HighBit = allocated, allocated - 1
    for number in range(count):
        part.add_new(_PIXEL_DATA, span.vr, file.piece(span.offset + number * length, length + length % 2))
        values = pixel_array(part)
        yield values << above >> (allocated - bits) if is_shifted else values


def _compressed_frames(file: LimitedFile, span: Span, count: int) -> Iterator[bytes]:
    if count == 1:
        yield file.piece(span.offset, span.length)
        return
    with open(file.name, "rb") as content:  # the limits of the header do not count its frames
        content.seek(span.offset)
        found = generate_frames(content, number_of_frames=count)
        for _ in range(count):
            frame = next(found, None)
            if frame is None:
                raise UnreadableError("truncated")
            yield encapsulate([frame], has_bot=False)


def _described(head: bytes, start: int, order: str) -> tuple[str, int, int]:
    """VR, offset of the value and its length (PS3.5 section 7.1)."""
    vr = head[4:6]
    if not (b"AA" <= vr <= b"ZZ"):
        return "OW", start + 8, struct.unpack(f"{order}L", head[4:8])[0]
    if vr not in _LONG_VRS:
        return vr.decode("latin-1"), start + 8, struct.unpack(f"{order}H", head[6:8])[0]
    if len(head) < 12:
        raise UnreadableError("truncated")
    return vr.decode("latin-1"), start + 12, struct.unpack(f"{order}L", head[8:12])[0]


def _fragments_end(file: LimitedFile, offset: int) -> int:
    for _ in range(_MAX_FRAGMENTS):
        head = file.piece(offset, 8)
        if len(head) < 8:
            raise UnreadableError("truncated")
        group, element, length = struct.unpack("<HHL", head)
        if (group, element) == _DELIMITER:
            return offset
        if (group, element) != _ITEM:
            raise UnreadableError("undecodable")
        offset += 8 + length
    raise UnreadableError("too_many_elements")


def _check_length(dataset: Dataset, span: Span, frames: int = 1) -> None:
    bits, samples = integer(dataset, "BitsAllocated") or 0, integer(dataset, "SamplesPerPixel") or 1
    expected = frames * int(dataset.Rows) * int(dataset.Columns) * bits * samples // 8
    if dataset.get("PhotometricInterpretation") == "YBR_FULL_422":  # two of three samples (PS3.3 C.7.6.3.1.2)
        expected = expected * 2 // 3
    if span.length < expected:
        raise UnreadableError("truncated")


def _read_bands(file: LimitedFile, band: Dataset, span: Span, shape: tuple[int, int]) -> Iterator[Stored]:
    rows, columns = shape
    row_bytes = columns * int(band.BitsAllocated) // 8
    step = max(2, BAND_PX // columns // 2 * 2)  # even: big endian bytes are swapped in pairs
    for first in range(0, rows, step):
        length = min(step, rows - first) * row_bytes
        padded = min(length + length % 2, span.length - first * row_bytes)
        band.Rows = min(step, rows - first)
        band.add_new(_PIXEL_DATA, span.vr, file.piece(span.offset + first * row_bytes, padded))
        yield pixel_array(band)


def _decode(part: Dataset, vr: str, content: bytes, plugin: str = "") -> Stored:
    decoder = get_decoder(part.file_meta.TransferSyntaxUID)
    part.add_new(_PIXEL_DATA, vr, content)
    part["PixelData"].is_undefined_length = not decoder.is_native
    plugin = plugin if plugin in decoder.available_plugins else ""
    try:
        return next(decoder.iter_array(part, decoding_plugin=plugin))[0]
    except Exception:
        raise
    except BaseException as error:  # the panics of pylibjpeg-rle are no exceptions (pyo3)
        raise UnreadableError("undecodable") from error


def _guessed_transfer_syntax(dataset: Dataset) -> UID:
    is_implicit, is_little_endian = dataset.original_encoding
    if is_implicit:
        return ImplicitVRLittleEndian
    return ExplicitVRLittleEndian if is_little_endian else ExplicitVRBigEndian


def _decode_with_gdcm(file: LimitedFile, rows: int, columns: int) -> Stored:
    reader = gdcm.ImageReader()
    reader.SetFileName(str(file.name))
    if not reader.Read():
        raise UnreadableError("undecodable")
    image = reader.GetImage()
    pixel_format = image.GetPixelFormat()
    sign = "i" if pixel_format.GetPixelRepresentation() else "u"
    # GDCM's wrapper hands the buffer over as text; this is the documented way back to bytes.
    content = image.GetBuffer().encode("utf-8", errors="surrogateescape")
    values = np.frombuffer(content, f"{sign}{pixel_format.GetBitsAllocated() // 8}")
    return values.reshape(rows, columns)
