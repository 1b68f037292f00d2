"""Where the slices of a CT image lie, from its header alone, read without trusting any value of it.

A CT Image (PS3.3 section A.3) tells it in its own attributes; an Enhanced CT Image (section A.38) in functional
groups, one for each frame and one that all frames share (section C.7.6.16). A value that cannot be counts as
absent. Rejected: reading the geometry with SimpleITK, which opens whole series in the process that asks.
"""

from __future__ import annotations

import math

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage

from edge.dicom.attributes import first_item, frame_count, integer, item, number, numbers, text
from edge.dicom.image import Cosines, Millimetres3, Plane
from edge.dicom.limits import MAX_FRAMES
from edge.types import SpacingMm

_CLASSES = frozenset({CTImageStorage, EnhancedCTImageStorage})
_FARTHEST_MM = 100_000.0
_SPACINGS_MM = (0.01, 20.0)
_THICKNESSES_MM = (0.01, 100.0)
_UNEVEN = 1e-2
_MAX_TYPES = 8
# "US" says that the type is not specified; a mono-energetic image is modified Hounsfield units (PS3.3 C.11.1.1.2).
_HOUNSFIELD_TYPES = frozenset({"", "HU", "HU_MOD", "US"})


def planes(dataset: Dataset) -> tuple[Plane, ...]:
    """One plane a frame of a CT image; none of what is no CT. No more than an object may have frames."""
    if text(dataset, "SOPClassUID") not in _CLASSES and text(dataset, "Modality") != "CT":
        return ()
    frames = min(frame_count(dataset), MAX_FRAMES)
    common = _common(dataset)
    return tuple(_plane(Frame(dataset, number), common) for number in range(frames))


class Frame:
    """The attributes of one frame, wherever they stand."""

    def __init__(self, dataset: Dataset, number: int) -> None:
        self._groups = (
            item(dataset, "PerFrameFunctionalGroupsSequence", number),
            first_item(dataset, "SharedFunctionalGroupsSequence"),
        )
        self._dataset = dataset

    def group(self, keyword: str) -> Dataset:
        """The functional group with this name, of the frame or of all; the object itself where there is none."""
        for groups in self._groups:
            found = first_item(groups, keyword) if groups is not None else None
            if found is not None:
                return found
        return self._dataset

    def rescale(self) -> tuple[float, float] | None:
        """Slope and intercept that make Hounsfield units of its values; None where the header tells none."""
        group = self.group("PixelValueTransformationSequence")
        slope, intercept = number(group, "RescaleSlope"), number(group, "RescaleIntercept")
        if intercept is None or text(group, "RescaleType") not in _HOUNSFIELD_TYPES:
            return None
        return slope or 1.0, intercept


def _common(dataset: Dataset) -> Plane:
    """What all frames of an object share."""
    return Plane(
        rows=integer(dataset, "Rows") or 0,
        columns=integer(dataset, "Columns") or 0,
        is_picture=_is_picture(dataset),
        has_contrast=bool(text(dataset, "ContrastBolusAgent"))
        or first_item(dataset, "ContrastBolusAgentSequence") is not None,
        frame_of_reference_uid=text(dataset, "FrameOfReferenceUID"),
        series_number=integer(dataset, "SeriesNumber"),
        acquisition_number=integer(dataset, "AcquisitionNumber"),
        body_part=text(dataset, "BodyPartExamined").upper(),
    )


def _is_picture(dataset: Dataset) -> bool:
    greys = {"MONOCHROME2", ""} | ({"MONOCHROME1"} if text(dataset, "SOPClassUID") in _CLASSES else set())
    return text(dataset, "PhotometricInterpretation") not in greys


def _plane(frame: Frame, common: Plane) -> Plane:
    measures, types = frame.group("PixelMeasuresSequence"), frame.group("CTImageFrameTypeSequence")
    return Plane(
        rows=common.rows,
        columns=common.columns,
        position_mm=_position_mm(frame.group("PlanePositionSequence")),
        orientation=_orientation(frame.group("PlaneOrientationSequence")),
        spacing_mm=_spacing_mm(measures),
        thickness_mm=_within(number(measures, "SliceThickness"), *_THICKNESSES_MM),
        tilt_deg=_within(number(frame.group("CTAcquisitionDetailsSequence"), "GantryDetectorTilt"), -90, 90),
        image_type=_words(text(types, "FrameType") or text(types, "ImageType")),
        kernel=text(frame.group("CTReconstructionSequence"), "ConvolutionKernel"),
        has_contrast=common.has_contrast,
        is_scaled=frame.rescale() is not None,
        is_picture=common.is_picture,
        frame_of_reference_uid=common.frame_of_reference_uid,
        series_number=common.series_number,
        acquisition_number=common.acquisition_number,
        body_part=common.body_part,
    )


def _position_mm(dataset: Dataset) -> Millimetres3 | None:
    values = numbers(dataset, "ImagePositionPatient")
    if len(values) != 3 or not all(abs(value) <= _FARTHEST_MM for value in values):
        return None
    return (values[0], values[1], values[2])


def _orientation(dataset: Dataset) -> Cosines | None:
    values = numbers(dataset, "ImageOrientationPatient")
    if len(values) != 6 or not all(abs(value) <= 1 + _UNEVEN for value in values):
        return None
    along_row, along_column = np.array(values[:3]), np.array(values[3:])
    lengths = float(np.linalg.norm(along_row)), float(np.linalg.norm(along_column))
    if any(abs(length - 1) > _UNEVEN for length in lengths) or abs(float(along_row @ along_column)) > _UNEVEN:
        return None
    return (values[0], values[1], values[2], values[3], values[4], values[5])


def _spacing_mm(dataset: Dataset) -> SpacingMm | None:
    values = numbers(dataset, "PixelSpacing")
    if len(values) != 2 or any(_within(value, *_SPACINGS_MM) is None for value in values):
        return None
    return (values[0], values[1])


def _within(value: float | None, low: float, high: float) -> float | None:
    return value if value is not None and math.isfinite(value) and low <= value <= high else None


def _words(stated: str) -> tuple[str, ...]:
    return tuple(word.strip().upper() for word in stated.split("\\")[:_MAX_TYPES])
