"""Which attributes an image keeps when its patient is taken out, and how each is checked (PS3.15 annex E).

The tables of the Basic Profile name what must go. Free text that they do not name would stay, and so
would a name that somebody typed where a code belongs. So the list here is one of what may stay: what an image needs
to be shown and read. A code stays only where it is one of the standard's own words, a number only
within the bounds of what it measures. Then the tables have their say, also over this list. Rejected:
the tables alone; their package's own code, which looks at nested items not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from dicomanonymizer.dicom_anonymization_databases import dicomfields_2024b as tables
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    DigitalXRayImageStorageForProcessing,
    SecondaryCaptureImageStorage,
)
from pydicom.valuerep import DS

from edge.dicom.attributes import integer, numbers, text
from edge.dicom.pixels import table

CLASSES = frozenset(
    {
        ComputedRadiographyImageStorage,
        DigitalXRayImageStorageForPresentation,
        DigitalXRayImageStorageForProcessing,
        SecondaryCaptureImageStorage,
    }
)
REMOVE, EMPTY, RENEW = "X", "Z", "U"


class OddTableError(ValueError):
    """A table of greys that rises and falls: it may hold anything, and without it the image would look otherwise."""


Check = Callable[[Dataset, str], Any]
"""The value that stays, or None where it is none of those that may."""


def actions() -> dict[int, str]:
    """What the Basic Profile does to each attribute that it names alone (PS3.15 2024b, table E.1-1).

    Of several that it allows, the one that keeps an attribute of type 2 and empties it; what needs
    a dummy value has none here, and goes.
    """
    listed = [(name, tag) for name in dir(tables) if name.endswith("_TAGS") for tag in getattr(tables, name)]
    return {int(Tag(tag)): _action(name) for name, tag in listed if len(tag) == 2 and name != "ALL_TAGS"}


def action_of(keyword: str, known: Mapping[int, str]) -> str | None:
    """The action for one attribute, or None where the profile does not name it."""
    return known.get(tag_for_keyword(keyword) or 0)


def _action(name: str) -> str:
    letters = name.removesuffix("_TAGS").split("_")
    return next((action for action in (EMPTY, RENEW) if action in letters), REMOVE)


def _term(*terms: str) -> Check:
    return lambda dataset, keyword: value if (value := text(dataset, keyword)) in terms else None


def _numbers(low: float, high: float, count: int = 1) -> Check:
    def checked(dataset: Dataset, keyword: str) -> Any:
        values = numbers(dataset, keyword)[:count]
        if len(values) != count or not all(low <= value <= high for value in values):
            return None
        kept = [DS(value, auto_format=True) for value in values]
        return kept if count > 1 else kept[0]

    return checked


def _whole(low: int, high: int) -> Check:
    return lambda dataset, keyword: value if low <= (value := _integer(dataset, keyword, low - 1)) <= high else None


def _integer(dataset: Dataset, keyword: str, otherwise: int) -> int:
    value = integer(dataset, keyword)
    return otherwise if value is None else value


def _image_type(dataset: Dataset, keyword: str) -> list[str] | None:
    first, _, rest = text(dataset, keyword).partition("\\")
    second = rest.partition("\\")[0]
    known = first in {"ORIGINAL", "DERIVED"} and second in {"PRIMARY", "SECONDARY"}
    return [first, second] if known else None


def _orientation(dataset: Dataset, keyword: str) -> list[str] | None:
    parts = text(dataset, keyword).split("\\")
    known = len(parts) == 2 and all(1 <= len(part) <= 3 and set(part) <= set("LRAPHF") for part in parts)
    return parts if known else None


def _coded(known: Mapping[str, tuple[str, str]]) -> Check:
    def checked(dataset: Dataset, keyword: str) -> Sequence | None:
        items = dataset.get(keyword) or []
        found = known.get(text(items[0], "CodeValue")) if len(items) == 1 else None
        if found is None:
            return None
        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = found[0], "SCT", found[1]
        return Sequence([item])

    return checked


def _greys(dataset: Dataset, keyword: str) -> Sequence | None:
    """The first table of a Modality or VOI LUT Sequence, without its explanation.

    Raises
    ------
    OddTableError
        Its entries rise and fall.
    """
    items = dataset.get(keyword) or []
    if not items:
        return None
    length, first = int(items[0].LUTDescriptor[0]) or 65536, int(items[0].LUTDescriptor[1])
    entries = table(items[0].LUTData, length, little_endian=dataset.original_encoding[1] is not False)
    steps = np.diff(entries)
    if not len(entries) or not ((steps >= 0).all() or (steps <= 0).all()):
        raise OddTableError
    item = Dataset()
    item.add_new("LUTDescriptor", "SS" if first < 0 else "US", [len(entries) % 65536, first, 16])
    item.add_new("LUTData", "OW", entries.astype("<u2").tobytes())
    if keyword == "ModalityLUTSequence":
        item.ModalityLUTType = "US"
    return Sequence([item])


_CHEST, _LUNG = ("816094009", "Chest"), ("39607008", "Lung")
_AP, _PA = ("399348003", "antero-posterior"), ("272479007", "postero-anterior")
_LEFT, _RIGHT = ("399173006", "left lateral"), ("399198007", "right lateral")
_REGIONS = {"T-D3000": _CHEST, "51185008": _CHEST, "816094009": _CHEST, "T-28000": _LUNG, "39607008": _LUNG}
_VIEWS = {
    **{"R-10206": _AP, "399348003": _AP, "R-10214": _PA, "272479007": _PA},
    **{"R-10236": _LEFT, "399173006": _LEFT, "R-10232": _RIGHT, "399198007": _RIGHT},
}
_BODY_PARTS = ("CHEST", "THORAX", "LUNG", "HEART", "RIB", "ABDOMEN", "LEG", "KNEE", "HAND", "FOOT", "SKULL")
_ANY, _LENGTH_MM = _numbers(-1e7, 1e7), _numbers(0, 10_000)

ALLOWED: Mapping[str, Check] = MappingProxyType(
    {
        "ImageType": _image_type,
        "StudyDate": _term(""),
        "StudyTime": _term(""),
        "AccessionNumber": _term(""),
        "Modality": _term("CR", "DX", "DR", "RG", "OT", "SC"),
        "ConversionType": _term("DV", "DI", "DF", "WSD", "SD", "SI", "DRW", "SYN"),
        "PresentationIntentType": _term("FOR PRESENTATION", "FOR PROCESSING"),
        "ReferringPhysicianName": _term(""),
        "AnatomicRegionSequence": _coded(_REGIONS),
        "ViewCodeSequence": _coded(_VIEWS),
        "PatientBirthDate": _term(""),
        "PatientSex": _term(""),
        "BodyPartExamined": _term(*_BODY_PARTS),
        "KVP": _numbers(0, 1000),
        "DistanceSourceToDetector": _LENGTH_MM,
        "DistanceSourceToPatient": _LENGTH_MM,
        "ImagerPixelSpacing": _numbers(0.001, 100, count=2),
        "PositionerType": _term("NONE", "COLUMN", "CARM"),
        "ViewPosition": _term("PA", "AP", "LL", "RL", "LLD", "RLD", "LLO", "RLO"),
        "DetectorType": _term("DIRECT", "SCINTILLATOR", "STORAGE", "FILM"),
        "StudyInstanceUID": text,
        "SeriesInstanceUID": text,
        "SOPInstanceUID": text,
        "StudyID": _term(""),
        "SeriesNumber": _term(""),
        "PatientOrientation": _orientation,
        "Laterality": _term("L", "R"),
        "ImageLaterality": _term("L", "R", "U", "B"),
        "PixelSpacing": _numbers(0.001, 100, count=2),
        "BurnedInAnnotation": _term("NO"),
        "PixelSpacingCalibrationType": _term("GEOMETRY", "FIDUCIAL"),
        "PixelIntensityRelationship": _term("LIN", "LOG", "DISP"),
        "PixelIntensityRelationshipSign": _whole(-1, 1),
        "WindowCenter": _ANY,
        "WindowWidth": _ANY,
        "RescaleIntercept": _ANY,
        "RescaleSlope": _ANY,
        "RescaleType": _term("US", "OD", "HU"),
        "VOILUTFunction": _term("LINEAR", "LINEAR_EXACT", "SIGMOID"),
        "LossyImageCompression": _term("00", "01"),
        "LossyImageCompressionRatio": _numbers(1, 1000),
        "LossyImageCompressionMethod": _term("ISO_10918_1", "ISO_14495_1", "ISO_15444_1"),
        "ModalityLUTSequence": _greys,
        "VOILUTSequence": _greys,
        "AcquisitionContextSequence": lambda _dataset, _keyword: Sequence(),
        "PresentationLUTShape": _term("IDENTITY", "INVERSE"),
    }
)
"""In the order of their tags. ``_term("")`` keeps an attribute that has to be there, and nothing in it."""

MAY_BE_EMPTY = frozenset(
    {
        *("StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName", "AnatomicRegionSequence"),
        *("PatientBirthDate", "PatientSex", "BodyPartExamined", "PositionerType", "ViewPosition", "DetectorType"),
        *("StudyID", "SeriesNumber", "PatientOrientation", "Laterality", "AcquisitionContextSequence", "KVP"),
    }
)
"""Attributes of type 2: there and empty where their value may not stay."""
