"""What tells that a CT does not show the whole of both lungs, or not at rest."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edge.stages.tomography import positioning
from edge.stages.tomography.scan import Scan
from edge.types import Remark
from tests.support.ct_scans import from_head, outlined


@pytest.fixture(scope="module")
def scan() -> Scan:
    return outlined(from_head((4.0, 2.0, 2.0)))


def cut(scan: Scan, *parts: slice) -> Scan:
    assert scan.lungs is not None
    lungs = replace(scan.lungs, labels=scan.lungs.labels[parts])
    return replace(scan, volume=replace(scan.volume, hu=scan.volume.hu[parts]), lungs=lungs)


def codes(scan: Scan) -> list[str]:
    """What is remarked on beside the bases: the phantom's lungs are ellipsoids, and their backs leave the wall."""
    return [remark.code for remark in remarks(scan)]


def remarks(scan: Scan) -> list[Remark]:
    return [remark for remark in positioning.unaided(scan).remarks if remark is not positioning.BASES]


def test_a_whole_chest_is_quiet(scan: Scan) -> None:
    assert codes(scan) == []


def test_without_lungs_nothing_is_measured(scan: Scan) -> None:
    assert positioning.unaided(replace(scan, lungs=None)).values == {}


def test_a_scan_that_begins_or_ends_within_the_lungs_is_told(scan: Scan) -> None:
    assert codes(cut(scan, slice(25, None))) == ["cut_off_above"]
    assert codes(cut(scan, slice(None, 50))) == ["cut_off_below"]


def test_a_narrow_field_of_view_is_told(scan: Scan) -> None:
    everything = slice(None)
    assert codes(cut(scan, everything, everything, slice(45, None))) == ["cut_off_at_side"]


def test_a_small_circle_of_reconstruction_is_told(scan: Scan) -> None:
    rows, columns = np.ogrid[: scan.volume.hu.shape[1], : scan.volume.hu.shape[2]]
    outside = np.hypot(rows - 74.5, columns - 99.5) > 62
    hu = np.where(outside, np.int16(-2000), scan.volume.hu)
    assert scan.lungs is not None
    lungs = replace(scan.lungs, labels=np.where(outside, np.uint8(0), scan.lungs.labels))
    assert codes(replace(scan, volume=replace(scan.volume, hu=hu), lungs=lungs)) == ["cut_off_at_side"]


def test_metal_is_told_with_its_volume(scan: Scan) -> None:
    hu = scan.volume.hu.copy()
    hu[30:35, 70:75, 95:100] = 3071
    (remark,) = remarks(replace(scan, volume=replace(scan.volume, hu=hu)))
    assert remark.code == "metal" and remark.values == {"volume": "2.0"}


def test_a_breath_between_two_slices_is_told(scan: Scan) -> None:
    assert scan.lungs is not None
    labels = scan.lungs.labels.copy()
    labels[40:] = np.roll(labels[40:], 6, axis=1)
    assert codes(replace(scan, lungs=replace(scan.lungs, labels=labels))) == ["moved"]


def test_bases_that_are_unlike_lungs_are_told_and_noted(scan: Scan) -> None:
    outcome = positioning.unaided(scan)
    assert [remark.code for remark in outcome.remarks] == ["unusual_bases"] == list(outcome.case.noted)
    assert outcome.values["base_back_mm"] > 30
