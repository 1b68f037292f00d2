"""Augmentations: greys stay greys, labels stay labels, and every draw is repeatable."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from models.training import augment
from tests.support import inputs

SIDES = [160, 224]


def chest(side: int = 224) -> npt.NDArray[np.float32]:
    return (inputs.phantom(side, side, bits=8) / 255).astype(np.float32)


def labels(side: int = 224) -> npt.NDArray[np.uint8]:
    found = np.zeros((side, side), np.uint8)
    found[side // 4 : side * 3 // 4, side // 6 : side * 5 // 12] = 1
    found[side // 4 : side * 3 // 4, side * 7 // 12 : side * 5 // 6] = 2
    return found


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("seed", range(25))
def test_appearance_keeps_shape_type_and_range(side: int, seed: int) -> None:
    image = chest(side)
    before = image.copy()
    changed = augment.appearance(np.random.default_rng(seed), image)
    assert (changed.shape, changed.dtype) == ((side, side), np.float32)
    assert changed.min() >= 0 and changed.max() <= 1
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("change", [change for change, _ in augment._CHANGES], ids=lambda change: change.__name__)
@pytest.mark.parametrize("seed", range(4))
def test_each_change_keeps_shape_and_type_and_changes_something(
    change: Callable[[augment.Rng, augment.Image], augment.Image], seed: int
) -> None:
    image = chest()
    before = image.copy()
    changed = change(np.random.default_rng(seed), image)
    assert (changed.shape, changed.dtype) == (image.shape, np.float32)
    assert np.isfinite(changed).all()
    np.testing.assert_array_equal(image, before)
    assert np.abs(changed - image).max() > 0


def test_one_seed_makes_one_image() -> None:
    first, second = (augment.appearance(np.random.default_rng(9), chest()) for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("seed", range(10))
def test_the_spectrum_of_an_image_itself_changes_nothing(seed: int) -> None:
    image = chest()
    same = augment.borrow_spectrum(np.random.default_rng(seed), image, image)
    assert same.dtype == np.float32
    np.testing.assert_allclose(same, image, atol=1e-5)


def test_a_borrowed_spectrum_brings_sharpness_and_no_structure() -> None:
    rng = np.random.default_rng(0)
    image, other = chest(), rng.random((224, 224)).astype(np.float32)
    borrowed = augment.borrow_spectrum(rng, image, other)
    assert borrowed.shape == image.shape
    assert borrowed.mean() == pytest.approx(image.mean(), abs=0.02)
    assert np.abs(np.diff(borrowed)).mean() > 1.5 * np.abs(np.diff(image)).mean(), "grain came over"
    assert np.corrcoef(borrowed.ravel(), image.ravel())[0, 1] > 0.5
    assert abs(np.corrcoef(borrowed.ravel(), other.ravel())[0, 1]) < 0.1


@pytest.mark.parametrize("seed", range(10))
def test_opacities_brighten_inside_their_region_alone(seed: int) -> None:
    image = chest()
    where = np.zeros_like(image)
    where[60:160, 40:90] = 1
    clouded = augment.opacities(np.random.default_rng(seed), image, where)
    assert (clouded.shape, clouded.dtype) == (image.shape, np.float32)
    assert (clouded >= image - 1e-6).all() and clouded.max() <= 1
    np.testing.assert_array_equal(clouded[:40], image[:40])
    np.testing.assert_array_equal(clouded[:, 110:], image[:, 110:])


def test_an_affine_of_no_extent_only_flips() -> None:
    image, flips = chest(), set()
    for seed in range(12):
        matrix = augment.random_affine(np.random.default_rng(seed), 224, turn_deg=0, zoom=0, shift=0)
        warped = augment.warp(image, matrix)
        # The mirror axis lies on the border of two pixels, so a flip moves the image by one.
        is_flipped = matrix[0, 0] < 0
        expected = np.roll(image[:, ::-1], 1, axis=1) if is_flipped else image
        np.testing.assert_allclose(warped[:, 1:], expected[:, 1:], atol=1e-5)
        flips.add(bool(is_flipped))
    assert flips == {False, True}


@pytest.mark.parametrize("seed", range(10))
def test_labels_move_with_their_image_and_stay_labels(seed: int) -> None:
    matrix = augment.random_affine(np.random.default_rng(seed), 224, turn_deg=15, zoom=0.2, shift=0.1)
    moved = augment.warp_labels(labels() * np.uint8(100), matrix) / 100
    image = augment.warp((labels() == 1).astype(np.float32), matrix)
    assert set(np.unique(moved)) <= {0, 1, 2}
    assert ((moved == 1) == (image > 0.5)).mean() > 0.98


@pytest.mark.parametrize("seed", range(10))
def test_cut_patches_grey_out_at_most_two_places(seed: int) -> None:
    image = np.ones((192, 192), np.float32)
    cut = augment.cut_patches(np.random.default_rng(seed), image)
    assert set(np.unique(cut)) <= {np.float32(0.5), np.float32(1)}
    assert (cut == 0.5).mean() < 2 / 16 + 0.01
    assert (image == 1).all()


def test_labels_grow_and_shrink() -> None:
    areas = [int((augment.grown(labels(), by) > 0).sum()) for by in (-5, -1, 0, 1, 5)]
    assert areas == sorted(set(areas))
    assert augment.grown(labels(), 3).dtype == np.uint8
