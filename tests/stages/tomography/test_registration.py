"""Zones of the lungs, and an earlier scan of a patient who lay elsewhere."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk

from edge.stages.tomography import alignment, classification, detection, positioning, registration, severity
from edge.stages.tomography.scan import PriorScan, Scan
from edge.stages.tomography.zones import peripheral, thirds
from edge.types import Zone
from tests.support.ct_phantom import Chest
from tests.support.ct_scans import ball, from_head, outlined, painted, prior_of

SHIFT_MM = (12.0, -20.0, 300.0)
PADDED = ((0, 38), (0, 0), (0, 0))


@pytest.fixture(scope="module")
def made() -> Chest:
    return from_head((4.0, 2.0, 2.0))


@pytest.fixture(scope="module")
def scan(made: Chest) -> Scan:
    return detection.unaided(outlined(made)).case


def shares(scan: Scan) -> dict[str, object]:
    return dict(severity.unaided(scan).values["affected_percent"])


def with_severity(prior: PriorScan, scan: Scan) -> PriorScan:
    return replace(prior, severity={**prior.severity, "affected_percent": shares(scan)})


def test_zones_are_thirds_of_each_lung_by_volume(scan: Scan) -> None:
    assert scan.lungs is not None
    zones = thirds(scan.lungs.labels)
    counts = np.bincount(zones.ravel(), minlength=7)[1:].reshape(2, 3)
    assert abs(counts / counts.sum(1, keepdims=True) - 1 / 3).max() < 0.04
    assert ((zones > 0) == (scan.lungs.labels > 0)).all()
    levels = [float(np.argwhere(zones == 1 + number)[:, 0].mean()) for number in range(3)]
    assert levels == sorted(levels) and list(Zone)[0] is Zone.RIGHT_UPPER
    assert (scan.lungs.labels[zones >= 4] == 2).all()


def test_the_outer_third_lies_at_the_chest_wall(scan: Scan) -> None:
    assert scan.lungs is not None
    outer = peripheral(scan.lungs.labels)[len(scan.volume.hu) // 2]
    columns = np.flatnonzero(scan.lungs.labels[len(scan.volume.hu) // 2].any(0))
    row = outer.shape[0] // 2
    assert outer[row, columns[0]] and outer[row, columns[-1]]
    assert not outer[row, columns[0] + 22] and 0.3 < outer.sum() / (scan.lungs.labels[37] > 0).sum() < 0.8


def test_without_a_prior_the_frame_is_that_of_the_lungs(scan: Scan) -> None:
    outcome = registration.unaided(scan)
    assert outcome.values == {"to": "atlas", "aligned": True, "residual": None}
    assert outcome.case.prior_tissue is None


def test_a_prior_is_found_where_the_patient_lay(scan: Scan) -> None:
    prior = with_severity(prior_of(scan, SHIFT_MM), scan)
    outcome = registration.unaided(replace(scan, prior=prior))
    assert outcome.values["to"] == "prior" and outcome.values["aligned"] and outcome.values["residual"] < 0.03
    matched = np.array(outcome.values["matched"])
    assert abs(matched - np.arange(1, len(matched) + 1)).max() <= 1
    assert outcome.case.prior_tissue is not None and scan.tissue is not None
    assert ((outcome.case.prior_tissue > 0) == (scan.tissue > 0)).mean() > 0.98


def test_a_prior_of_other_slices_matches_by_level(scan: Scan) -> None:
    prior = prior_of(scan, SHIFT_MM)
    affine = prior.affine.copy()
    affine[:3, 0] *= 2
    affine[:3, 3] += prior.affine[:3, 0] / 2
    halved = replace(prior, tissue=np.ascontiguousarray(prior.tissue[::2]), affine=affine)
    matched = np.array(registration.unaided(replace(scan, prior=halved)).values["matched"])
    assert abs(matched[10:60] - (np.arange(10, 60) / 2 + 1)).max() <= 1.5
    assert matched.min() >= 0 and matched.max() <= len(halved.tissue)


def test_nothing_is_compared_with_a_prior_that_lies_differently(scan: Scan) -> None:
    prior = with_severity(prior_of(scan), scan)
    half = prior.tissue.copy()
    half[:, 75:] = 0
    read = registration.unaided(replace(scan, prior=replace(prior, tissue=half)))
    assert [remark.code for remark in read.remarks] == ["prior_not_aligned"]
    assert read.values["aligned"] is False and read.values["matched"] is None
    change = severity.unaided(read.case).values["change"]
    assert (change["zones"], change["lungs"], change["percent"], change["verdict"]) == ({}, {}, None, None)


def first_half(scan: Scan) -> Scan:
    """The same without its lower half, before detection has read it."""
    assert scan.lungs is not None and scan.airways is not None
    half = slice(0, len(scan.volume.hu) // 2)
    lungs = replace(scan.lungs, labels=scan.lungs.labels[half])
    assert scan.zones is not None
    volume = replace(scan.volume, hu=scan.volume.hu[half])
    return replace(scan, volume=volume, lungs=lungs, airways=scan.airways[half], zones=scan.zones[half], tissue=None)


@pytest.mark.parametrize("is_now", [True, False])
def test_half_a_chest_gives_no_verdict_and_the_same_files_no_change(made: Chest, is_now: bool) -> None:
    low = painted(made, ball(made, (50.0, 30.0, 85.0), 34), -450)
    whole, half = outlined(low), first_half(outlined(low))
    now, before = (detection.unaided(one).case for one in ((half, whole) if is_now else (whole, half)))
    prior = with_severity(prior_of(before), before)
    assert before.tissue is not None
    laid = replace(now, prior=prior, prior_tissue=now.tissue if is_now else np.pad(before.tissue, PADDED))
    change = severity.unaided(laid).values["change"]
    assert change["verdict"] is None
    assert not is_now or abs(change["percent"]) < 0.5


def test_levels_beyond_the_prior_have_no_slice_of_it(scan: Scan) -> None:
    assert scan.lungs is not None
    prior, rows = prior_of(scan), len(scan.volume.hu)
    middle = replace(prior, tissue=prior.tissue[20:60], affine=prior.affine @ moved(20))
    same = alignment.Alignment(sitk.TranslationTransform(3), 0.0)
    matched = alignment.matched(scan.volume, scan.lungs.labels > 0, middle, same)
    assert matched == [*[0] * 20, *range(1, 41), *[0] * (rows - 60)]


def moved(slices: int) -> np.ndarray:
    affine = np.eye(4)
    affine[0, 3] = slices
    return affine


def test_change_is_told_by_zone_beyond_what_repeats(made: Chest, scan: Scan) -> None:
    worse = painted(made, ball(made, (10.0, 30.0, 85.0), 34), -450)
    prior = with_severity(prior_of(scan, SHIFT_MM), scan)
    now = registration.unaided(replace(detection.unaided(outlined(worse)).case, prior=prior)).case
    change = severity.unaided(now).values["change"]
    assert change["verdict"] == "worse" and change["study_key"] == "0" * 32
    assert max(change["zones"], key=change["zones"].get) == "left_middle"
    assert abs(change["zones"]["right_upper"]) < 0.1
    assert change["percent"] == pytest.approx(change["lungs"]["left_lung"] / 2, rel=0.3)


def test_the_search_ends_with_its_budget_and_keeps_the_best(scan: Scan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alignment, "_BUDGET_S", -1.0)
    assert scan.lungs is not None
    found = alignment.align(scan.volume, scan.lungs.labels > 0, prior_of(scan, SHIFT_MM))
    assert found.residual < 0.03  # the middles of the lungs alone lie on each other


def test_a_search_that_goes_astray_is_not_kept(scan: Scan, monkeypatch: pytest.MonkeyPatch) -> None:
    astray = sitk.TranslationTransform(3, (150.0, 0.0, 0.0))
    monkeypatch.setattr(alignment, "_stretched", lambda *given: astray)
    monkeypatch.setattr(alignment, "_search", lambda fixed, moving, start, end: astray)
    assert scan.lungs is not None
    assert alignment.align(scan.volume, scan.lungs.labels > 0, prior_of(scan, SHIFT_MM)).residual < 0.03


def test_disease_that_stayed_is_no_change_in_any_zone(made: Chest) -> None:
    ill = detection.unaided(outlined(painted(made, ball(made, (10.0, 30.0, 85.0), 34), -450))).case
    prior = with_severity(prior_of(ill, SHIFT_MM), ill)
    change = severity.unaided(registration.unaided(replace(ill, prior=prior)).case).values["change"]
    assert change["verdict"] == "same" and change["percent"] == 0
    assert max(abs(points) for points in change["zones"].values()) < 0.5


def test_a_tilted_scan_lies_where_its_affine_says(scan: Scan) -> None:
    affine = scan.volume.affine.copy()
    affine[1, 0] = 1.5
    image = alignment.image_of(scan.volume.hu, affine)
    place = image.TransformIndexToPhysicalPoint((10, 20, 30))
    assert place == pytest.approx(tuple((affine @ np.array([30, 20, 10, 1.0]))[:3]))


def test_without_lungs_the_stages_say_that_they_were_skipped(scan: Scan) -> None:
    bare = replace(scan, lungs=None, zones=None, tissue=None)
    stages = (positioning, registration, detection, classification, severity)
    assert all(stage.unaided(bare).is_skipped for stage in stages)
    assert not any(stage.unaided(scan).is_skipped for stage in stages)
