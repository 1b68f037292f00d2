"""What the objects take over from the header of their image, and nothing that would be invalid there.

Every value is checked against its own value representation (PS3.5 section 6.2). One that breaks it
is left out. Texts for people are shortened instead, and their unprintable letters become spaces; those
of an identifier never, which would be that of another patient. Only the attributes named here are
taken over, so that no private one ever is. All text leaves as UTF-8, whatever it came as. Rejected:
pydicom's own validation, which knows neither the length of a component of a name nor a date that
does not exist.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from types import MappingProxyType

from pydicom.dataset import Dataset
from pydicom.valuerep import DS

from edge.dicom.attributes import integer, pixel_spacing_mm, stated
from edge.dicom.storage_classes import STORAGE_CLASSES
from edge.errors import ObjectError

_UID = re.compile(r"[0-2](\.(0|[1-9][0-9]*))+")
_TIME = re.compile(r"([01][0-9]|2[0-3])([0-5][0-9]([0-5][0-9](\.[0-9]{1,6})?)?)?")
_DATE = re.compile(r"[0-9]{8}|[0-9]{4}\.[0-9]{2}\.[0-9]{2}")  # 1997.07.04, as before DICOM
_ZONE = re.compile(r"(?!-0000)([+-](0[0-9]|1[01])(00|15|30|45)|[+-]1200|\+1[23](00|15|30|45)|\+1400)")
_UTF_8 = "ISO_IR 192"
_SEXES = ("F", "M", "O")
_SHORT, _LONG = 16, 64  # VR SH and LO
_NAME_COMPONENTS, _NAME_GROUPS = 5, 3


def clean(source: Dataset) -> Dataset:
    """The part of a header that objects of a result share with their image, every value valid.

    What is unknown is there and empty where an object needs it (type 2).

    Raises
    ------
    ObjectError
        Where study, series or image have no valid identifier; nothing could be filed or referred to.
    """
    cleaned = _identified(source)
    for keyword, checked in _TAKEN.items():
        setattr(cleaned, keyword, checked(stated(source, keyword)))
    for keyword, checked in _OPTIONAL.items():
        if value := checked(stated(source, keyword)):
            setattr(cleaned, keyword, value)
    for keyword in ("Rows", "Columns"):
        setattr(cleaned, keyword, integer(source, keyword))
    if spacing := pixel_spacing_mm(source):
        cleaned.PixelSpacing = [DS(value, auto_format=True) for value in spacing]
    return cleaned


def check_size(cleaned: Dataset, stored_shape: tuple[int, int]) -> None:
    """Refuse to lay marks over an image of another size than that which was read.

    Raises
    ------
    ObjectError
        ``other_size``.
    """
    if (cleaned.Rows, cleaned.Columns) != stored_shape:
        raise ObjectError("other_size")


def acquisition_equipment(source: Dataset) -> dict[str, str]:
    """Maker, model, serial number and station of the X-ray unit by their names in highdicom; {} without a maker."""
    named = {
        "manufacturer": _shortened(stated(source, "Manufacturer")),
        "manufacturer_model_name": _shortened(stated(source, "ManufacturerModelName")),
        "device_serial_number": _long(stated(source, "DeviceSerialNumber")),
        "station_name": _short(stated(source, "StationName")),
    }
    return {name: value for name, value in named.items() if value} if named["manufacturer"] else {}


def _identified(source: Dataset) -> Dataset:
    cleaned = Dataset()
    cleaned.SpecificCharacterSet = _UTF_8
    cleaned.StudyInstanceUID = _uid(source, "StudyInstanceUID", "bad_study_uid")
    for keyword in ("SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID"):
        setattr(cleaned, keyword, _uid(source, keyword, "bad_image_uid"))
    if cleaned.SOPClassUID not in STORAGE_CLASSES:
        raise ObjectError("bad_image_uid")
    return cleaned


def _uid(source: Dataset, keyword: str, code: str) -> str:
    value = stated(source, keyword)
    if not is_uid(value):
        raise ObjectError(code)
    return value


def is_uid(value: str) -> bool:
    """Whether a text is a unique identifier (PS3.5 section 9.1)."""
    return len(value) <= 64 and _UID.fullmatch(value) is not None


def _date(value: str) -> str:
    digits = value.replace(".", "")
    try:
        return digits if _DATE.fullmatch(value) and datetime.strptime(digits, "%Y%m%d") else ""  # noqa: DTZ007
    except ValueError:
        return ""


def _time(value: str) -> str:
    return value if _TIME.fullmatch(value) else ""


def _age(value: str) -> str:
    return value if re.fullmatch("[0-9]{3}[DWMY]", value) else ""


def _sex(value: str) -> str:
    return value.upper() if value.upper() in _SEXES else ""


def _zone(value: str) -> str:
    return value if _ZONE.fullmatch(value) else ""


def _short(value: str) -> str:
    return value if len(value) <= _SHORT and _is_single(value) else ""


def _long(value: str) -> str:
    return value if len(value) <= _LONG and _is_single(value) else ""


def _is_single(value: str) -> bool:
    return value.isprintable() and "\\" not in value


def _readable(value: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in value.split("\\", maxsplit=1)[0]).strip()


def _shortened(value: str) -> str:
    return _readable(value)[:_LONG].strip()


def _name(value: str) -> str:
    """A person name of at most three groups of five components and 64 characters (VR PN)."""
    groups = _readable(value).split("=")[:_NAME_GROUPS]
    return "=".join(_name_group(group) for group in groups).rstrip("=")


def _name_group(group: str) -> str:
    *first, last = group.split("^", _NAME_COMPONENTS - 1)
    return "^".join([*first, last.replace("^", " ")])[:_LONG].rstrip("^ ")


_TAKEN: Mapping[str, Callable[[str], str]] = MappingProxyType(
    {
        "PatientName": _name,
        "PatientID": _long,
        "PatientBirthDate": _date,
        "PatientSex": _sex,
        "StudyDate": _date,
        "StudyTime": _time,
        "StudyID": _short,
        "AccessionNumber": _short,
        "ReferringPhysicianName": _name,
    }
)
"""Attributes of type 2: there and empty where unknown."""
_OPTIONAL: Mapping[str, Callable[[str], str]] = MappingProxyType(
    {
        "PatientAge": _age,
        "IssuerOfPatientID": _long,
        "StudyDescription": _shortened,
        "TimezoneOffsetFromUTC": _zone,
    }
)
