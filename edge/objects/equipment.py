"""Who made an object: identifiers, times and devices that all kinds share.

Identifiers are those of ISO/IEC 9834-8 under 2.25 (PS3.5 section B.2), derived from the box, the
study, the version, the reading and the kind, and so are the same whenever the same object is made. After a
backup came back, a version may be read once more: the reading keeps two contents from one identifier.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from highdicom.base_content import ContributingEquipment
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from edge import wording
from edge.objects import header
from edge.objects.content import Content
from edge.objects.receipt import findings_digest
from edge.types import Kind

if TYPE_CHECKING:
    from edge.objects.case import Case

MAKER = "Chest Edge"
NOTICE = f"{wording.RESEARCH}. {wording.UNVERIFIED}."
"""In English, for the fields of a header; what is drawn is translated."""
_NAMESPACE = uuid.UUID("6f3fe5a8-0b0b-5f6f-9c1d-3a3c4f1f0c11")
_SERIES: Mapping[Kind, tuple[int, str]] = MappingProxyType(
    {
        Kind.SECONDARY_CAPTURE: (9001, "AI result"),
        Kind.STRUCTURED_REPORT: (9002, "AI measurements"),
        Kind.SEGMENTATION: (9003, "AI segmentation"),
        Kind.PRESENTATION_STATE: (9004, "AI marks"),
        Kind.PDF: (9005, "AI report"),
    }
)
_NOW_AT = (  # highdicom writes the time of the making there
    ("InstanceCreationDate", "InstanceCreationTime"),
    ("ContentDate", "ContentTime"),
    ("PresentationCreationDate", "PresentationCreationTime"),
    ("DateOfSecondaryCapture", "TimeOfSecondaryCapture"),
)


def uid(*parts: object) -> str:
    """An identifier that these parts alone decide."""
    return f"2.25.{uuid.uuid5(_NAMESPACE, '|'.join(map(str, parts))).int}"


def reading(case: Case) -> tuple[object, ...]:
    """What tells one result from all others."""
    read = (case.report["completed_at"], findings_digest(case.report))
    return (case.box_id, case.study_key, case.version, *read)


def identity(case: Case, kind: Kind) -> dict[str, Any]:
    """Arguments of every class of highdicom: identifiers, series and device."""
    parts = (*reading(case), kind.value)
    number, description = _SERIES[kind]
    return {
        "series_instance_uid": uid("series", *parts),
        "series_number": number,
        "sop_instance_uid": uid("instance", *parts),
        "instance_number": case.version,
        "series_description": f"{MAKER}: {description}, research use, not verified",
        "manufacturer": MAKER,
        "manufacturer_model_name": MAKER,
        "software_versions": case.report["software_version"],
        "device_serial_number": case.box_id,
        "contributing_equipment": equipment(case),
    }


def patient_and_study(cleaned: Dataset) -> dict[str, Any]:
    """Arguments of those classes of highdicom that take no image to copy them from."""
    return {
        "study_instance_uid": cleaned.StudyInstanceUID,
        "study_id": cleaned.StudyID,
        "study_date": cleaned.StudyDate or None,
        "study_time": cleaned.StudyTime or None,
        "patient_id": cleaned.PatientID,
        "patient_name": cleaned.PatientName,
        "patient_birth_date": cleaned.PatientBirthDate,
        "patient_sex": cleaned.PatientSex,
        "accession_number": cleaned.AccessionNumber,
        "referring_physician_name": cleaned.ReferringPhysicianName,
        "specific_character_set": cleaned.SpecificCharacterSet,
    }


def equipment(case: Case) -> list[ContributingEquipment]:
    """The X-ray unit, and each model with its version and SHA-256 as software versions."""
    unit = header.acquisition_equipment(case.source)
    acquired = [ContributingEquipment(purpose_of_reference=codes.DCM.AcquisitionEquipment, **unit)] if unit else []
    return acquired + [_model(name, model) for name, model in Content(case.report).models.items()]


def _model(name: str, model: Mapping[str, Any]) -> ContributingEquipment:
    return ContributingEquipment(
        manufacturer=MAKER,
        purpose_of_reference=codes.DCM.ProcessingEquipment,
        manufacturer_model_name=name,
        software_versions=[str(model["model_version"]), model["model_sha256"]],
        contribution_description=f"Model of {', '.join(model['stages'])} ({model['model_precision']}); SHA-256 follows"
        " the version",
    )


def dated(dataset: Dataset, case: Case, cleaned: Dataset) -> Dataset:
    """The object with the time of its result in the place of that of its making, and its qualification."""
    at = local_time(case, cleaned)
    day, moment = at.strftime("%Y%m%d"), at.strftime("%H%M%S")
    for dates, times in (*(pair for pair in _NOW_AT if pair[0] in dataset), ("SeriesDate", "SeriesTime")):
        setattr(dataset, dates, day)
        setattr(dataset, times, moment)
    for item in dataset.ContributingEquipmentSequence:
        if "ContributionDateTime" in item:  # highdicom names itself, and when it worked
            item.ContributionDateTime = day + moment
    if zone := cleaned.get("TimezoneOffsetFromUTC"):
        dataset.TimezoneOffsetFromUTC = zone
    return dataset


def place_in_body(dataset: Dataset, orientation: tuple[str, str] | None, is_chest: bool) -> None:
    """Body part and orientation of an image (PS3.3 sections C.7.3.1 and C.7.6.1); empty where unknown."""
    if is_chest:
        dataset.BodyPartExamined = "CHEST"
    else:
        dataset.Laterality = None
    dataset.PatientOrientation = list(orientation) if orientation else None


def local_time(case: Case, cleaned: Dataset) -> datetime:
    """When the result was made, in the time zone that the image names, else in that of the box."""
    made = datetime.fromisoformat(case.report["completed_at"])
    zone = cleaned.get("TimezoneOffsetFromUTC")
    if not zone:
        return made.astimezone()
    offset = timedelta(hours=int(zone[1:3]), minutes=int(zone[3:]))
    return made.astimezone(timezone(-offset if zone[0] == "-" else offset))
