"""Header values of one DICOM object, read without trusting any of them.

A value that breaks its own value representation (PS3.5 section 6.2) counts as absent:
a bad PatientAge must not keep an image from being read. Rejected: pydicom's strict
validation, which refuses objects of real modalities for a blank in an identifier.
"""

from __future__ import annotations

import math
from datetime import date, datetime, time
from typing import Any

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.valuerep import DA, DT, TM

from edge.dicom.image import Header, PatientInfo
from edge.types import SpacingMm

_MAX_TEXT = 194  # a person name: three groups of 64 characters and two separators (PS3.5, VR PN)
_DAYS_PER_AGE_UNIT = {"D": 1.0, "W": 7.0, "M": 30.4375, "Y": 365.25}
_DAYS_PER_YEAR = 365.25
_MAX_AGE_YEARS = 150


def header_of(dataset: Dataset) -> Header:
    """The part of the header that the box keeps."""
    return Header(
        study_instance_uid=text(dataset, "StudyInstanceUID") or None,
        series_instance_uid=text(dataset, "SeriesInstanceUID") or None,
        sop_instance_uid=text(dataset, "SOPInstanceUID") or None,
        sop_class_uid=text(dataset, "SOPClassUID") or None,
        modality=text(dataset, "Modality") or None,
        patient=PatientInfo(
            name=text(dataset, "PatientName"),
            patient_id=whole_text(dataset, "PatientID"),
            birth_date=_date(dataset, "PatientBirthDate"),
            sex=text(dataset, "PatientSex"),
        ),
        accession_number=whole_text(dataset, "AccessionNumber"),
        acquired_at=_acquired_at(dataset),
        instance_number=integer(dataset, "InstanceNumber"),
    )


def pixel_spacing_mm(dataset: Dataset) -> SpacingMm | None:
    """(row, column) spacing from PixelSpacing, else ImagerPixelSpacing (PS3.3 section 10.7); None unless positive."""
    for keyword in ("PixelSpacing", "ImagerPixelSpacing"):
        spacing = numbers(dataset, keyword)
        if len(spacing) == 2 and all(math.isfinite(value) and value > 0 for value in spacing):
            return (spacing[0], spacing[1])
    return None


_AGES_AGREE_YEARS = 2.0


def age_years(dataset: Dataset) -> float | None:
    """Age from PatientAge (PS3.5, VR AS), else from the birth date and the date of the study; None where unknown."""
    stated, counted = _stated_age_years(text(dataset, "PatientAge")), _counted_age_years(dataset)
    if stated is None or counted is None:
        return counted if stated is None else stated
    # Two ages that contradict each other would choose the wrong head; unknown is said on the page.
    return stated if abs(stated - counted) <= _AGES_AGREE_YEARS else None


def _counted_age_years(dataset: Dataset) -> float | None:
    born, taken = _date(dataset, "PatientBirthDate"), _date(dataset, "StudyDate")
    if born is None or taken is None:
        return None
    years = (taken - born).days / _DAYS_PER_YEAR
    return years if 0 <= years <= _MAX_AGE_YEARS else None


def _stated_age_years(stated: str) -> float | None:
    if stated == "000Y":  # what takes names out of headers writes this too; an infant's age is told in months
        return None
    if len(stated) != 4 or not stated[:3].isdecimal() or stated[3] not in _DAYS_PER_AGE_UNIT:
        return None
    years = int(stated[:3]) * _DAYS_PER_AGE_UNIT[stated[3]] / _DAYS_PER_YEAR
    return years if years <= _MAX_AGE_YEARS else None


def text(dataset: Dataset, keyword: str) -> str:
    """A text value as ``stated``, without letters that cannot be printed."""
    return "".join(character for character in stated(dataset, keyword) if character.isprintable()).strip()


def whole_text(dataset: Dataset, keyword: str) -> str:
    """A number as it stands; empty where a letter of it cannot be printed: the rest may be that of another patient."""
    value = stated(dataset, keyword).strip()
    return value if value.isprintable() else ""


def stated(dataset: Dataset, keyword: str) -> str:
    """A text value as it stands there, cut to 194 and without its padding; empty where absent or broken."""
    value = _value(dataset, keyword)
    if isinstance(value, MultiValue):
        value = "\\".join(map(str, value))
    if value is None or isinstance(value, (bytes, list, Sequence)):
        return ""
    return str(value)[:_MAX_TEXT].strip(" \0")


def integer(dataset: Dataset, keyword: str) -> int | None:
    """A whole number, or None where absent or broken."""
    try:
        return int(_value(dataset, keyword))
    except (TypeError, ValueError, OverflowError):
        return None


def frame_count(dataset: Dataset) -> int:
    """How many frames an image says that it has; one where it says nothing."""
    return max(1, integer(dataset, "NumberOfFrames") or 1)


def number(dataset: Dataset, keyword: str) -> float | None:
    """A finite number, the first of several, or None where absent or broken."""
    values = numbers(dataset, keyword)
    return values[0] if values and math.isfinite(values[0]) else None


def numbers(dataset: Dataset, keyword: str) -> list[float]:
    """All numbers of a value, not each of them finite; none where absent or broken."""
    value = _value(dataset, keyword)
    try:
        return [float(item) for item in value] if hasattr(value, "__iter__") else [float(value)]
    except (TypeError, ValueError):
        return []


def item(dataset: Dataset, keyword: str, index: int) -> Dataset | None:
    """One item of a sequence, or None where there is none, or no sequence."""
    items = _value(dataset, keyword)
    return items[index] if isinstance(items, Sequence) and index < len(items) else None


def first_item(dataset: Dataset, keyword: str) -> Dataset | None:
    """The first item of a sequence, or None."""
    return item(dataset, keyword, 0)


def _value(dataset: Dataset, keyword: str) -> Any:
    try:
        return dataset.get(keyword)
    except Exception:  # pydicom converts a raw value here and may raise anything on a broken one
        return None


def _acquired_at(dataset: Dataset) -> datetime | None:
    moment = _parsed(DT, dataset, "AcquisitionDateTime")
    if isinstance(moment, datetime):
        return moment.replace(tzinfo=None)
    for event in ("Acquisition", "Content", "Study"):
        day, at = _date(dataset, f"{event}Date"), _parsed(TM, dataset, f"{event}Time")
        if day is not None:
            at = at if isinstance(at, time) else time()
            return datetime.combine(day, time(at.hour, at.minute, at.second, at.microsecond))
    return None


def _date(dataset: Dataset, keyword: str) -> date | None:
    parsed = _parsed(DA, dataset, keyword)
    return date(parsed.year, parsed.month, parsed.day) if isinstance(parsed, date) else None


def _parsed(kind: Any, dataset: Dataset, keyword: str) -> Any:
    stated = text(dataset, keyword)
    try:
        return kind(stated) if stated else None
    except (TypeError, ValueError, OverflowError):
        return None
