"""Stored values to float32 in [0, 1], bone bright: the grayscale transformations of PS3.3 section C.11.

Order: Modality LUT, VOI LUT or window, MONOCHROME1 last (PS3.4 annex N.2). The inversion
is done inside the last scaling, as (high - v) / (high - low) instead of 1 - (v - low) /
(high - low): the same number on paper, and with it a MONOCHROME1 image and its
MONOCHROME2 twin give bit-equal arrays. Rejected: pydicom's apply_voi_lut, which works in
float64, indexes an 8-bit table of more than 256 entries wrongly and rounds twins apart.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut

from edge.dicom.attributes import integer, number, text
from edge.errors import UnreadableError

Pixels = npt.NDArray[np.float32]
Stored = npt.NDArray[Any]
Bands = Callable[[], Iterator[Stored]]
"""Values in bands of rows, from the top; each call begins anew, and no more than a band need be in memory."""

BAND_PX = 1 << 20
"""How many values a band may hold, so that the size of an image costs no memory."""

_MAX_COLOUR_SPREAD = 0.04  # mean of (max - min over channels); JPEG noise on grey stays under 0.01


def cut(values: Stored) -> Bands:
    """The bands of an array that is in memory."""
    step = max(1, BAND_PX // max(1, values.shape[1]))
    return lambda: (values[first : first + step] for first in range(0, len(values), step))


def to_unit_range(stored: Bands, dataset: Dataset) -> Iterator[Pixels]:
    """Apply the image's transformations to its decoded values.

    Parameters
    ----------
    stored : bands of shape (rows, W), or (rows, W, 3) as RGB or PALETTE COLOR indices (rows, W).
    dataset : the object's header.

    Returns
    -------
    bands of float32, shape (rows, W), in [0, 1], MONOCHROME2 sense.

    Raises
    ------
    UnreadableError
        ``colour_image`` for real colour.
    """
    if text(dataset, "PhotometricInterpretation") == "PALETTE COLOR":
        indices = stored
        stored = lambda: (apply_color_lut(band, dataset) for band in indices())  # noqa: E731
    if next(stored()).ndim == 3:
        return grey_of_colour(stored)
    values = _modality(stored, dataset)
    shown = _voi(stored, values, dataset)
    return (shown(values(band)) for band in stored())


def grey_of_colour(channels: Bands) -> Iterator[Pixels]:
    """The grey image in three equal channels, whose values use the whole range of their integer type.

    Raises
    ------
    UnreadableError
        ``colour_image`` where the channels differ.
    """
    scale = np.float32(np.iinfo(next(channels()).dtype).max)
    sums = [np.sum(band.max(axis=2) - band.min(axis=2), dtype=np.float64) for band in channels()]
    size = sum(band[..., 0].size for band in channels())
    if sum(sums) / size / scale > _MAX_COLOUR_SPREAD:
        raise UnreadableError("colour_image")
    return (band.mean(axis=2, dtype=np.float32) / scale for band in channels())


def stretch(bands: Bands) -> Iterator[Pixels]:
    """Smallest value to 0, largest to 1; all 0 for an image without contrast. Shape is kept."""
    low, high = _span(bands())
    return (_ramp(band.astype(np.float32), low, high, inverted=False) for band in bands())


_Step = Callable[[Stored], Pixels]


def _span(bands: Iterable[Stored]) -> tuple[float, float]:
    """Smallest and greatest value, as float32 tells them; infinite the wrong way round where there is none."""
    ends = [(np.float32(band.min()), np.float32(band.max())) for band in bands if band.size]
    if not ends:
        return math.inf, -math.inf
    return float(np.min([low for low, _ in ends])), float(np.max([high for _, high in ends]))


def _modality(stored: Bands, dataset: Dataset) -> _Step:
    if dataset.get("ModalityLUTSequence"):
        look_up = _look_up(dataset, dataset.ModalityLUTSequence[0], _span(stored())[0])
        return lambda band: look_up(band.astype(np.float32))
    slope, intercept = number(dataset, "RescaleSlope") or 1.0, number(dataset, "RescaleIntercept") or 0.0

    def rescaled(band: Stored) -> Pixels:
        values = band.astype(np.float32)
        if slope != 1:
            values *= np.float32(slope)
        if intercept:
            values += np.float32(intercept)
        return values

    return rescaled


def _voi(stored: Bands, values: _Step, dataset: Dataset) -> Callable[[Pixels], Pixels]:
    inverted = text(dataset, "PhotometricInterpretation") == "MONOCHROME1"
    low, high = _span(values(band) for band in stored())
    if dataset.get("VOILUTSequence"):
        look_up = _look_up(dataset, dataset.VOILUTSequence[0], low)
        first, last = _span(look_up(values(band)) for band in stored())
        return lambda band: _ramp(look_up(band), first, last, inverted)
    is_padding = padding(dataset)
    if is_padding is not None:
        inside = _span(values(band)[~is_padding(band)] for band in stored())
        low, high = inside if inside[0] <= inside[1] else (low, high)
    center, width = number(dataset, "WindowCenter"), number(dataset, "WindowWidth")
    if center is None or width is None or not _shows_something(center, width, low, high):
        return lambda band: _ramp(band, low, high, inverted)
    function = text(dataset, "VOILUTFunction")
    return lambda band: _windowed(band, center, width, function, inverted)


def _windowed(values: Pixels, center: float, width: float, function: str, inverted: bool) -> Pixels:
    """The three functions of PS3.3 section C.11.2.1.2 and C.11.2.1.3."""
    if function == "SIGMOID":
        values -= np.float32(center)
        values *= np.float32((4 if inverted else -4) / width)
        risen: Pixels = np.float32(1) / (np.float32(1) + np.exp(np.clip(values, -80, 80)))
        return risen
    if function != "LINEAR_EXACT":
        center, width = center - 0.5, width - 1
    return _ramp(values, center - width / 2, center + width / 2, inverted)


def _shows_something(center: float, width: float, low: float, high: float) -> bool:
    # A window beside all the values would give one flat grey; modalities do write such windows.
    return width > 1 and center + width / 2 > low and center - width / 2 < high


def _ramp(values: Pixels, low: float, high: float, inverted: bool) -> Pixels:
    if not high > low:
        return np.zeros_like(values)
    np.clip(values, np.float32(low), np.float32(high), out=values)
    if inverted:
        np.subtract(np.float32(high), values, out=values)
    else:
        values -= np.float32(low)
    values /= np.float32(high) - np.float32(low)
    return values


def _look_up(dataset: Dataset, item: Dataset, smallest: float) -> Callable[[Pixels], Pixels]:
    """PS3.3 section C.11.1.1 and C.11.2.1.1: values below the first entry take it, above the last likewise.

    The entries' own range is used, not the bits that LUTDescriptor states: these are often wrong.
    """
    entries, first = int(item.LUTDescriptor[0]) or 65536, int(item.LUTDescriptor[1])
    if first > 32767 and smallest < 0:
        first -= 65536  # written as unsigned although the values are signed (VR "US or SS")
    entries_of = table(item.LUTData, entries, little_endian=dataset.original_encoding[1] is not False)

    def looked_up(values: Pixels) -> Pixels:
        found: Pixels = entries_of[np.clip(np.rint(values) - first, 0, len(entries_of) - 1).astype(np.int32)]
        return found

    return looked_up


def table(data: object, entries: int, little_endian: bool) -> Pixels:
    """The entries of a lookup table, one byte or two each as there are bytes (PS3.3 section C.11.1.1)."""
    if not isinstance(data, bytes):
        return np.atleast_1d(np.asarray(data, dtype=np.float32))
    if len(data) <= entries + 1:
        return np.frombuffer(data, np.uint8)[:entries].astype(np.float32)
    return np.frombuffer(data, "<u2" if little_endian else ">u2")[:entries].astype(np.float32)


def padding(dataset: Dataset) -> Callable[[Stored], npt.NDArray[np.bool_]] | None:
    """Where no image is (PS3.3 section C.7.5.1.1.2), or None where the header names no such value."""
    value, limit = (_as_stored(dataset, keyword) for keyword in ("PixelPaddingValue", "PixelPaddingRangeLimit"))
    if value is None:
        return None
    low, high = sorted((value, value if limit is None else limit))
    return lambda stored: (stored >= low) & (stored <= high)


def _as_stored(dataset: Dataset, keyword: str) -> int | None:
    """A pixel value of the header; some write it as unsigned although the pixels are signed (VR "US or SS")."""
    value = integer(dataset, keyword)
    is_signed = integer(dataset, "PixelRepresentation") == 1
    return value - 65536 if value is not None and is_signed and 32768 <= value < 65536 else value
