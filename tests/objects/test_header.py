"""What is taken over from a header: only what is valid, decoded right, and nothing private."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from edge.errors import ObjectError
from edge.objects import header
from edge.objects.case import kinds, make
from edge.types import Kind
from tests.support import cases

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom's, of the values that are broken here
NAMES = {
    "Latin": ("ISO_IR 100", "Müller^Jörg", "Müller^Jörg"),
    "Cyrillic": ("ISO_IR 144", "Люкceмбypг^Анна", "Люкceмбypг^Анна"),
    "Arabic": ("ISO_IR 127", "قباني^لنزار", "قباني^لنزار"),
    "Greek": ("ISO_IR 126", "Διονυσιος", "Διονυσιος"),
    "Thai": ("ISO_IR 166", "สมชาย^ใจดี", "สมชาย^ใจดี"),
    "Chinese": ("GB18030", "Wang^XiaoDong=王^小东", "Wang^XiaoDong=王^小东"),
    "Japanese": (
        ["", "ISO 2022 IR 87"],
        "Yamada^Tarou=山田^太郎=やまだ^たろう",
        "Yamada^Tarou=山田^太郎=やまだ^たろう",
    ),
    "Korean": (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동", "Hong^Gildong=洪^吉洞=홍^길동"),
    "UTF-8": ("ISO_IR 192", "Nguyễn^Thị", "Nguyễn^Thị"),
}


def stored(dataset: Dataset) -> Dataset:
    """A header after its way through a file, as the box receives it: every value still undecoded."""
    content = io.BytesIO()
    dataset.save_as(content, enforce_file_format=True)
    content.seek(0)
    return pydicom.dcmread(content)


@pytest.mark.parametrize("script", NAMES)
def test_a_name_in_any_character_set_leaves_as_utf_8(script: str, tmp_path: Path) -> None:
    charset, name, expected = NAMES[script]
    source = stored(cases.source(SpecificCharacterSet=charset, PatientName=name))
    for kind in cases.every_kind():
        made = make(cases.case(header=source), kind)
        assert cases.faults(made, tmp_path) == []
        read = cases.read_back(made, tmp_path)
        assert read.SpecificCharacterSet == "ISO_IR 192"
        assert str(read.PatientName) == expected


@pytest.mark.parametrize("uid", ["", "1.2.03", "abc", "1..2", ".1", "1.2.", "9.1", "1." + "2" * 64, "1.2\\1.3"])
@pytest.mark.parametrize(
    "keyword, code",
    [
        ("StudyInstanceUID", "bad_study_uid"),
        ("SOPInstanceUID", "bad_image_uid"),
        ("SeriesInstanceUID", "bad_image_uid"),
    ],
)
def test_nothing_is_made_of_an_image_without_a_valid_identifier(keyword: str, code: str, uid: str) -> None:
    with pytest.raises(ObjectError, match=code) as caught:
        make(cases.case(header=cases.source(**{keyword: uid})), Kind.SECONDARY_CAPTURE)
    assert keyword.removesuffix("InstanceUID") in caught.value.text, "the X-ray unit is to be told which one"


def test_nothing_is_made_of_an_absent_header() -> None:
    with pytest.raises(ObjectError, match="bad_study_uid"):
        make(cases.case(header=Dataset()), Kind.SECONDARY_CAPTURE)


@pytest.mark.parametrize(
    "keyword, value, kept",
    [
        ("PatientSex", "X", ""),
        ("PatientSex", "m", "M"),
        ("PatientBirthDate", "19700231", ""),
        ("PatientBirthDate", "1970.02.03", "19700203"),
        ("PatientID", "1" * 65, ""),
        ("PatientID", "one\\two", ""),
        ("StudyTime", "256000", ""),
        ("StudyTime", "101500.5", "101500.5"),
        ("AccessionNumber", "A" * 17, ""),
        ("StudyID", "S" * 16, "S" * 16),
        ("StudyDescription", "D" * 80, "D" * 64),
        ("ReferringPhysicianName", "a^b^c^d^e^f", "a^b^c^d^e f"),
        ("PatientName", "N" * 70 + "=X", "N" * 64 + "=X"),
        ("PatientName", "王" * 64, "王" * 64),
        ("PatientID", "é" * 64, "é" * 64),
        ("AccessionNumber", "ø" * 16, "ø" * 16),
        ("PatientName", "a=b=c=d", "a=b=c"),
        ("PatientName", "Nguyen\u00a0Thi^An\tBinh", "Nguyen Thi^An Binh"),
        ("StudyDescription", "Chest\u3000PA", "Chest PA"),
        ("PatientID", "12\u00a034", ""),
        ("PatientID", "1234\u200b", ""),
        ("PatientID", " 1234 ", "1234"),
        ("AccessionNumber", "12\u00ad34", ""),
        ("StudyID", "1\t2", ""),
        ("StudyDate", "202401 5", ""),
        ("StudyDate", "2024.1.051", ""),
        ("PatientBirthDate", "1970 203", ""),
    ],
)
def test_an_ill_formed_value_is_left_out_or_shortened(keyword: str, value: str, kept: str, tmp_path: Path) -> None:
    source = cases.source(SpecificCharacterSet="ISO_IR 192", **{keyword: value})
    assert str(header.clean(source)[keyword].value) == kept
    assert cases.faults(make(cases.case(header=source), Kind.STRUCTURED_REPORT), tmp_path) == []


@pytest.mark.parametrize("keyword", ["PatientID", "AccessionNumber", "StudyID", "IssuerOfPatientID"])
def test_an_identifier_with_a_letter_that_cannot_be_printed_is_not_that_of_another(keyword: str) -> None:
    damage = {keyword: "12\u00a034".encode(), "SpecificCharacterSet": b"ISO_IR 192"}
    assert not header.clean(damaged(damage)).get(keyword)


@pytest.mark.parametrize("zone", ["-0000", "-1215", "+1415", "-1300", "+1500", "0100", "+0110"])
def test_a_time_zone_that_cannot_be_is_left_out(zone: str) -> None:
    assert "TimezoneOffsetFromUTC" not in header.clean(cases.source(TimezoneOffsetFromUTC=zone))


@pytest.mark.parametrize("zone", ["+0000", "-1200", "-0015", "+1345", "+1400", "-1145"])
def test_a_time_zone_that_can_be_is_kept(zone: str) -> None:
    assert header.clean(cases.source(TimezoneOffsetFromUTC=zone)).TimezoneOffsetFromUTC == zone


@pytest.mark.parametrize(
    "keyword", ["PatientID", "PatientName", "PatientBirthDate", "StudyDate", "StudyID", "Modality"]
)
def test_an_absent_value_is_no_obstacle(keyword: str, tmp_path: Path) -> None:
    source = cases.source()
    if keyword in source:
        delattr(source, keyword)
    for kind in cases.every_kind():
        assert cases.faults(make(cases.case(header=source), kind), tmp_path) == []


@pytest.mark.parametrize("spacing", [[0.0, 0.0], [-0.1, 0.1], [0.143], [float("1e30"), 0.1]])
def test_a_pixel_spacing_that_cannot_be_is_left_out(spacing: list[float], tmp_path: Path) -> None:
    source = cases.source(PixelSpacing=spacing, ImagerPixelSpacing=None)
    for kind in cases.every_kind():
        made = make(cases.case(header=source), kind)
        assert cases.faults(made, tmp_path) == []
        measures = made.get("SharedFunctionalGroupsSequence", [Dataset()])[0].get("PixelMeasuresSequence")
        assert measures is None or spacing[0] > 1


def test_no_private_or_unknown_attribute_is_taken_over() -> None:
    source = cases.source(OtherPatientIDs="SECRET", PatientComments="SECRET", InstitutionName="SECRET")
    block = source.private_block(0x0011, "MAKER", create=True)
    block.add_new(1, "LO", "SECRET")
    for kind in cases.every_kind():
        made = make(cases.case(header=source), kind)
        assert "SECRET" not in str(made)
        assert [element for element in made.iterall() if element.tag.is_private] == []


TEXTS = st.text(st.characters(blacklist_categories=("Cs",)), max_size=80) | st.sampled_from(
    ["", "X", "0.000", "-1", "NaN", "20261399", "99:99", "a^b^c^d^e^f^g", "=" * 4, "\\", "\x1b$B", "é" * 64, "王" * 64]
)
KEYWORDS = st.sampled_from(
    [
        *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "PatientAge", "IssuerOfPatientID", "StudyDate"),
        *("StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName", "StudyDescription", "Modality"),
        *("Manufacturer", "ManufacturerModelName", "DeviceSerialNumber", "StationName", "TimezoneOffsetFromUTC"),
        *("SpecificCharacterSet", "PixelSpacing", "ImagerPixelSpacing", "WindowCenter", "WindowWidth"),
        *("VOILUTFunction", "RescaleSlope", "RescaleIntercept", "PhotometricInterpretation", "StudyInstanceUID"),
        *("SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID", "Rows", "Columns", "FrameOfReferenceUID"),
    ]
)
DAMAGE = st.dictionaries(
    KEYWORDS, st.binary(max_size=80) | TEXTS.map(lambda text: text.encode()), min_size=1, max_size=8
)


@settings(max_examples=20, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(damage=DAMAGE, name=st.sampled_from(["adult", "refer", "no_result"]))
def test_a_damaged_header_ends_in_a_reason_or_in_a_valid_object(
    damage: dict[str, bytes], name: str, tmp_path: Path
) -> None:
    case = cases.case(cases.reports()[name], header=damaged(damage))
    for kind in kinds(case):
        try:
            made = make(case, kind)
        except ObjectError:
            continue
        assert cases.faults(made, tmp_path) == [], kind


def damaged(damage: dict[str, bytes]) -> Dataset:
    """A header whose elements hold these bytes, read from its file; no library has checked them."""
    intact = cases.source()
    content = io.BytesIO()
    intact.save_as(content, enforce_file_format=True)
    content.seek(0)
    read = pydicom.dcmread(content)
    for keyword, value in damage.items():
        _put(read, keyword, value)
    return read


def _put(dataset: Dataset, keyword: str, value: bytes) -> None:
    tag = pydicom.tag.Tag(keyword)
    vr = pydicom.datadict.dictionary_VR(tag)
    raw: Any = pydicom.dataelem.RawDataElement(
        tag, vr, len(value), value, 0, is_implicit_VR=False, is_little_endian=ExplicitVRLittleEndian.is_little_endian
    )
    dict.__setitem__(dataset._dict, tag, raw)
