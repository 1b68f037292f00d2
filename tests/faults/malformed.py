"""Broken copies of valid files: flipped bits, cuts, repeated or missing ranges, other lengths, tags and VRs."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from tests.support import inputs

_VRS = [
    b"AE",
    b"AT",
    b"DS",
    b"FL",
    b"IS",
    b"LO",
    b"OB",
    b"OW",
    b"PN",
    b"SQ",
    b"SV",
    b"UI",
    b"UN",
    b"US",
    b"UT",
    b"ZZ",
    b"\0\0",
]
_LENGTHS = [0, 1, 2, 7, 0xFE, 0xFFFE, 0xFFFF, 0x10000, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF]
_HEADER_BYTES = 4_000
"""Where most of the damage is done: behind it there is nothing but pixels."""

Damage = Callable[[random.Random, bytearray], None]


def seeds(folder: Path) -> list[bytes]:
    """Valid files to break: uncompressed, in the common compressions, with tables and sequences, and pictures."""
    made = [inputs.chest_png(folder / "a.png"), inputs.save(_with_tables(), folder / "tables.dcm")]
    made.append(inputs.save(inputs.dx(_small()), folder / "plain.dcm"))
    for syntax in (RLELossless, JPEG2000Lossless, JPEGLSLossless):
        dataset = inputs.dx(_small())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset.compress(syntax)
        made.append(inputs.save(dataset, folder / f"{syntax.name}.dcm"))
    tests = Path(pydicom.__file__).parent / "data" / "test_files"
    theirs = [path for path in sorted(tests.glob("*.dcm")) if path.stat().st_size < 400_000]
    return [path.read_bytes() for path in made + theirs]


def broken(chance: random.Random, seeds: list[bytes], count: int) -> Iterator[bytes]:
    """Broken copies, of the first seeds as often as of all others together; the same for the same chance."""
    own = seeds[:6]
    for _ in range(count):
        content = bytearray(chance.choice(own if chance.random() < 0.5 else seeds))
        for _ in range(chance.choice([1, 1, 2, 3, 8])):
            if len(content) > 200:
                chance.choice(_DAMAGES)(chance, content)
        yield bytes(content)


def _place(chance: random.Random, content: bytearray) -> int:
    top = min(len(content), _HEADER_BYTES) if chance.random() < 0.8 else len(content)
    return chance.randrange(min(132, top - 1), top)


def _flip(chance: random.Random, content: bytearray) -> None:
    content[_place(chance, content)] ^= 1 << chance.randrange(8)


def _overwrite(chance: random.Random, content: bytearray) -> None:
    place = _place(chance, content)
    content[place : place + 8] = chance.randbytes(8)


def _cut(chance: random.Random, content: bytearray) -> None:
    del content[_place(chance, content) :]


def _repeat(chance: random.Random, content: bytearray) -> None:
    place, length = _place(chance, content), chance.choice([2, 8, 64, 1000])
    content[place:place] = content[place : place + length] * chance.choice([1, 2, 50])


def _drop(chance: random.Random, content: bytearray) -> None:
    place = _place(chance, content)
    del content[place : place + chance.choice([1, 2, 8, 64, 1000])]


def _other_vr(chance: random.Random, content: bytearray) -> None:
    place = _vr(chance, content)
    content[place : place + 2] = chance.choice(_VRS)


def _other_length(chance: random.Random, content: bytearray) -> None:
    place, length = _vr(chance, content), chance.choice(_LENGTHS)
    if length > 0xFFFF or chance.random() < 0.3:
        content[place + 4 : place + 8] = length.to_bytes(4, "little")
    else:
        content[place + 2 : place + 4] = length.to_bytes(2, "little")


def _other_tag(chance: random.Random, content: bytearray) -> None:
    place = _vr(chance, content)
    content[place - 4 : place] = chance.choice(
        [b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0", b"\x28\x00\x10\x00", b"\xe0\x7f\x10\x00"]
    )


def _vr(chance: random.Random, content: bytearray) -> int:
    """The place of some VR of two letters, or any place where there is none."""
    start = _place(chance, content)
    for place in range(start, min(start + 200, len(content) - 2)):
        if bytes(content[place : place + 2]) in _VRS[:-2]:
            return place
    return start


_DAMAGES: list[Damage] = [
    _flip,
    _overwrite,
    _cut,
    _repeat,
    _drop,
    _other_vr,
    _other_vr,
    _other_length,
    _other_length,
    _other_tag,
]


def _small() -> np.ndarray:
    return inputs.phantom(128, 112)


def _with_tables() -> Dataset:
    dataset = inputs.dx(_small())
    table = Dataset()
    table.LUTDescriptor, table.LUTData = [4096, 0, 16], list(range(0, 65536, 16))
    table["LUTData"].VR = "US"
    dataset.VOILUTSequence = [table]
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "51185008", "SCT", "Chest"
    dataset.AnatomicRegionSequence = [code]
    return dataset
