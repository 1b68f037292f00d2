"""The structured report of a CT, read back through highdicom into the values of its result."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from highdicom.sr import srread

from edge.objects import codes
from edge.objects.case import Case, make
from edge.types import Kind
from tests.support import cases, ct_cases, ct_result

SIDES = {"right_lung": codes.SIDES["right"], "left_lung": codes.SIDES["left"], "both": codes.BOTH}


def reread(case: Case, folder: Path) -> Any:
    """The groups of a report as highdicom reads its file."""
    made = make(case, Kind.STRUCTURED_REPORT)
    assert cases.faults(made, folder) == []
    made.save_as(folder / "sr.dcm", enforce_file_format=True)
    return srread(folder / "sr.dcm")


def measured(group: Any, name: Any) -> list[float]:
    """The values of one measurement of a group."""
    return [float(value.value) for value in group.get_measurements(name=name)]


def named(groups: Any, name: str) -> Any:
    """The group with this tracking identifier."""
    (found,) = [group for group in groups if group.tracking_identifier == name]
    return found


def test_volumes_shares_and_densities_read_back_as_they_were(tmp_path: Path) -> None:
    case = ct_cases.case(tmp_path)
    groups = reread(case, tmp_path).content.get_image_measurement_groups()
    detection = case.report["detection"]
    for lung, name in (("right_lung", "Right lung"), ("left_lung", "Left lung"), ("both", "Both lungs")):
        group = named(groups, name)
        assert group.finding_sites[0].laterality == SIDES[lung]
        assert measured(group, codes.VOLUME) == [case.report["segmentation"]["lung_volume_ml"][lung]]
        assert measured(group, codes.OPAQUE) == [detection["percent"][lung]]
        (density,) = group.get_measurements(name=codes.MEAN_HU)
        assert (density.value, density.unit) == (detection["mean_hu"][lung], codes.HOUNSFIELD)
    for code in codes.FINDINGS:
        group = named(groups, f"All {code}")
        kind = "ground_glass" if code.startswith("ground") else code
        assert measured(group, codes.VOLUME) == list(detection[f"{kind}_ml"].values())
        assert measured(group, codes.OPAQUE_BOTH) == [detection[f"{kind}_percent"]]
    spread = detection["distribution"]
    assert measured(named(groups, "Distribution"), codes.PERIPHERAL) == [spread["peripheral_percent"]]
    assert measured(named(groups, "Distribution"), codes.BASAL) == [spread["basal_percent"]]


def test_scores_and_change_read_back_as_they_were(tmp_path: Path) -> None:
    severity = ct_result.severity(change=ct_result.change("0" * 32))
    groups = reread(ct_cases.case(tmp_path, report=ct_cases.report(severity=severity)), tmp_path)
    group = named(groups.content.get_image_measurement_groups(), "Severity")
    assert measured(group, codes.CT_SCORE) == [severity["ct_score"]]
    assert measured(group, codes.CT_SCORE_ZONE) == list(severity["zones"].values())
    assert measured(group, codes.OPAQUE) == [severity["affected_percent"][zone] for zone in severity["zones"]]
    assert measured(group, codes.OPAQUE_BOTH) == [severity["affected_percent"]["both"]]
    evaluated = {item.name: item.value for item in group.get_qualitative_evaluations()}
    assert evaluated == {codes.SEVERITY: codes.GRADES["mild"], codes.CT_CHANGE: codes.CHANGES["worse"]}


@pytest.mark.parametrize("enhanced", [False, True], ids=["slices", "enhanced"])
def test_a_lesion_names_the_slice_where_it_is_largest(enhanced: bool, tmp_path: Path) -> None:
    case = ct_cases.case(tmp_path, ct_cases.WAYS["reversed"], enhanced=enhanced)
    assert case.slices is not None
    groups = reread(case, tmp_path).content.get_image_measurement_groups()
    for number, lesion in enumerate(case.report["findings"], 1):
        group = named(groups, f"Finding {number}")
        (image,) = group.source_images
        assert image.referenced_sop_instance_uid == case.slices.meta.slice_uids[lesion["slice"] - 1]
        assert image.referenced_frame_numbers == ([lesion["slice"]] if enhanced else None)
        assert group.finding_type == codes.FINDINGS[lesion["code"]]
        assert measured(group, codes.VOLUME) == [lesion["volume_ml"]]
        assert measured(group, codes.FINDING_SHARE) == [lesion["lung_percent"]]
        assert measured(group, codes.MEAN_HU) == [lesion["mean_hu"]]


def test_the_evidence_is_every_slice_once(tmp_path: Path) -> None:
    case = ct_cases.case(tmp_path, ct_cases.WAYS["one missing"])
    assert case.slices is not None
    read = reread(case, tmp_path)
    series = read.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0]
    named_uids = [item.ReferencedSOPInstanceUID for item in series.ReferencedSOPSequence]
    assert series.SeriesInstanceUID == case.source.SeriesInstanceUID
    assert named_uids == [uid for uid in case.slices.meta.slice_uids if uid]
    assert "" in case.slices.meta.slice_uids


@pytest.mark.parametrize("decision", ["normal", "abnormal", "refer", None])
def test_a_decision_has_words_of_a_ct(decision: str | None, tmp_path: Path) -> None:
    case = ct_cases.case(tmp_path, report=ct_cases.report(decision))
    read = reread(case, tmp_path)
    group = named(read.content.get_image_measurement_groups(), "Decision")
    (evaluated,) = group.get_qualitative_evaluations(name=codes.DECISION)
    assert evaluated.value == codes.CT_DECISIONS[decision or "no_result"]
    assert "pneumonia" not in str(read).lower()


def test_an_abstention_has_volumes_of_the_lungs_and_no_measure_of_disease(tmp_path: Path) -> None:
    case = ct_cases.case(tmp_path, report=ct_cases.report("refer"))
    names = [g.tracking_identifier for g in reread(case, tmp_path).content.get_image_measurement_groups()]
    assert names == ["Decision", "Right lung", "Left lung", "Both lungs"]


def test_a_pattern_has_its_probability(tmp_path: Path) -> None:
    whole = ct_cases.report()
    whole["classification"] |= {"probabilities": {"covid19": 0.81}, "set": ["covid19"]}
    groups = reread(ct_cases.case(tmp_path, report=whole), tmp_path).content.get_image_measurement_groups()
    assert measured(named(groups, "Class covid19"), codes.CERTAINTY) == [81.0]


def test_without_its_pictures_a_report_names_no_slice(tmp_path: Path) -> None:
    case = replace(ct_cases.case(tmp_path), slices=None)
    groups = reread(case, tmp_path).content.get_image_measurement_groups()
    assert named(groups, "Finding 1").source_images == []
