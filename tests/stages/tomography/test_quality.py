"""What the first look at a CT refuses, and what it warns of."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edge.stages.tomography import quality
from edge.stages.tomography.scan import Scan
from edge.types import Severity
from tests.support.ct_scans import from_head, raw


@pytest.fixture(scope="module")
def scan() -> Scan:
    return raw(from_head((4.0, 2.0, 2.0)).volume)


def codes(scan: Scan) -> list[str]:
    return [remark.code for remark in quality.unaided(scan).remarks]


def with_hu(scan: Scan, hu: np.ndarray) -> Scan:
    return replace(scan, volume=replace(scan.volume, hu=hu.astype(np.int16)))


def test_a_plain_chest_passes_with_its_measures(scan: Scan) -> None:
    outcome = quality.unaided(scan)
    assert outcome.remarks == () and outcome.case.noted == ()
    assert outcome.values["air_hu"] == pytest.approx(-850, abs=15)  # of the lungs: they are most of what is air
    assert outcome.values["tissue_hu"] == pytest.approx(40, abs=15)
    assert outcome.values["noise_hu"] == pytest.approx(12, rel=0.25)
    assert outcome.values["length_mm"] == 300


@pytest.mark.parametrize("is_scaled", [True, False])
def test_values_that_lost_their_intercept_stop_the_reading(scan: Scan, is_scaled: bool) -> None:
    shifted = with_hu(scan, scan.volume.hu + 1024)
    made = replace(shifted, acquisition=replace(scan.acquisition, is_scaled=is_scaled))
    (remark,) = quality.unaided(made).remarks
    assert remark.code == "not_hounsfield" and remark.severity is Severity.STOP


def test_a_header_without_rescale_is_believed_where_air_agrees(scan: Scan) -> None:
    assert codes(replace(scan, acquisition=replace(scan.acquisition, is_scaled=False))) == []


def test_without_air_only_a_header_tells(scan: Scan) -> None:
    solid = with_hu(scan, np.maximum(scan.volume.hu, 0))
    assert codes(solid) == []
    assert codes(replace(solid, acquisition=replace(scan.acquisition, is_scaled=False))) == ["not_hounsfield"]


def test_padding_is_no_air(scan: Scan) -> None:
    hu = scan.volume.hu.copy()
    hu[:, :100] = -1024
    assert codes(with_hu(scan, hu)) == []


def test_three_slices_are_no_volume(scan: Scan) -> None:
    few = replace(scan.volume, hu=scan.volume.hu[30:33])
    made = replace(raw(few), acquisition=replace(scan.acquisition, slice_count=3))
    (remark,) = quality.unaided(made).remarks
    assert remark.code == "volume_too_short" and remark.severity is Severity.STOP
    assert remark.as_json()["text"].startswith("3 slices that cover 12 mm")


def test_slices_far_apart_are_no_volume(scan: Scan) -> None:
    assert "slices_far_apart" in codes(
        replace(scan, acquisition=replace(scan.acquisition, spacing_mm=(20.0, 1.0, 1.0)))
    )


@pytest.mark.parametrize(("thickness", "spacing", "told"), [(1.0, 4.0, False), (5.0, 4.0, True), (1.0, 6.0, True)])
def test_thick_slices_or_wide_steps_are_told(scan: Scan, thickness: float, spacing: float, told: bool) -> None:
    made = replace(scan.acquisition, thickness_mm=thickness, spacing_mm=(spacing, 1.0, 1.0))
    assert codes(replace(scan, acquisition=made)) == ["thick_slices"] * told


def test_contrast_is_told_and_gaps_are_handed_on(scan: Scan) -> None:
    made = replace(scan.acquisition, gaps_mm=(8.0, 12.0), has_contrast=True)
    outcome = quality.unaided(replace(scan, acquisition=made))
    assert [remark.code for remark in outcome.remarks] == ["contrast_agent"]
    assert outcome.values["gaps_mm"] == [8.0, 12.0]


def test_strong_noise_is_told(scan: Scan) -> None:
    noise = np.random.default_rng(0).normal(0, 180, scan.volume.hu.shape)
    assert codes(with_hu(scan, scan.volume.hu + noise)) == ["noisy"]


def test_padding_does_not_pass_for_air_of_the_right_scale(scan: Scan) -> None:
    hu = scan.volume.hu + 500
    hu[:, :100] = -1024
    assert codes(with_hu(scan, hu)) == ["not_hounsfield"]


@pytest.mark.parametrize(
    ("thickness_mm", "code"), [(5.0, "thick_slices"), (7.0, "thick_slices"), (8.0, "coarse_slices")]
)
def test_the_thicker_slices_are_the_more_can_be_missed(scan: Scan, thickness_mm: float, code: str) -> None:
    outcome = quality.unaided(replace(scan, acquisition=replace(scan.acquisition, thickness_mm=thickness_mm)))
    assert [remark.code for remark in outcome.remarks] == [code] == list(outcome.case.noted)
