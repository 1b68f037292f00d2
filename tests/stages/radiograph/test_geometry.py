"""Geometry and greys: what every network sees, and what it must not be able to see."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from edge.stages.radiograph import geometry
from edge.stages.radiograph.geometry import WORKING_SIDE

Floats = npt.NDArray[np.float32]


def noise(height: int = WORKING_SIDE, width: int = WORKING_SIDE, seed: int = 1) -> Floats:
    return np.random.default_rng(seed).random((height, width)).astype(np.float32)


def two_lungs() -> npt.NDArray[np.uint8]:
    """A right lung with a bite taken out of it, and a left one."""
    lungs = np.zeros((WORKING_SIDE, WORKING_SIDE), np.uint8)
    lungs[50:170, 30:90] = 1
    lungs[100:120, 60:90] = 0
    lungs[50:170, 130:190] = 2
    return lungs


def test_stretch_brings_the_percentiles_to_the_ends() -> None:
    pixels = np.linspace(0.2, 0.4, 10_000, dtype=np.float32).reshape(100, 100)
    stretched = geometry.stretch(pixels)
    assert (stretched.dtype, stretched.shape) == (np.float32, (100, 100))
    assert (stretched.min(), stretched.max()) == (0, 1)
    assert (stretched == 0).mean() == pytest.approx(0.005, abs=0.002)
    assert (stretched == 1).mean() == pytest.approx(0.005, abs=0.002)
    assert (np.diff(stretched.ravel()) >= 0).all()


@pytest.mark.parametrize("grey", [0.0, 0.37, 1.0])
def test_a_constant_image_stretches_to_zeros(grey: float) -> None:
    assert not geometry.stretch(np.full((20, 30), grey, np.float32)).any()


def test_stretch_is_not_thrown_by_a_few_burnt_in_pixels() -> None:
    plain, marked = noise(), noise()
    marked[:2, :2] = 50
    assert np.abs(geometry.stretch(plain) - geometry.stretch(marked))[3:].max() < 0.01


@pytest.mark.parametrize("shape", [(2000, 1500), (64, 64), (100, 700), (65, 3000)])
@pytest.mark.parametrize("side", [64, 224])
def test_squash_makes_a_square_of_any_image(shape: tuple[int, int], side: int) -> None:
    squashed = geometry.squash(noise(*shape), side)
    assert (squashed.shape, squashed.dtype) == ((side, side), np.float32)
    assert squashed.mean() == pytest.approx(0.5, abs=0.02)


def test_squash_averages_areas_when_it_shrinks() -> None:
    board = np.indices((400, 400)).sum(0).astype(np.float32) % 2
    assert np.abs(geometry.squash(board, 100) - 0.5).max() < 1e-6


def test_squash_grows_smoothly() -> None:
    ramp = np.tile(np.linspace(0, 1, 64, dtype=np.float32), (64, 1))
    steps = np.diff(geometry.squash(ramp, 224)[0])
    assert (steps >= -1e-6).all() and steps.max() < 0.01


def test_a_tile_is_squashed_and_stretched() -> None:
    shown = geometry.tile(0.3 + 0.1 * noise(300, 500), 160)
    assert (shown.shape, shown.min(), shown.max()) == ((160, 160), 0, 1)


UPRIGHT = np.eye(2, 3)


def test_the_box_of_a_mask_is_half_open() -> None:
    mask = np.zeros((20, 30), np.uint8)
    assert geometry.mask_box(mask) is None
    mask[5, 7] = 1
    assert geometry.mask_box(mask) == (5, 7, 6, 8)
    mask[19, 29] = 2
    assert geometry.mask_box(mask) == (5, 7, 20, 30)


def test_the_box_of_lungs_is_in_shares() -> None:
    mask = np.zeros((20, 40), np.uint8)
    with pytest.raises(ValueError, match="empty"):
        geometry.lungs_box(mask)
    mask[5, 8] = 1
    np.testing.assert_allclose(geometry.lungs_box(mask), [[8 / 40, 5 / 20], [9 / 40, 6 / 20]])
    mask[19, 39] = 2
    np.testing.assert_allclose(geometry.lungs_box(mask), [[8 / 40, 5 / 20], [1, 1]])


@pytest.mark.parametrize(("shape", "side"), [((100, 300), 64), ((64, 64), 64), ((37, 11), 200)])
def test_corners_of_the_image_are_corners_of_the_frame(shape: tuple[int, int], side: int) -> None:
    by = geometry.pixel_matrix(UPRIGHT, shape, side)
    corners = np.array([[-0.5, -0.5, 1], [shape[1] - 0.5, shape[0] - 0.5, 1]])
    np.testing.assert_allclose(corners @ by.T, [[-0.5, -0.5], [side - 0.5, side - 0.5]])


def test_labels_are_laid_where_the_matrix_says() -> None:
    labels = np.zeros((50, 100), np.uint8)
    labels[10:20, 20:60] = 2
    twice = np.array([[2.0, 0, -0.2], [0, 2.0, -0.1]])
    laid = geometry.warp_labels(labels, twice, 100)
    assert set(np.unique(laid)) == {0, 2}
    np.testing.assert_allclose(geometry.lungs_box(laid), [[0.2, 0.3], [1, 0.7]], atol=0.011)


def test_hulls_contain_the_lungs_and_what_a_segmentation_left_out() -> None:
    lungs = two_lungs()
    hulls = geometry.lung_hulls(lungs)
    assert set(np.unique(hulls)) == {0, 1}
    assert hulls[lungs > 0].all()
    assert hulls[100:120, 60:90].all(), "the bite belongs to the hull"


def test_hulls_reach_a_margin_beyond_the_lungs_and_no_further() -> None:
    hulls = geometry.lung_hulls(two_lungs())
    reach = 7  # pixels; the shipped classifier was trained with this margin
    assert hulls[60, 30 - reach] and not hulls[60, 30 - reach - 1]
    assert not hulls[:, 90 + reach + 1 : 130 - reach - 1].any(), "lungs have a hull each, none together"


@pytest.mark.parametrize("side", [128, 192])
def test_a_lung_tile_shows_nothing_from_outside_the_hulls(side: int) -> None:
    lungs, pixels = two_lungs(), noise()
    outside = cv2.erode((geometry.lung_hulls(lungs) == 0).astype(np.uint8), np.ones((3, 3))) > 0
    expected = geometry.lung_tile(pixels, lungs, UPRIGHT, side)
    for wild in (0.0, 1.0, -1e6, 1e6):
        changed = pixels.copy()
        changed[outside] = wild
        np.testing.assert_array_equal(geometry.lung_tile(changed, lungs, UPRIGHT, side), expected)


def test_a_lung_tile_shows_what_is_inside() -> None:
    lungs, pixels = two_lungs(), noise()
    changed = pixels.copy()
    changed[100:120, 60:80] = 1
    pair = (geometry.lung_tile(shown, lungs, UPRIGHT, 128) for shown in (changed, pixels))
    assert np.abs(np.subtract(*pair)).max() > 0.1


@pytest.mark.parametrize(("gain", "offset"), [(0.25, 0.0), (0.5, 0.3), (3.0, -0.7)])
def test_a_lung_tile_does_not_depend_on_exposure(gain: float, offset: float) -> None:
    lungs, pixels = two_lungs(), noise()
    exposed = (gain * pixels + offset).astype(np.float32)
    pair = (geometry.lung_tile(shown, lungs, UPRIGHT, 128) for shown in (exposed, pixels))
    assert np.abs(np.subtract(*pair)).max() < 0.01


def test_a_lung_tile_is_a_square_of_greys() -> None:
    shown = geometry.lung_tile(noise(), two_lungs(), UPRIGHT, 192)
    assert (shown.shape, shown.dtype) == ((192, 192), np.float32)
    assert shown.min() >= 0 and shown.max() <= 1


def test_a_lung_without_contrast_is_grey() -> None:
    flat = np.full((WORKING_SIDE, WORKING_SIDE), 0.8, np.float32)
    assert np.abs(geometry.lung_tile(flat, two_lungs(), UPRIGHT, 64) - 0.5).max() < 1e-3
