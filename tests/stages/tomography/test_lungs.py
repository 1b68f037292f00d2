"""Lungs of a phantom whose volumes are known, and of three real series where the public data is at hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edge.stages.tomography import lungs
from edge.stages.tomography.lungs import LEFT, RIGHT, Lungs
from models.evaluation.lung_field import dice
from tests.support.ct_phantom import Chest, chest


def overlap(found: Lungs, made: Chest) -> float:
    return dice(found.labels > 0, made.lungs)


@pytest.mark.parametrize("spacing_mm", [(5.0, 1.5, 1.5), (2.5, 2.0, 2.0)], ids=["thick", "thin"])
def test_both_lungs_are_found_with_their_vessels(spacing_mm: tuple[float, float, float]) -> None:
    made = chest(spacing_mm)
    found = lungs.segment(made.volume)
    for side, true in ((RIGHT, made.right), (LEFT, made.left)):
        assert dice(found.labels == side, true) > 0.98
        assert (found.labels == side).sum() == pytest.approx(true.sum(), rel=0.02)


def test_the_trachea_is_no_lung() -> None:
    made = chest()
    found = lungs.segment(made.volume)
    assert not (found.labels[made.trachea] > 0).any()
    assert dice(found.airways, made.trachea) > 0.9


def test_what_is_dense_at_the_wall_comes_back() -> None:
    made = chest(consolidated=True)
    found = lungs.segment(made.volume)
    assert made.dense.sum() > 500
    assert (found.labels[made.dense] == RIGHT).mean() > 0.75
    aerated = (made.volume.hu < lungs.AERATED_BELOW_HU) & (found.labels > 0)
    assert not aerated[made.dense].any()  # the threshold alone would have lost all of it
    assert overlap(found, made) > 0.97


def test_the_dome_of_the_diaphragm_and_the_heart_stay_outside() -> None:
    made = chest()
    found = lungs.segment(made.volume)
    assert ((found.labels > 0) & ~made.lungs).sum() < 0.02 * made.lungs.sum()


def test_lungs_that_touch_are_parted() -> None:
    made = chest(joined=True)
    found = lungs.segment(made.volume)
    assert dice(found.labels == RIGHT, made.right) > 0.97
    assert dice(found.labels == LEFT, made.left) > 0.97


def test_slices_from_the_head_down_give_the_same_lungs() -> None:
    up, down = (chest(from_head=flag) for flag in (False, True))
    found = lungs.segment(up.volume), lungs.segment(down.volume)
    assert dice(found[0].labels > 0, found[1].labels[::-1] > 0) > 0.995
    assert dice(found[1].labels == RIGHT, down.right) > 0.98


def test_a_volume_seen_from_above_has_its_right_lung_on_the_right_of_the_image() -> None:
    """The side comes from the geometry, not from the place in the picture."""
    made = chest()
    affine = made.volume.affine.copy()
    affine[0, 2] *= -1
    mirrored = replace(made.volume, hu=np.ascontiguousarray(made.volume.hu[..., ::-1]), affine=affine)
    found = lungs.segment(mirrored).labels[..., ::-1]
    assert dice(found == RIGHT, made.right) > 0.98


def test_one_lung_alone_has_its_side() -> None:
    made = chest()
    hu = made.volume.hu.copy()
    hu[made.right] = 40
    found = lungs.segment(replace(made.volume, hu=hu)).labels
    assert dice(found == LEFT, made.left) > 0.97
    assert not (found == RIGHT).any()


def test_padding_outside_of_the_scanner_is_no_lung() -> None:
    made = chest()
    hu = made.volume.hu.copy()
    hu[hu < -980] = -2000
    assert overlap(lungs.segment(replace(made.volume, hu=hu)), made) > 0.98


@pytest.mark.parametrize("value", [-1000, 40])
def test_where_there_are_no_lungs_none_are_found(value: int) -> None:
    made = chest((10.0, 3.0, 3.0))
    nothing = replace(made.volume, hu=np.full(made.volume.hu.shape, value, np.int16))
    found = lungs.segment(nothing)
    assert not found.labels.any() and not found.airways.any()
