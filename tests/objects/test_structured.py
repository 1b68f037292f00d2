"""The structured report, read back through highdicom into the values of the result."""

from __future__ import annotations

import re
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from highdicom.sr import srread
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes as dicom

from edge.objects import codes
from edge.objects.case import make
from edge.types import Kind
from tests.support import cases
from tests.support.results import complete_result


def reread(report: dict[str, Any], folder: Path) -> Any:
    """A report as highdicom reads its file."""
    path = folder / "report.dcm"
    make(cases.case(report), Kind.STRUCTURED_REPORT).save_as(path, enforce_file_format=True)
    return srread(path)


def numbers(groups: Any, name: Any) -> list[float]:
    """The values of one measurement over groups."""
    return [float(measured.value) for group in groups for measured in group.get_measurements(name=name)]


def words(dataset: Dataset) -> str:
    """Every text and every meaning of a code in a report."""
    return "\n".join(str(e.value) for e in dataset.iterall() if e.keyword in ("TextValue", "CodeMeaning"))


def test_findings_read_back_as_they_were(tmp_path: Path) -> None:
    report = complete_result()
    content = reread(report, tmp_path).content
    for finding in report["findings"]:
        (group,) = content.get_planar_roi_measurement_groups(finding_type=codes.FINDINGS[finding["code"]])
        assert numbers([group], codes.CERTAINTY) == [pytest.approx(100 * finding["confidence"])]
        assert numbers([group], codes.FINDING_SHARE) == [finding["lung_percent"]]
        (site,) = group.finding_sites
        side, third = finding["zone"].split("_")
        assert (site.value, site.laterality) == (codes.THIRDS[third], codes.SIDES[side])
        points = group.roi.value[:-1]
        assert np.abs(points - (np.array(finding["contour"])[:, ::-1] + 0.5)).max() < 0.01


def test_lungs_heart_and_severity_read_back_as_they_were(tmp_path: Path) -> None:
    report = complete_result()
    content = reread(report, tmp_path).content
    lungs = content.get_planar_roi_measurement_groups(finding_type=codes.LUNG)
    assert [group.finding_sites[0].laterality for group in lungs] == [codes.SIDES["right"], codes.SIDES["left"]]
    percent = report["detection"]["percent"]
    assert numbers(lungs, codes.OPAQUE) == [percent["right_lung"], percent["left_lung"]]
    groups = content.get_image_measurement_groups()
    assert numbers(groups, codes.CARDIOTHORACIC_RATIO) == [report["segmentation"]["cardiothoracic"]["ratio"]]
    severity = report["severity"]
    for name, key in ((codes.EXTENT, "extent"), (codes.DEGREE, "opacity"), (codes.BRIXIA, "brixia")):
        assert numbers(groups, name) == [severity[key]]
    assert numbers(groups, codes.OPAQUE_BOTH) == [severity["percent"]]
    assert numbers(groups, codes.BRIXIA_ZONE) == list(severity["zones"].values())
    assert _evaluated(groups, codes.SEVERITY) == [codes.GRADES["moderate"]]


@pytest.mark.parametrize("name", ["adult", "child", "normal"])
def test_probabilities_and_decision_read_back_as_they_were(name: str, tmp_path: Path) -> None:
    report = cases.reports()[name]
    groups = reread(report, tmp_path).content.get_image_measurement_groups()
    found = {
        class_name: numbers(
            [group for group in groups if group.finding_type and group.finding_type == code], codes.CERTAINTY
        )
        for class_name, code in codes.CLASSES.items()
    }
    expected = report["classification"]["probabilities"]
    assert {name: values for name, values in found.items() if values} == {
        name: [pytest.approx(100 * probability)] for name, probability in expected.items()
    }
    assert _evaluated(groups, codes.DECISION) == [codes.DECISIONS[report["classification"]["decision"]]]
    assert _evaluated(groups, codes.AGE_GROUP) == [codes.AGE_GROUPS[report["classification"]["group"]]]


def test_an_abstention_holds_no_probability_no_mark_and_no_severity(tmp_path: Path) -> None:
    report = complete_result("refer", reasons=[cases.MIRRORED | {"code": "undecided", "text": "Neither, nor."}])
    read = reread(report, tmp_path)
    groups = [*read.content.get_image_measurement_groups(), *read.content.get_planar_roi_measurement_groups()]
    measured = {str(m.name.meaning) for group in groups for m in group.get_measurements()}
    assert measured == {"Cardiothoracic ratio"}
    assert _evaluated(groups, codes.DECISION) == [codes.DECISIONS["refer"]]
    said = words(read)
    assert "No claim: a doctor must read it" in said
    assert "Neither, nor. (undecided)" in said
    assert not any(word in said for word in ("neumonia caused", "Certainty", "consolidation", "Moderate"))


def test_a_refused_image_says_why_and_nothing_else(tmp_path: Path) -> None:
    read = reread(cases.refused(), tmp_path)
    assert "No chest. (not_frontal_chest)" in words(read)
    (group,) = read.content.get_image_measurement_groups()
    assert _evaluated([group], codes.DECISION) == [codes.DECISIONS["no_result"]]
    assert group.get_measurements() == []
    assert "chest X-ray" not in words(read)


def _sides(dataset: Dataset) -> set[str]:
    """Every text of an object that names a side; where its words begin is none."""
    own = [e for e in dataset.iterall() if e.keyword != "BoundingBoxTextHorizontalJustification"]
    texts = {str(e.value) for e in own if e.VR in ("LO", "UT", "ST", "LT", "CS", "UC", "SH")}
    return {text for text in texts if re.search(r"\b(right|left)(?![a-z])", text.lower().replace("_", " "))}


@pytest.mark.parametrize("kind", [k for k in cases.every_kind() if k is not Kind.SECONDARY_CAPTURE])
def test_no_object_names_a_side_where_sides_are_in_doubt(kind: Kind) -> None:
    known, doubtful = make(cases.case(), kind), make(cases.case(cases.reports()["mirrored"]), kind)
    assert _sides(known) and not _sides(doubtful)


def test_lungs_and_zones_are_told_apart_without_their_sides(tmp_path: Path) -> None:
    content = reread(cases.reports()["mirrored"], tmp_path).content
    lungs = content.get_planar_roi_measurement_groups(finding_type=codes.LUNG)
    assert [group.tracking_identifier for group in lungs] == ["One lung", "Other lung"]
    assert [group.finding_sites[0].laterality for group in lungs] == [None, None]
    groups = content.get_image_measurement_groups()
    assert numbers(groups, codes.BRIXIA_ZONE) == list(complete_result()["severity"]["zones"].values())


def test_a_chest_without_a_classification_is_referred(tmp_path: Path) -> None:
    read = reread(complete_result(classification=None), tmp_path)
    assert _evaluated(read.content.get_image_measurement_groups(), codes.DECISION) == [codes.DECISIONS["refer"]]
    assert "No claim: a doctor must read it" in words(read)


def test_the_report_names_its_algorithms_and_is_not_verified(tmp_path: Path) -> None:
    read = reread(complete_result(), tmp_path)
    assert (read.VerificationFlag, read.CompletionFlag, read.PreliminaryFlag) == (
        "UNVERIFIED",
        "COMPLETE",
        "PRELIMINARY",
    )
    said = words(read)
    assert "Research use, not a medical device. AI result, not verified." in said
    for stage in complete_result()["stages"]:
        assert f"SHA-256 {stage['model_sha256']}" in said
        assert stage["model"] in said
    for remark in complete_result()["quality"]:
        assert f"({remark['code']})" in said
    groups = read.content.get_image_measurement_groups()
    (group,) = [group for group in groups if group.finding_type and group.finding_type == codes.SEVERITY]
    algorithm = [item.value for item in group[0].ContentSequence if item.name == dicom.DCM.AlgorithmName]
    assert algorithm == ["severity"]


def test_a_change_against_an_earlier_image_is_said(tmp_path: Path) -> None:
    groups = reread(cases.reports()["compared"], tmp_path).content.get_image_measurement_groups()
    assert _evaluated(groups, codes.CHANGE) == [codes.CHANGES["worse"]]


def test_every_code_of_our_own_can_be_written() -> None:
    """A Code Value of more than 16 characters or a meaning of more than 64 would be invalid."""
    values = [value for value in vars(codes).values() if isinstance(value, codes.Code)]
    tables = [table.values() for table in vars(codes).values() if isinstance(table, MappingProxyType)]
    every = [*values, *(code for table in tables for code in table)]
    own = [code for code in every if getattr(code, "scheme_designator", "") == codes.SCHEME]
    assert len(own) > 20
    assert [code for code in own if len(code.value) > 16 or len(code.meaning) > 64] == []
    assert len({code.value for code in own}) == len(set(own))


def _evaluated(groups: Any, name: Any) -> list[Any]:
    return [found.value for group in groups for found in group.get_qualitative_evaluations(name=name)]
