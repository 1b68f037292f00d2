"""Small files that ask their reader for much: memory, time, or depth. Each function writes to a path and returns it."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from tests.support import inputs

Writer = Callable[[Path], Path]

_UNDEFINED = 0xFFFFFFFF
_MEGA = 1 << 20


def deflated(path: Path, preamble: bool = True) -> Path:
    """A megabyte that inflates to a gigabyte of zeros; without a preamble the group of meta information comes first."""
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    body = b"".join(squeeze.compress(bytes(_MEGA)) for _ in range(1024)) + squeeze.flush()
    head = _head(DeflatedExplicitVRLittleEndian)
    path.write_bytes((head if preamble else head[132:]) + body)
    return path


def claims_65535(path: Path, syntax: UID = ExplicitVRLittleEndian) -> Path:
    """65535 x 65535 pixels by its header, and hardly any in the file."""
    dataset = inputs.dx(Rows=65535, Columns=65535)
    dataset.file_meta.TransferSyntaxUID = syntax
    frame = dataset.PixelData[:2048]
    dataset.PixelData = encapsulate([frame]) if syntax.is_encapsulated else frame
    dataset["PixelData"].VR = "OB" if syntax.is_encapsulated else "OW"
    return inputs.save(dataset, path)


def deep(path: Path, levels: int = 50_000, implicit: bool = False) -> Path:
    """A sequence in a sequence in a sequence."""
    if implicit:
        level = struct.pack("<HHL", 0x0008, 0x1140, _UNDEFINED) + struct.pack("<HHL", 0xFFFE, 0xE000, _UNDEFINED)
    else:
        level = struct.pack("<HH2sHL", 0x0008, 0x1140, b"SQ", 0, _UNDEFINED)
        level += struct.pack("<HHL", 0xFFFE, 0xE000, _UNDEFINED)
    path.write_bytes(_head(ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian) + level * levels)
    return path


def deep_of_known_length(path: Path, levels: int = 4_000) -> Path:
    """The same in a look-up table, with lengths, so that it is opened only where the image is."""
    inner = b""
    for _ in range(levels):
        item = struct.pack("<HHL", 0xFFFE, 0xE000, len(inner)) + inner
        inner = struct.pack("<HH2sHL", 0x0028, 0x3010, b"SQ", 0, len(item)) + item
    return _before_pixels(path, inner)


def many_elements(path: Path, count: int = 3_000_000) -> Path:
    """Millions of elements of no length, in one group after the other."""
    numbers = np.arange(count, dtype=np.uint32)
    elements = np.zeros((count, 8), np.uint8)
    elements[:, 0:2] = (0x0009 + 2 * (numbers >> 15)).astype("<u2").view(np.uint8).reshape(-1, 2)
    elements[:, 2:4] = (numbers & 0x7FFF).astype("<u2").view(np.uint8).reshape(-1, 2)
    elements[:, 4:6] = np.frombuffer(b"LO", np.uint8)
    path.write_bytes(_head(ExplicitVRLittleEndian) + elements.tobytes())
    return path


def many_items(path: Path, count: int = 1_000_000) -> Path:
    """A sequence of a million empty items, in a table that is opened only where the image is."""
    items = struct.pack("<HHL", 0xFFFE, 0xE000, 0) * count
    return _before_pixels(path, struct.pack("<HH2sHL", 0x0028, 0x3010, b"SQ", 0, len(items)) + items)


def many_short_items(path: Path, count: int = 130_000) -> Path:
    """As many as pass for a table of a radiograph."""
    return many_items(path, count)


def many_items_by_the_way(path: Path, count: int = 1_000_000) -> Path:
    """The same in a sequence of unknown length, which is built at once."""
    start = struct.pack("<HH2sHL", 0x0008, 0x1140, b"SQ", 0, _UNDEFINED)
    path.write_bytes(_head(ExplicitVRLittleEndian) + start + struct.pack("<HHL", 0xFFFE, 0xE000, 0) * count)
    return path


def huge_length(path: Path, vr: bytes = b"UN", length: int = 0xFFFFFFF0) -> Path:
    """An element that claims four gigabytes."""
    path.write_bytes(_head(ExplicitVRLittleEndian) + struct.pack("<HH2sHL", 0x0008, 0x0005, vr, 0, length) + b"ISO_IR")
    return path


def huge_text(path: Path, size_mib: int = 64) -> Path:
    """A real text of that size, where the character set should stand."""
    size = size_mib * _MEGA
    path.write_bytes(
        _head(ExplicitVRLittleEndian) + struct.pack("<HH2sHL", 0x0008, 0x0005, b"UT", 0, size) + b"A\\" * (size // 2)
    )
    return path


def long_end(path: Path) -> Path:
    """A header whose last element is longer than what the box keeps in memory, and no image."""
    dataset = inputs.dx()
    del dataset.PixelData
    dataset.add_new(0x00FF0010, "LO", "MAKER")
    dataset.add_new(0x00FF1000, "UN", bytes(2 * _MEGA))
    return inputs.save(dataset, path)


def many_fragments(path: Path, count: int = 2_000_000) -> Path:
    """A compressed image in millions of fragments of nothing."""
    dataset = inputs.dx(bits=8)
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    dataset.PixelData = b"\xfe\xff\x00\xe0\x00\x00\x00\x00" * count
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    return inputs.save(dataset, path)


def many_frames(path: Path) -> Path:
    """Two thousand million frames."""
    return inputs.save(inputs.dx(NumberOfFrames="2147483647"), path)


def rle(path: Path, side_px: int = 10_000) -> Path:
    """A real black image in RLE, as large as a side may be."""
    return inputs.huge_rle_dicom(path, side_px)


def damaged_rle(path: Path) -> Path:
    """Segments (PS3.5 annex G) that hold more values than the header tells; the decoder panics."""
    dataset = inputs.dx(inputs.phantom(128, 112))
    half = b"\x81\x05" * 200
    frame = struct.pack("<16I", 2, 64, 64 + len(half), *[0] * 13) + half + half
    dataset.file_meta.TransferSyntaxUID = RLELossless
    dataset.PixelData = encapsulate([frame])
    dataset["PixelData"].VR = "OB"
    return inputs.save(dataset, path)


def jpeg2000(path: Path) -> Path:
    """A codestream of 20,000 pixels a side in an object that tells 512."""
    return inputs.huge_jpeg2000_dicom(path, header_side_px=512)


def jpeg2000_within_limits(path: Path) -> Path:
    """The same in an object that tells as many pixels as the box would decode."""
    return inputs.huge_jpeg2000_dicom(path, header_side_px=6000)


def jpeg(path: Path, syntax: UID = JPEGBaseline8Bit, marker: bytes = b"\xff\xc0", depth: int = 8) -> Path:
    """A JPEG whose frame header (ISO 10918-1 B.2.2) tells 65,500 pixels a side, in an object that tells 512."""
    frame = b"\xff\xd8" + marker + struct.pack(">HBHHBBBB", 11, depth, 65500, 65500, 1, 1, 0x11, 0) + b"\xff\xd9"
    dataset = inputs.dx(bits=8)
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.BitsAllocated = 8 if depth == 8 else 16
    dataset.PixelData = encapsulate([frame])
    dataset["PixelData"].VR = "OB"
    return inputs.save(dataset, path)


def jpeg_lossless(path: Path) -> Path:
    """The same, lossless."""
    return jpeg(path, JPEGLosslessSV1, b"\xff\xc3", 16)


def jpeg_12_bits(path: Path) -> Path:
    """The same with 12 bits, which GDCM reads from the file itself."""
    return jpeg(path, UID("1.2.840.10008.1.2.4.51"), b"\xff\xc1", 12)


def jpeg_ls(path: Path) -> Path:
    """The same in JPEG-LS."""
    return jpeg(path, JPEGLSLossless, b"\xff\xf7", 16)


def png(path: Path, side_px: int = 30_000) -> Path:
    """A picture of 900 megapixels in one megabyte."""
    return inputs.huge_png(path, side_px)


def wide_table(path: Path) -> Path:
    """A look-up table with a claim of 65536 entries and none of them."""
    dataset = inputs.dx()
    dataset.add_new(0x00283000, "SQ", [])
    item = type(dataset)()
    item.LUTDescriptor, item.LUTData = [0, 0, 16], []
    dataset.ModalityLUTSequence = [item]
    return inputs.save(dataset, path)


BOMBS: dict[str, Writer] = {
    "deflate": deflated,
    "deflate without a preamble": lambda path: deflated(path, preamble=False),
    "65535 x 65535": claims_65535,
    "65535 x 65535 in RLE": lambda path: claims_65535(path, RLELossless),
    "65535 x 65535 in JPEG 2000": lambda path: claims_65535(path, JPEG2000Lossless),
    "nested sequences": deep,
    "nested sequences, implicit": lambda path: deep(path, implicit=True),
    "nested sequences of known length": deep_of_known_length,
    "three million elements": many_elements,
    "a million items": many_items,
    "130,000 items": many_short_items,
    "a million items of unknown length": many_items_by_the_way,
    "length of 4 GiB": huge_length,
    "length of 4 GiB, text": lambda path: huge_length(path, b"UT"),
    "text of 64 MiB": huge_text,
    "two million fragments": many_fragments,
    "two thousand million frames": many_frames,
    "RLE": rle,
    "RLE, 20,000 pixels": inputs.huge_rle_dicom,
    "JPEG 2000": jpeg2000,
    "JPEG 2000 within the limits": jpeg2000_within_limits,
    "JPEG": jpeg,
    "JPEG lossless": jpeg_lossless,
    "JPEG of 12 bits": jpeg_12_bits,
    "JPEG-LS": jpeg_ls,
    "PNG": png,
    "empty look-up table": wide_table,
}


def _head(syntax: UID) -> bytes:
    """Preamble and file meta information of an object in this transfer syntax."""
    dataset = inputs.dx()
    content = io.BytesIO()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.save_as(content, enforce_file_format=True)
    meta = dcmread(io.BytesIO(content.getvalue()), stop_before_pixels=True).file_meta
    meta.TransferSyntaxUID = syntax
    body = io.BytesIO()
    empty = type(dataset)()
    empty.file_meta = meta
    empty.save_as(body, enforce_file_format=True, implicit_vr=syntax == ImplicitVRLittleEndian, little_endian=True)
    return body.getvalue()


def _before_pixels(path: Path, elements: bytes) -> Path:
    content = inputs.chest_dicom(path).read_bytes()
    place = content.index(b"\xe0\x7f\x10\x00OW")
    path.write_bytes(content[:place] + elements + content[place:])
    return path
