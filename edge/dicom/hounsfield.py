"""Stored values of a CT image to Hounsfield units: the Modality LUT of PS3.3 section C.11.1 and nothing after it.

A windowed picture is made of them where one is shown. Rejected: float32, which takes twice the room for digits
that no CT unit measures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from edge.dicom import stored
from edge.dicom.attributes import text
from edge.dicom.limits import LimitedFile
from edge.dicom.pixels import Stored, padding
from edge.dicom.planes import Frame
from edge.errors import UnreadableError

HU = npt.NDArray[np.int16]

LOWEST_HU, HIGHEST_HU = -1024, 3071
"""The range of 12 bits from the usual intercept; what lies outside is no tissue."""


def frames(file: LimitedFile, dataset: Dataset, span: stored.Span, count: int) -> Iterator[HU]:
    """Each frame in Hounsfield units, int16 of shape (rows, columns); no more than one is in memory.

    Where no image is, they are those of air; where the header does not scale the values, they stay as they are.

    Raises
    ------
    UnreadableError
        ``colour_image``, ``inverted_ct``, or what ``stored.frames`` raises.
    """
    photometric = text(dataset, "PhotometricInterpretation")
    if photometric not in {"MONOCHROME1", "MONOCHROME2"}:
        raise UnreadableError("colour_image")
    if photometric == "MONOCHROME1":
        raise UnreadableError("inverted_ct")
    is_padding = padding(dataset)
    for number, values in enumerate(stored.frames(file, dataset, span, count)):
        yield hounsfield(values, Frame(dataset, number).rescale(), is_padding)


def hounsfield(
    values: Stored, rescale: tuple[float, float] | None, is_padding: Callable[[Stored], npt.NDArray[np.bool_]] | None
) -> HU:
    """Stored values of any shape in Hounsfield units, in the same shape.

    Raises
    ------
    UnreadableError
        ``colour_image`` where there are several values a pixel.
    """
    if values.ndim != 2:
        raise UnreadableError("colour_image")
    slope, intercept = rescale or (1.0, 0.0)
    scaled = values.astype(np.float32)
    scaled *= np.float32(slope)
    scaled += np.float32(intercept)
    if is_padding is not None:
        scaled[is_padding(values)] = LOWEST_HU
    np.clip(scaled, LOWEST_HU, HIGHEST_HU, out=scaled)
    np.rint(scaled, out=scaled)
    return scaled.astype(np.int16)
