"""Header values: what is absent, broken or hostile never keeps an image from being read."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import pytest
from pydicom.dataset import Dataset

from edge.dicom.attributes import age_years, header_of, pixel_spacing_mm
from edge.dicom.image import header_from_json, header_to_json
from edge.dicom.query import patient_of


def dataset(**elements: Any) -> Dataset:
    made = Dataset()
    for keyword, value in elements.items():
        setattr(made, keyword, value)
    return made


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        ({"PixelSpacing": [0.2, 0.1]}, (0.2, 0.1)),
        ({"ImagerPixelSpacing": [0.15, 0.15]}, (0.15, 0.15)),
        ({"PixelSpacing": [0.2, 0.2], "ImagerPixelSpacing": [0.15, 0.15]}, (0.2, 0.2)),
        ({"PixelSpacing": ["0.000", "0.000"]}, None),
        ({"PixelSpacing": [0, 0], "ImagerPixelSpacing": [0.15, 0.15]}, (0.15, 0.15)),
        ({"PixelSpacing": [-0.1, 0.1]}, None),
        ({"PixelSpacing": 0.1}, None),
        ({}, None),
    ],
)
def test_spacing_is_positive_or_absent(elements: dict[str, Any], expected: tuple[float, float] | None) -> None:
    assert pixel_spacing_mm(dataset(**elements)) == expected


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        ({"PatientAge": "064Y"}, 64.0),
        ({"PatientAge": "006M"}, 0.5),
        ({"PatientAge": "026W"}, 0.498),
        ({"PatientAge": "010D"}, 0.027),
        ({"PatientBirthDate": "20000101", "StudyDate": "20100101"}, 10.0),
        ({"PatientAge": "000D"}, 0.0),
        ({"PatientAge": "000Y"}, None),
        ({"PatientAge": "000Y", "PatientBirthDate": "20000101", "StudyDate": "20100101"}, 10.0),
        ({"PatientAge": "999Y"}, None),
        ({"PatientAge": "009Y", "PatientBirthDate": "20000101", "StudyDate": "20100101"}, 9.0),
        ({"PatientAge": "003Y", "PatientBirthDate": "20000101", "StudyDate": "20100101"}, None),
        ({"PatientBirthDate": "20300101", "StudyDate": "20100101"}, None),
        ({"PatientBirthDate": "18000101", "StudyDate": "20100101"}, None),
        ({"PatientBirthDate": "20000101"}, None),
        ({}, None),
    ],
)
def test_age_is_stated_or_computed_or_absent(elements: dict[str, Any], expected: float | None) -> None:
    age = age_years(dataset(**elements))
    assert age is None if expected is None else age == pytest.approx(expected, abs=0.005)


@pytest.mark.parametrize("name", ["Okonkwo^Ada^Ngozi^^", "=山田^太郎", "Yamada^Tarou=山田^太郎=やまだ^たろう"])
def test_a_name_keeps_all_its_parts(name: str) -> None:
    header = header_of(dataset(PatientName=name))
    assert header.patient is not None and header.patient.name == name


def test_several_values_where_one_belongs_are_kept_as_they_stand() -> None:
    header = header_of(dataset(PatientID="A\\B"))
    assert header.patient is not None and header.patient.patient_id == "A\\B"


def test_control_characters_do_not_get_through() -> None:
    header = header_of(dataset(PatientName="Okonkwo\x1b[31m^Ada"))
    assert header.patient is not None and header.patient.name == "Okonkwo[31m^Ada"


@pytest.mark.parametrize("value", ["12\x0034", "12\x1b[31m34", "12\n34"])
def test_a_number_with_a_letter_that_cannot_be_printed_is_not_taken_for_a_shorter_one(value: str) -> None:
    found = dataset(PatientID=value, AccessionNumber=value)
    header = header_of(found)
    assert header.patient is not None
    assert (header.patient.patient_id, header.accession_number, patient_of(found)["patient_id"]) == ("", "", "")


def test_what_pads_a_number_is_no_part_of_it() -> None:
    header = header_of(dataset(PatientID=" 1234\r\n", AccessionNumber="77\x00"))
    assert header.patient is not None
    assert (header.patient.patient_id, header.accession_number) == ("1234", "77")


def test_an_acquisition_time_is_found_wherever_it_stands() -> None:
    elements = {"StudyDate": "20260301", "StudyTime": "101500", "AcquisitionDate": "20260302"}
    assert header_of(dataset(**elements)).acquired_at == datetime(2026, 3, 2)
    assert header_of(dataset(StudyDate="20260301", StudyTime="101500")).acquired_at == datetime(2026, 3, 1, 10, 15)
    assert header_of(dataset()).acquired_at is None


def test_a_header_survives_its_way_through_json() -> None:
    header = header_of(
        dataset(
            StudyInstanceUID="1.2",
            PatientName="A^B",
            PatientBirthDate="19700102",
            StudyDate="20260301",
            InstanceNumber=3,
        )
    )
    assert header.patient is not None and header.patient.birth_date == date(1970, 1, 2)
    assert header_from_json(header_to_json(header)) == header
