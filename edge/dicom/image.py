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


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What the box keeps of the header of one object.

    Attributes
    ----------
    patient : None for a picture file.
    acquired_at : local time of the modality, without a zone, as DICOM gives it.
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


class UnreadableImageError(UnreadableError):
    """A file that cannot be read, with what its header says where that much was readable."""

    def __init__(self, code: str, header: Header | None = None, **values: object) -> None:
        super().__init__(code, **values)
        self.header = header


def content_sha256(image: ParsedImage) -> str:
    """What the box sees of an object, as one number: the same for each lossless encoding of one image.

    Senders change the encoding and leave out padding, so that one image comes as different bytes.
    """
    radiograph = image.radiograph
    seen = [header_to_json(image), radiograph.pixels.shape, radiograph.pixel_spacing_mm, radiograph.view]
    digest = hashlib.sha256(json.dumps([*seen, radiograph.patient_age_years], sort_keys=True).encode())
    digest.update(np.ascontiguousarray(radiograph.pixels).data)
    return digest.hexdigest()


def header_to_json(header: Header) -> dict[str, Any]:
    """A header as JSON-ready values; dates are ISO 8601 text."""
    values = _shallow(header)
    values["acquired_at"] = header.acquired_at.isoformat() if header.acquired_at else None
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
    return Header(
        **values | {"acquired_at": datetime.fromisoformat(acquired_at) if acquired_at else None, "patient": patient}
    )


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
