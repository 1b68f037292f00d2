"""One image as read from a file, and the JSON in which it crosses from the child process.

Field names are DICOM keywords in snake_case (PS3.6). A picture file (PNG or JPEG) has no
DICOM fields. Rejected: handing pydicom datasets on, which would let every later part see
unvalidated values.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from datetime import date, datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from edge.errors import UnreadableError
from edge.types import Radiograph, SpacingMm


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientInfo:
    """Who the image is of. Shown to people, never logged.

    Attributes
    ----------
    name : as in the header (PS3.5, VR PN), with its carets and groups; the page puts it into words.
    """

    name: str = ""
    patient_id: str = ""
    birth_date: date | None = None
    sex: str = ""


Millimetres3 = tuple[float, float, float]
Cosines = tuple[float, float, float, float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plane:
    """Where one CT image, or one frame of it, lies and how it was made, from the header alone.

    Attributes
    ----------
    rows, columns : of the stored image; 0 where the header does not tell.
    position_mm : ImagePositionPatient, the centre of the first pixel, in LPS millimetres (PS3.3 section C.7.6.2.1.1).
    orientation : ImageOrientationPatient, two unit vectors at right angles: along a row, and along a column.
    spacing_mm : PixelSpacing, between rows and between columns.
    thickness_mm : of the slice.
    tilt_deg : GantryDetectorTilt.
    image_type : the values of ImageType, or of FrameType of an Enhanced CT.
    kernel : ConvolutionKernel.
    has_contrast : whether a contrast agent is named.
    is_scaled : whether the header says how values become Hounsfield units.
    is_picture : whether its values are colours or greys for the eye, as those of a dose report.
    """

    rows: int = 0
    columns: int = 0
    position_mm: Millimetres3 | None = None
    orientation: Cosines | None = None
    spacing_mm: SpacingMm | None = None
    thickness_mm: float | None = None
    tilt_deg: float | None = None
    image_type: tuple[str, ...] = ()
    kernel: str = ""
    has_contrast: bool = False
    is_scaled: bool = False
    is_picture: bool = False
    frame_of_reference_uid: str = ""
    series_number: int | None = None
    acquisition_number: int | None = None
    body_part: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What the box keeps of the header of one object.

    Attributes
    ----------
    patient : None for a picture file.
    acquired_at : local time of the modality, without a zone, as DICOM gives it.
    planes : one a frame of a CT image; none of what is no CT.
    """

    study_instance_uid: str | None = None
    series_instance_uid: str | None = None
    sop_instance_uid: str | None = None
    sop_class_uid: str | None = None
    modality: str | None = None
    patient: PatientInfo | None = None
    accession_number: str = ""
    acquired_at: datetime | None = None
    instance_number: int | None = None
    is_picture: bool = False
    planes: tuple[Plane, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Readable(Header):
    """What the child process tells of a readable image; its pixels cross over in a file.

    Attributes
    ----------
    shape : (rows, columns) of the pixels.
    others : as in ``Radiograph``.
    """

    shape: tuple[int, int]
    pixel_spacing_mm: SpacingMm | None = None
    view: str | None = None
    patient_age_years: float | None = None

    @classmethod
    def of(cls, header: Header, **values: Any) -> Readable:
        """The image with this header."""
        return cls(**_shallow(header), **values)


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedImage(Header):
    """One readable image with its header."""

    radiograph: Radiograph

    @classmethod
    def of(cls, header: Header, radiograph: Radiograph) -> ParsedImage:
        """The image with this header and these pixels."""
        return cls(**_shallow(header), radiograph=radiograph)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadableSlices(Header):
    """What the child process tells of a readable CT image; its values cross over in a file.

    Attributes
    ----------
    shape : (frames, rows, columns).
    """

    shape: tuple[int, int, int]

    @classmethod
    def of(cls, header: Header, shape: tuple[int, int, int]) -> ReadableSlices:
        """The CT image with this header."""
        return cls(**_shallow(header), shape=shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedSlices(Header):
    """One CT image with its header; it lies as it was stored.

    Attributes
    ----------
    hu : int16, shape (frames, rows, columns), Hounsfield units from -1024 to 3071; the values as they were stored
        where the header does not scale them. Frame i is ``planes[i]``. None at all of a picture, which is not decoded.
    """

    hu: npt.NDArray[np.int16]

    @classmethod
    def of(cls, header: Header, hu: npt.NDArray[np.int16]) -> ParsedSlices:
        """The CT image with this header and these values."""
        return cls(**_shallow(header), hu=hu)


class UnreadableImageError(UnreadableError):
    """A file that cannot be read, with what its header says where that much was readable."""

    def __init__(self, code: str, header: Header | None = None, **values: object) -> None:
        super().__init__(code, **values)
        self.header = header


def content_sha256(image: ParsedImage | ParsedSlices) -> str | None:
    """What the box sees of an object, as one number: the same for each lossless encoding of one image.

    None where it sees nothing but the header.

    Senders change the encoding and leave out padding, so that one image comes as different bytes.
    """
    if isinstance(image, ParsedSlices):
        return _digest(image.hu, header_to_json(image), image.hu.shape) if image.hu.size else None
    radiograph = image.radiograph
    header = {name: value for name, value in header_to_json(image).items() if name != "planes"}
    seen = (header, radiograph.pixels.shape, radiograph.pixel_spacing_mm, radiograph.view, radiograph.patient_age_years)
    return _digest(radiograph.pixels, *seen)


def _digest(pixels: npt.NDArray[Any], *seen: object) -> str:
    digest = hashlib.sha256(json.dumps(seen, sort_keys=True).encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()


def header_to_json(header: Header) -> dict[str, Any]:
    """A header as JSON-ready values; dates are ISO 8601 text."""
    values = _shallow(header)
    values["acquired_at"] = header.acquired_at.isoformat() if header.acquired_at else None
    values["planes"] = [asdict(plane) for plane in header.planes]
    if header.patient is not None:
        birth_date = header.patient.birth_date
        values["patient"] = asdict(header.patient) | {"birth_date": birth_date.isoformat() if birth_date else None}
    return values


def header_from_json(values: dict[str, Any]) -> Header:
    """The inverse of ``header_to_json``."""
    acquired_at, patient = values["acquired_at"], values["patient"]
    if patient is not None:
        birth_date = patient["birth_date"]
        patient = PatientInfo(**patient | {"birth_date": date.fromisoformat(birth_date) if birth_date else None})
    others = {
        "acquired_at": datetime.fromisoformat(acquired_at) if acquired_at else None,
        "patient": patient,
        "planes": tuple(Plane(**_with_tuples(plane)) for plane in values["planes"]),
    }
    return Header(**values | others)


def _with_tuples(values: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


def radiograph_to_json(image: Readable) -> dict[str, Any]:
    """Everything of a radiograph but its header and pixels, JSON-ready."""
    return {name: getattr(image, name) for name in ("shape", "pixel_spacing_mm", "view", "patient_age_years")}


def radiograph_from_json(values: dict[str, Any], pixels: npt.NDArray[np.float32]) -> Radiograph:
    """The inverse of ``radiograph_to_json``; ``pixels`` are all values in [0, 1], row after row.

    Raises
    ------
    ValueError
        Where they are not as many as the shape tells.
    """
    spacing = values["pixel_spacing_mm"]
    return Radiograph(
        pixels=pixels.reshape(values["shape"]),
        pixel_spacing_mm=(spacing[0], spacing[1]) if spacing else None,
        view=values["view"],
        patient_age_years=values["patient_age_years"],
    )


def _shallow(header: Header) -> dict[str, Any]:
    return {field.name: getattr(header, field.name) for field in fields(Header)}
