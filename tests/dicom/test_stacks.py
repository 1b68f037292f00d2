"""Which images of a CT study could be slices of one volume: those of one breath, and of one direction."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edge.dicom.image import Header
from edge.dicom.series import arrange
from edge.types import Severity
from tests.dicom.test_series import left_out, plane, series


def test_of_two_phases_in_one_series_one_whole_phase_is_read() -> None:
    phases = [*series(30, acquisition_number=1), *series(40, acquisition_number=2)]
    found = arrange(phases)
    assert {phases[place.header].planes[0].acquisition_number for place in found.places} == {2}
    assert (left_out(found), found.remarks) == ({"other_acquisition": 30}, ())


def shifted(headers: list[Header], mm: float) -> list[Header]:
    return [
        replace(header, planes=(replace(header.planes[0], position_mm=(-200.0, -200.0, -5.0 * number - mm)),))
        for number, header in enumerate(headers)
    ]


def test_two_breaths_half_a_step_apart_are_not_put_into_one_volume() -> None:
    breaths = [*series(50, acquisition_number=1), *shifted(series(50, acquisition_number=2), 2.5)]
    for headers in (breaths, breaths[::-1]):
        found = arrange(headers)
        assert {headers[place.header].planes[0].acquisition_number for place in found.places} == {1}
        assert (found.spacing_mm[0], left_out(found)) == (pytest.approx(5), {"other_acquisition": 50})


@pytest.mark.parametrize("start", [20, 18])
def test_acquisitions_that_follow_each_other_are_one_volume(start: int) -> None:
    headers = [*series(20, acquisition_number=1), *shifted(series(25, acquisition_number=2), 5.0 * start)]
    assert arrange(headers).shape[0] == start + 25


def test_slices_taken_again_fill_the_gap_of_the_first_acquisition() -> None:
    first, again = series(40, acquisition_number=1), series(40, acquisition_number=2)
    found = arrange([*first[:15], *first[20:], *again[15:20]])
    assert (found.shape[0], found.gaps, found.left_out) == (40, (), ())


def test_noise_in_the_direction_parts_no_slices() -> None:
    headers = [
        replace(header, planes=(plane(number, orientation=(1, 0, 0, 0, 1, 0.005 + 1e-6 * (-1) ** number)),))
        for number, header in enumerate(series(50))
    ]
    found = arrange(headers)
    assert (found.shape[0], found.left_out) == (50, ())


def test_slices_that_lie_between_those_that_are_read_are_told() -> None:
    headers = [
        replace(header, planes=(replace(header.planes[0], kernel=("B30f", "B70f")[number % 2]),))
        for number, header in enumerate(series(50))
    ]
    found = arrange(headers)
    assert [(remark.code, remark.severity, remark.values) for remark in found.remarks] == [
        ("mixed_between", Severity.WARN, {"count": "24"})
    ]
    twice = [*series(), *series(kernel="B70f")]
    assert (left_out(arrange(twice)), arrange(twice).remarks) == ({"mixed_series": 40}, ())


@pytest.mark.parametrize(("body_part", "is_chest"), [("CAP", True), ("SCAPULA", False)])
def test_the_shoulder_blade_is_no_chest(body_part: str, is_chest: bool) -> None:
    found = arrange([*series(uid="1.2.5", body_part=body_part), *series(30, uid="1.2.4")])
    assert found.series_instance_uid == ("1.2.5" if is_chest else "1.2.4")


def test_where_a_unit_counts_each_slice_as_an_acquisition_all_are_read() -> None:
    headers = series(40)
    headers = [
        replace(header, planes=(replace(header.planes[0], acquisition_number=number),))
        for number, header in enumerate(headers)
    ]
    assert arrange(headers).shape[0] == 40
