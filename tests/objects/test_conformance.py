"""Every object of every sort of result, as dciodvfy, dcmdump and dsr2html see it."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from edge.objects.case import kinds, make
from edge.objects.document import wrap
from edge.types import Kind
from tests.support import cases
from tests.support.results import complete_result

PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n\n"


@pytest.mark.parametrize("name", cases.reports())
def test_no_program_finds_a_fault(name: str, tmp_path: Path) -> None:
    case = cases.case(cases.reports()[name])
    assert Kind.SECONDARY_CAPTURE in kinds(case)
    for kind in kinds(case):
        assert cases.faults(make(case, kind), tmp_path) == [], kind


def test_the_programs_do_find_faults(tmp_path: Path) -> None:
    broken = make(cases.case(), Kind.STRUCTURED_REPORT)
    broken.PatientSex = "X"
    del broken.ContentSequence[0].ValueType
    found = cases.faults(broken, tmp_path)
    assert any("PatientSex" in fault for fault in found)
    assert any(fault.startswith("dsr2html") for fault in found)


@pytest.mark.parametrize("document", [PDF, PDF + b"\n"], ids=["even", "odd"])
def test_a_pdf_is_wrapped_whole(document: bytes, tmp_path: Path) -> None:
    wrapped = wrap(cases.case(), document)
    assert cases.faults(wrapped, tmp_path) == []
    read = cases.read_back(wrapped, tmp_path)
    assert read.EncapsulatedDocument[: read.EncapsulatedDocumentLength] == document
    assert read.VerificationFlag == "UNVERIFIED"


@pytest.mark.parametrize("kind", cases.every_kind())
def test_an_object_says_what_made_it_and_that_nobody_verified_it(kind: Kind) -> None:
    case = cases.case()
    made = make(case, kind)
    _assert_identified(made, case.source, cases.BOX_ID)
    hashes = {stage["model_sha256"] for stage in complete_result()["stages"]}
    assert all(sha256 in str(made) for sha256 in hashes)
    assert "not verified" in made.SeriesDescription


def _assert_identified(made: Dataset, source: Dataset, box_id: str) -> None:
    assert (made.Manufacturer, made.ManufacturerModelName) == ("Chest Edge", "Chest Edge")
    assert (made.DeviceSerialNumber, made.SoftwareVersions) == (box_id, "0")
    assert made.StudyInstanceUID == source.StudyInstanceUID
    assert made.PatientID == source.PatientID
    assert made.SeriesInstanceUID != source.SeriesInstanceUID
    assert source.SOPInstanceUID in str(made)
