"""The pictures of a chest CT: every slice in each window, its tissues, and an overview, in one file beside the preview.

A zip without compression (APPNOTE.TXT of PKWARE): the pictures are compressed already, one file is written durably
once where a thousand would each need their own flush, and a picture is found by its place without reading the others.
It goes as the folder of its study goes, and is counted, backed up and restored as a preview is.
Rejected: thousands of small files; a table of the database, which every backup would have to copy as a whole.
"""

from __future__ import annotations

import io
import json
import os
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from enum import Enum
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import Any

from edge.errors import PictureError
from edge.store.files import write_durably
from edge.types import Tissue

WINDOWS: Mapping[str, tuple[float, float]] = MappingProxyType({"lung": (-600, 1500), "mediastinum": (40, 400)})
"""Centre and width of each window in Hounsfield units (PS3.3 section C.11.2.1.2)."""
COLOURS: Mapping[Tissue, tuple[int, int, int, int]] = MappingProxyType(
    {
        Tissue.RIGHT_LUNG: (63, 208, 255, 24),
        Tissue.LEFT_LUNG: (255, 210, 74, 24),
        Tissue.RIGHT_GROUND_GLASS: (157, 255, 107, 110),
        Tissue.LEFT_GROUND_GLASS: (157, 255, 107, 110),
        Tissue.RIGHT_CONSOLIDATION: (255, 157, 60, 210),
        Tissue.LEFT_CONSOLIDATION: (255, 157, 60, 210),
    }
)
"""Red, green, blue and opacity, 0 to 255, of each tissue in the palette of its picture; index 0 is transparent."""
MOST_KEY_SLICES = 4

_META = "stack.json"
_LOCAL_HEADER = struct.Struct("<4s5H3I2H")  # APPNOTE.TXT section 4.3.7
_BROKEN = (OSError, zipfile.BadZipFile, zipfile.LargeZipFile, struct.error, ValueError, KeyError, TypeError, EOFError)
_SPREAD = 8
_LEAST_KEY_SLICES = 3


class Layer(str, Enum):
    """What a picture of a slice shows; the value stands in addresses and in names of members."""

    LUNG = "lung"
    MEDIASTINUM = "mediastinum"
    TISSUE = "tissue"

    @property
    def suffix(self) -> str:
        """``jpg`` of what is grey, ``png`` of what has labels: those must not be changed by their compression."""
        return "png" if self is Layer.TISSUE else "jpg"


@dataclass(frozen=True, slots=True, kw_only=True)
class Meta:
    """What the pictures are of.

    Attributes
    ----------
    size_px : rows and columns of each picture of a slice.
    spacing_mm : between slices, rows and columns of the pictures.
    affine : shape (4, 4): takes (slice, row, column, 1) of the pictures to LPS millimetres, as in ``Volume``.
    slice_uids : SOP Instance UID of each slice, from head to feet.
    windows : centre and width of each grey layer in Hounsfield units.
    """

    slices: int
    size_px: tuple[int, int]
    spacing_mm: tuple[float, float, float]
    affine: tuple[tuple[float, ...], ...]
    slice_uids: tuple[str, ...]
    windows: Mapping[str, tuple[float, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """Encoded pictures of a series, slice 1 nearest to the head; each iterable is gone through once.

    Attributes
    ----------
    lung, mediastinum : one JPEG a slice.
    tissue : one PNG a slice with a palette: the index is a value of ``Tissue``.
    coronal_lung, coronal_tissue : one plane of the whole as JPEG and as such a PNG; square pixels, head up.
    """

    meta: Meta
    lung: Iterable[bytes]
    mediastinum: Iterable[bytes]
    tissue: Iterable[bytes]
    coronal_lung: bytes
    coronal_tissue: bytes


def write(path: Path, stack: Stack) -> None:
    """Write a stack, and return once it would survive a power cut.

    Raises
    ------
    StorageError
        Nothing is left behind.
    """
    write_durably(path, _packed(_members(stack)))


def names(layer: Layer, number: int) -> str:
    """The name of the picture of one slice, counted from 1."""
    return f"{layer.value}/{number:04d}.{layer.suffix}"


class StackFile:
    """A stack on the disk; only its directory is kept in memory, so that a page may keep this.

    Raises
    ------
    PictureError
        There is none, or it is damaged.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            with zipfile.ZipFile(path) as file:
                self._places = {entry.filename: (entry.header_offset, entry.CRC) for entry in file.infolist()}
                self._sizes = {entry.filename: entry.file_size for entry in file.infolist()}
            self.meta = _meta(json.loads(self._read(_META)))
        except _BROKEN as error:
            raise PictureError("no_picture") from error

    def picture(self, layer: str, number: int) -> bytes:
        """The picture of a slice, counted from 1 at the head; ``layer`` is a ``Layer`` or its value.

        Raises
        ------
        PictureError
            There is no such slice, or the file is gone or damaged.
        """
        return self._checked(names(Layer(layer), number))

    def overview(self, layer: str) -> bytes:
        """The coronal plane, as ``LUNG`` or ``TISSUE``.

        Raises
        ------
        PictureError
            There is none, or the file is gone or damaged.
        """
        return self._checked(f"coronal/{Layer(layer).value}.{Layer(layer).suffix}")

    def pictures(self, layer: Layer) -> Iterator[bytes]:
        """The pictures of all slices from head to feet.

        Raises
        ------
        PictureError
            The file is gone or damaged.
        """
        return (self.picture(layer, number) for number in range(1, self.meta.slices + 1))

    def _checked(self, name: str) -> bytes:
        try:
            return self._read(name)
        except _BROKEN as error:
            raise PictureError("no_picture") from error

    def _read(self, name: str) -> bytes:
        offset, checksum = self._places[name]
        with self._path.open("rb") as file:
            file.seek(offset)
            *_, name_length, extra_length = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
            file.seek(name_length + extra_length, os.SEEK_CUR)
            content = file.read(self._sizes[name])
        if zlib.crc32(content) != checksum:
            raise zipfile.BadZipFile
        return content


def opened(path: Path) -> StackFile | None:
    """The stack that lies there; None where there is none, as of a radiograph, or it is damaged."""
    try:
        return StackFile(path)
    except PictureError:
        return None


def key_slices(result: Mapping[str, Any]) -> list[int]:
    """The slices of a result (``chest-edge/result/1``) that tell most of it on paper, 1-based, from head to feet.

    Those where the largest lesions are largest, none close to another, at most four; where they are fewer than
    three, slices between are added that lie evenly over the series.
    """
    count = int((result.get("series") or {}).get("slices") or 0)
    lesions = [lesion for lesion in result.get("findings") or () if 1 <= lesion.get("slice", 0) <= count]
    lesions.sort(key=lambda lesion: -lesion["volume_ml"])
    chosen = _apart([], [lesion["slice"] for lesion in lesions], count / _SPREAD, MOST_KEY_SLICES)
    even = [round(count * share) for share in (0.5, 0.35, 0.65, 0.2, 0.8)]
    return sorted(_apart(chosen, [number for number in even if number], count / _SPREAD, _LEAST_KEY_SLICES))


def _apart(chosen: list[int], candidates: Iterable[int], least: float, most: int) -> list[int]:
    """What was chosen, and after it the candidates that lie at least so far from all before them."""
    for number in candidates:
        if len(chosen) < most and all(abs(number - other) >= least for other in chosen):
            chosen = [*chosen, number]
    return chosen


def _members(stack: Stack) -> Iterator[tuple[str, bytes]]:
    values = {field.name: getattr(stack.meta, field.name) for field in fields(Meta)}
    yield _META, json.dumps(values | {"windows": dict(stack.meta.windows)}).encode()
    layers = ((Layer.LUNG, stack.lung), (Layer.MEDIASTINUM, stack.mediastinum), (Layer.TISSUE, stack.tissue))
    yield from chain.from_iterable(_numbered(layer, pictures, stack.meta.slices) for layer, pictures in layers)
    yield "coronal/lung.jpg", stack.coronal_lung
    yield "coronal/tissue.png", stack.coronal_tissue


def _numbered(layer: Layer, pictures: Iterable[bytes], count: int) -> Iterator[tuple[str, bytes]]:
    for number, picture in zip(range(1, count + 1), pictures, strict=True):
        yield names(layer, number), picture


class _Pipe(io.RawIOBase):
    """A file that cannot go back: what was written to it is taken away piece by piece."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, piece: Any) -> int:
        self._pieces.append(bytes(piece))
        return len(piece)

    def taken(self) -> bytes:
        content = b"".join(self._pieces)
        self._pieces.clear()
        return content


def _packed(members: Iterable[tuple[str, bytes]]) -> Iterator[bytes]:
    """A zip piece by piece, so that a stack of hundreds of megabytes is never in memory as a whole."""
    pipe = _Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_STORED) as file:
        for name, content in members:
            file.writestr(zipfile.ZipInfo(name), content)
            yield pipe.taken()
    yield pipe.taken()


def _meta(values: Mapping[str, Any]) -> Meta:
    return Meta(
        slices=int(values["slices"]),
        size_px=(int(values["size_px"][0]), int(values["size_px"][1])),
        spacing_mm=(float(values["spacing_mm"][0]), float(values["spacing_mm"][1]), float(values["spacing_mm"][2])),
        affine=tuple(tuple(float(value) for value in row) for row in values["affine"]),
        slice_uids=tuple(str(uid) for uid in values["slice_uids"]),
        windows={str(name): (float(window[0]), float(window[1])) for name, window in values["windows"].items()},
    )
