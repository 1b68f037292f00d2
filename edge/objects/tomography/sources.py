"""The slices that segments lie on, as highdicom wants to see them: cleaned headers with their place in the patient.

A file a slice gives one header each; a multi-frame object gives one with the place of each of its frames
(PS3.3 sections C.7.6.2 and C.7.6.16).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydicom.dataset import Dataset
from pydicom.valuerep import DS

from edge.dicom.image import Plane
from edge.dicom.planes import planes
from edge.errors import ObjectError
from edge.objects import header
from edge.objects.tomography.placing import Stored

_ROUNDED = 1e-2
"""So far may the directions of two slices of one series differ; units round them differently."""


def for_segments(found: Sequence[Stored]) -> list[Dataset]:
    """One header for each slice; of a multi-frame object one for all its frames.

    Raises
    ------
    ObjectError
        ``no_place``, ``other_size``; what a header is refused for.
    """
    first = found[0]
    if any((place.plane.rows, place.plane.columns) != (first.plane.rows, first.plane.columns) for place in found):
        raise ObjectError("other_size")
    if first.frames:
        return [_of_frames(first.source, first.plane)]
    return [_of_slice(place, first.plane) for place in found]


def _of_slice(place: Stored, first: Plane) -> Dataset:
    cleaned = _placed(place.source, place.plane)
    cleaned.ImagePositionPatient = _decimals(place.plane.position_mm)
    cleaned.ImageOrientationPatient = _decimals(_direction(place.plane, first))
    cleaned.SliceThickness = _decimals((place.plane.thickness_mm,))[0] if place.plane.thickness_mm else None
    return cleaned


def _of_frames(source: Dataset, first: Plane) -> Dataset:
    cleaned = _placed(source, first)
    found = planes(source)
    cleaned.NumberOfFrames = len(found)
    shared = Dataset()
    shared.PlaneOrientationSequence = [_item("ImageOrientationPatient", first.orientation)]
    measures = _item("PixelSpacing", first.spacing_mm)
    measures.SliceThickness = _decimals((first.thickness_mm,))[0] if first.thickness_mm else None
    shared.PixelMeasuresSequence = [measures]
    cleaned.SharedFunctionalGroupsSequence = [shared]
    cleaned.PerFrameFunctionalGroupsSequence = [_frame(plane) for plane in found]
    return cleaned


def _frame(plane: Plane) -> Dataset:
    frame = Dataset()
    frame.PlanePositionSequence = [_item("ImagePositionPatient", plane.position_mm or (0.0, 0.0, 0.0))]
    return frame


def _placed(source: Dataset, plane: Plane) -> Dataset:
    cleaned = header.clean(source)
    if not header.is_uid(plane.frame_of_reference_uid) or not plane.spacing_mm or not plane.position_mm:
        raise ObjectError("no_place")
    cleaned.Modality = "CT"
    cleaned.FrameOfReferenceUID = plane.frame_of_reference_uid
    cleaned.PixelSpacing = _decimals(plane.spacing_mm)
    return cleaned


def _direction(plane: Plane, first: Plane) -> Sequence[float] | None:
    """That of the first slice, of which all others have nearly the same."""
    pairs = zip(plane.orientation or (), first.orientation or (), strict=False)
    if any(abs(one - other) > _ROUNDED for one, other in pairs):
        raise ObjectError("other_size")
    return first.orientation


def _item(keyword: str, values: Sequence[float] | None) -> Dataset:
    item = Dataset()
    setattr(item, keyword, _decimals(values))
    return item


def _decimals(values: Sequence[float] | None) -> list[Any]:
    return [DS(value, auto_format=True) for value in values or ()]
