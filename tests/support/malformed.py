"""Strategies for files that nobody would write: a valid one with elements of any tag, VR, length and value.

Other than the blind damage of ``tests/faults/malformed.py`` they keep the structure around what they
change, so that the decoders behind the parser meet it, and a failing file shrinks to one change.
"""

from __future__ import annotations

import io
import struct
from itertools import pairwise

from hypothesis import strategies as some
from hypothesis.strategies import SearchStrategy
from pydicom.filereader import data_element_generator

_LONG_VRS = (b"OB", b"OW", b"OF", b"SQ", b"UC", b"UN", b"UT", b"SV")  # length of 32 bits, PS3.5 section 7.1.2
_SHORT_VRS = (b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"FD", b"IS", b"LO", b"PN", b"SS", b"UI", b"UL", b"US", b"ZZ")
_TAGS = (
    0x00020010,  # Transfer Syntax UID, where it must not be
    0x00080005,  # Specific Character Set
    0x00080060,  # Modality
    0x00180050,  # Slice Thickness
    0x00200032,  # Image Position (Patient)
    0x00200037,  # Image Orientation (Patient)
    0x00280002,  # Samples per Pixel
    0x00280004,  # Photometric Interpretation
    0x00280008,  # Number of Frames
    0x00280010,  # Rows
    0x00280011,  # Columns
    0x00280030,  # Pixel Spacing
    0x00280100,  # Bits Allocated
    0x00280101,  # Bits Stored
    0x00280102,  # High Bit
    0x00280103,  # Pixel Representation
    0x00280120,  # Pixel Padding Value
    0x00281050,  # Window Center
    0x00281052,  # Rescale Intercept
    0x00281053,  # Rescale Slope
    0x00283000,  # Modality LUT Sequence
    0x00283010,  # VOI LUT Sequence
    0x52009229,  # Shared Functional Groups Sequence
    0x52009230,  # Per-frame Functional Groups Sequence
    0x7FE00010,  # Pixel Data
    0xFFFEE000,  # Item
    0xFFFEE0DD,  # Sequence Delimitation Item
)
_NUMBERS = some.sampled_from((0, 1, 2, 7, 8, 16, 255, 0x7FFF, 0xFFFF)).map(lambda number: struct.pack("<H", number))
_TEXTS = some.sampled_from((b"", b"-1", b"1e999", b"nan", b"0\\0", b"\\" * 64, b"ISO 2022 IR 87", b"MONOCHROME1 "))
_VALUES = some.one_of(_NUMBERS, _TEXTS, some.binary(max_size=64))


def elements(depth: int = 2) -> SearchStrategy[bytes]:
    """Elements in Explicit VR Little Endian; sequences hold others, and a part tells a length that is not theirs."""
    inner = some.lists(elements(depth - 1), max_size=3).map(b"".join) if depth else some.just(b"")
    return some.builds(
        _element,
        some.sampled_from(_TAGS) | some.integers(0, 0xFFFFFFFF),
        some.sampled_from(_SHORT_VRS + _LONG_VRS),
        _VALUES | inner.map(_item),
        some.one_of(*[some.none()] * 5, some.sampled_from((0, 1, 0xFFFE, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF))),
    )


def altered(valid: bytes) -> SearchStrategy[bytes]:
    """A valid file with elements exchanged, put in or left out, bytes changed, an end cut off; or mere noise.

    Parameters
    ----------
    valid : a file (PS3.10) in Explicit VR Little Endian.
    """
    starts, noise = starts_of(valid), some.binary(max_size=300)
    spans = list(pairwise(starts))
    anywhere = some.integers(0, min(len(valid), starts[-2] + 200)) | some.integers(0, len(valid))
    change = some.one_of(
        *[some.tuples(some.sampled_from(spans), elements() | some.just(b""))] * 4,
        *[some.tuples(some.sampled_from(starts).map(lambda start: (start, start)), elements())] * 4,
        some.tuples(anywhere.map(lambda place: (place, place + 4)), some.binary(max_size=8)),
        some.tuples(anywhere.map(lambda place: (place, len(valid))), some.just(b"")),
    )
    changed = some.lists(change, min_size=1, max_size=4).map(lambda changes: _changed(valid, changes))
    # Three in five are changed files: noise is refused at its first bytes.
    return some.one_of(changed, changed, changed, noise, noise.map(lambda behind: bytes(128) + b"DICM" + behind))


def starts_of(valid: bytes) -> list[int]:
    """Where each element of the data set begins, the pixels too, and where the last one ends."""
    file = io.BytesIO(valid)
    file.seek(144 + int.from_bytes(valid[140:144], "little"))  # behind the meta information, PS3.10 section 7.1
    starts = [file.tell()]
    return starts + [file.tell() for _ in data_element_generator(file, is_implicit_VR=False, is_little_endian=True)]


def _element(tag: int, vr: bytes, value: bytes, told: int | None) -> bytes:
    length = len(value) if told is None else told
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr
    return head + struct.pack(*(("<xxI", length) if vr in _LONG_VRS else ("<H", min(length, 0xFFFF)))) + value


def _item(content: bytes) -> bytes:
    return struct.pack("<HHI", 0xFFFE, 0xE000, len(content)) + content


def _changed(valid: bytes, changes: list[tuple[tuple[int, int], bytes]]) -> bytes:
    content = valid
    for (start, end), new in sorted(changes, reverse=True):  # from the end on, so that places stay right
        content = content[:start] + new + content[end:]
    return content
