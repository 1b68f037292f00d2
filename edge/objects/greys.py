"""Window, VOI LUT and Modality LUT of a header, for a presentation state: valid, or left to the viewer."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from highdicom.content import VOILUT, ModalityLUTTransformation
from highdicom.pr import SoftcopyVOILUTTransformation
from pydicom.dataset import Dataset

from edge.dicom.attributes import number, text

_FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")
_MOST_ENTRIES = 65536


def is_dark_bone(source: Dataset) -> bool:
    """Whether the stored greys are MONOCHROME1."""
    return text(source, "PhotometricInterpretation") == "MONOCHROME1"


def transformations(source: Dataset) -> dict[str, Any]:
    """Arguments of highdicom's presentation state: as in ``edge.dicom.pixels``, a VOI LUT goes before a window."""
    voi = _voi_lut(source) or _window(source)
    modality = _rescaled(source)
    return {
        **({"voi_lut_transformations": [voi]} if voi else {}),
        **({"modality_lut_transformation": modality} if modality else {}),
    }


def _rescaled(source: Dataset) -> ModalityLUTTransformation | None:
    slope, intercept = number(source, "RescaleSlope"), number(source, "RescaleIntercept")
    if not slope or intercept is None:
        return None
    return ModalityLUTTransformation(rescale_intercept=intercept, rescale_slope=slope, rescale_type="US")


def _window(source: Dataset) -> SoftcopyVOILUTTransformation | None:
    center, width = number(source, "WindowCenter"), number(source, "WindowWidth")
    if center is None or width is None or width <= 1:
        return None
    function = text(source, "VOILUTFunction")
    return SoftcopyVOILUTTransformation(
        window_center=center,
        window_width=width,
        voi_lut_function=function if function in _FUNCTIONS else None,
    )


def _voi_lut(source: Dataset) -> SoftcopyVOILUTTransformation | None:
    try:
        item = source.VOILUTSequence[0]
        entries, first = int(item.LUTDescriptor[0]) or _MOST_ENTRIES, int(item.LUTDescriptor[1])
        table = _entries(item.LUTData, entries)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, NotImplementedError):
        return None  # absent or broken
    if len(table) != entries or not 0 <= first < _MOST_ENTRIES or table.min() == table.max():
        return None
    return SoftcopyVOILUTTransformation(voi_luts=[VOILUT(first_mapped_value=first, lut_data=_stretched(table))])


def _stretched(table: npt.NDArray[np.uint16]) -> npt.NDArray[np.uint16]:
    """Entries over all of 16 bits: the page too goes by their own range, since stated bits are often wrong."""
    low, high = float(table.min()), float(table.max())
    return np.asarray(np.rint((table - low) / (high - low) * 65535), np.uint16)


def _entries(data: Any, entries: int) -> npt.NDArray[np.uint16]:
    if isinstance(data, bytes):
        return np.frombuffer(data, "<u2" if len(data) >= 2 * entries else np.uint8)[:entries].astype(np.uint16)
    return np.asarray(data, np.uint16)
