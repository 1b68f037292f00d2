"""Stored values to float32 in [0, 1], bone bright: the grayscale transformations of PS3.3 section C.11.

Order: Modality LUT, VOI LUT or window, MONOCHROME1 last (PS3.4 annex N.2). The inversion
is done inside the last scaling, as (high - v) / (high - low) instead of 1 - (v - low) /
(high - low): the same number on paper, and with it a MONOCHROME1 image and its
MONOCHROME2 twin give bit-equal arrays. Rejected: pydicom's apply_voi_lut, which works in
float64, indexes an 8-bit table of more than 256 entries wrongly and rounds twins apart.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut

from edge.dicom.attributes import integer, number, text
from edge.errors import UnreadableError

Pixels = npt.NDArray[np.float32]
Stored = npt.NDArray[Any]

_MAX_COLOUR_SPREAD = 0.04  # mean of (max - min over channels); JPEG noise on grey stays under 0.01


def to_unit_range(stored: Stored, dataset: Dataset) -> Pixels:
    """Apply the image's transformations to its decoded values.

    Parameters
    ----------
    stored : shape (H, W), or (H, W, 3) as RGB or PALETTE COLOR indices (H, W).
    dataset : the object's header.

    Returns
    -------
    float32, shape (H, W), in [0, 1], MONOCHROME2 sense.

    Raises
    ------
    UnreadableError
        ``colour_image`` for real colour.
    """
    if text(dataset, "PhotometricInterpretation") == "PALETTE COLOR":
        stored = apply_color_lut(stored, dataset)
    if stored.ndim == 3:
        return grey_of_colour(stored)
    padding = _padding(stored, dataset)
    values = _modality(stored, dataset)
    inverted = text(dataset, "PhotometricInterpretation") == "MONOCHROME1"
    return _voi(values, dataset, padding, inverted)


def grey_of_colour(channels: Stored) -> Pixels:
    """The grey image in three equal channels, whose values use the whole range of their integer type.

    Raises
    ------
    UnreadableError
        ``colour_image`` where the channels differ.
    """
    scale = np.float32(np.iinfo(channels.dtype).max)
    spread = (channels.max(axis=2) - channels.min(axis=2)).mean() / scale
    if spread > _MAX_COLOUR_SPREAD:
        raise UnreadableError("colour_image")
    grey: Pixels = channels.mean(axis=2, dtype=np.float32)
    grey /= scale
    return grey


def stretch(values: Stored) -> Pixels:
    """Smallest value to 0, largest to 1; all 0 for an image without contrast. Shape is kept."""
    floats = values.astype(np.float32)
    return _ramp(floats, float(floats.min()), float(floats.max()), inverted=False)


def _modality(stored: Stored, dataset: Dataset) -> Pixels:
    if dataset.get("ModalityLUTSequence"):
        return _look_up(stored.astype(np.float32), dataset, dataset.ModalityLUTSequence[0])
    values = stored.astype(np.float32)
    slope, intercept = number(dataset, "RescaleSlope"), number(dataset, "RescaleIntercept")
    if slope and slope != 1:
        values *= np.float32(slope)
    if intercept:
        values += np.float32(intercept)
    return values


def _voi(values: Pixels, dataset: Dataset, padding: npt.NDArray[np.bool_] | None, inverted: bool) -> Pixels:
    if dataset.get("VOILUTSequence"):
        looked_up = _look_up(values, dataset, dataset.VOILUTSequence[0])
        return _ramp(looked_up, float(looked_up.min()), float(looked_up.max()), inverted)
    inside = values if padding is None else values[~padding]
    low, high = float(inside.min()), float(inside.max())
    center, width = number(dataset, "WindowCenter"), number(dataset, "WindowWidth")
    if center is None or width is None or not _shows_something(center, width, low, high):
        return _ramp(values, low, high, inverted)
    return _windowed(values, center, width, text(dataset, "VOILUTFunction"), inverted)


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


def _look_up(values: Pixels, dataset: Dataset, item: Dataset) -> Pixels:
    """PS3.3 section C.11.1.1 and C.11.2.1.1: values below the first entry take it, above the last likewise.

    The entries' own range is used, not the bits that LUTDescriptor states: these are often wrong.
    """
    entries, first = int(item.LUTDescriptor[0]) or 65536, int(item.LUTDescriptor[1])
    if first > 32767 and values.min() < 0:
        first -= 65536  # written as unsigned although the values are signed (VR "US or SS")
    table = _table(item.LUTData, entries, little_endian=dataset.original_encoding[1] is not False)
    index = np.clip(np.rint(values) - first, 0, len(table) - 1).astype(np.int32)
    looked_up: Pixels = table[index]
    return looked_up


def _table(data: object, entries: int, little_endian: bool) -> Pixels:
    if not isinstance(data, bytes):
        return np.atleast_1d(np.asarray(data, dtype=np.float32))
    if len(data) <= entries + 1:
        return np.frombuffer(data, np.uint8)[:entries].astype(np.float32)
    return np.frombuffer(data, "<u2" if little_endian else ">u2")[:entries].astype(np.float32)


def _padding(stored: Stored, dataset: Dataset) -> npt.NDArray[np.bool_] | None:
    """Where no image is (PS3.3 section C.7.5.1.1.2), or None where nothing or everything is padding."""
    value = integer(dataset, "PixelPaddingValue")
    if value is None:
        return None
    limit = integer(dataset, "PixelPaddingRangeLimit")
    low, high = sorted((value, value if limit is None else limit))
    mask: npt.NDArray[np.bool_] = (stored >= low) & (stored <= high)
    return mask if mask.any() and not mask.all() else None
