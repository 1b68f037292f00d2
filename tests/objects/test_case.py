"""Which objects a result can have, and that the same result always gives the same ones."""

from __future__ import annotations

import io
from typing import Any

import pytest
from pydicom.dataset import Dataset

from edge.errors import ObjectError
from edge.objects import equipment
from edge.objects.case import kinds, make
from edge.types import Kind
from tests.support import cases
from tests.support.results import complete_result

OVER_THE_IMAGE = {Kind.SEGMENTATION, Kind.PRESENTATION_STATE}


@pytest.mark.parametrize("state", ["failed", "quarantined"])
def test_what_was_not_read_has_no_object(state: str) -> None:
    case = cases.case(complete_result(state=state))
    assert kinds(case) == ()
    with pytest.raises(ObjectError, match="nothing_to_show"):
        make(case, Kind.SECONDARY_CAPTURE)


def test_a_ct_that_no_stage_looked_at_has_no_object() -> None:
    assert kinds(cases.case(cases.refused() | {"stages": []})) == ()


@pytest.mark.parametrize("name", ["no_result", "implausible"])
def test_without_believed_outlines_nothing_lies_over_the_image(name: str) -> None:
    case = cases.case(cases.reports()[name])
    assert set(kinds(case)) == set(cases.every_kind()) - OVER_THE_IMAGE
    with pytest.raises(ObjectError, match="nothing_to_show"):
        make(case, Kind.SEGMENTATION)


@pytest.mark.parametrize("kind", cases.every_kind())
def test_the_same_result_gives_the_same_bytes(kind: Kind) -> None:
    assert _bytes(kind) == _bytes(kind)


def test_no_two_objects_share_an_identifier() -> None:
    others = [cases.case(version=2), cases.case(study_key="1" * 32), cases.case(box_id="2" * 32)]
    made = [make(case, kind) for case in (cases.case(), *others) for kind in cases.every_kind()]
    assert len({o.SOPInstanceUID for o in made} | {o.SeriesInstanceUID for o in made}) == 2 * len(made)


@pytest.mark.parametrize("changes", [{"completed_at": "2026-11-24T12:00:00+00:00"}, {"findings": []}])
def test_another_reading_under_the_same_version_has_other_identifiers(changes: dict[str, Any]) -> None:
    cases_of_both = [cases.case(), cases.case(complete_result(**changes))]
    made = [make(case, kind) for case in cases_of_both for kind in cases.every_kind()]
    assert len({o.SOPInstanceUID for o in made} | {o.SeriesInstanceUID for o in made}) == 2 * len(made)
    first, second = (_tracked(o) for o in made if o.Modality == "SR")
    assert first and second and not first & second


def _tracked(report: Dataset) -> set[str]:
    found = {str(element.value) for element in report.iterall() if element.keyword == "UID"}
    return found - {equipment.uid("device", cases.BOX_ID)}


def test_an_object_bears_the_time_of_its_result_and_not_that_of_its_making() -> None:
    report = complete_result(completed_at="2026-03-01T23:20:00+00:00")
    header = cases.source(TimezoneOffsetFromUTC="+0530")
    for kind in cases.every_kind():
        made = make(cases.case(report, header), kind)
        assert (made.SeriesDate, made.SeriesTime) == ("20260302", "045000")
        assert made.TimezoneOffsetFromUTC == "+0530"
        assert {str(made[name].value) for name in ("ContentDate", "InstanceCreationDate") if name in made} == {
            "20260302"
        }


def _bytes(kind: Kind) -> bytes:
    header = cases.source(StudyInstanceUID="1.2.3", SeriesInstanceUID="1.2.4", SOPInstanceUID="1.2.5")
    content = io.BytesIO()
    make(cases.case(header=header), kind).save_as(content, enforce_file_format=True)
    return content.getvalue()
