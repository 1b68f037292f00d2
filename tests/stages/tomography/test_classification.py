"""Which slices are classified, what is made of the answers, and what the shipped network can and cannot see."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from edge.engines import registry
from edge.stages.tomography.classification import pooled, prediction_set, probability, slices_to_read
from edge.stages.tomography.slices import LUNG_GREY, lung_crop
from tests.support.ct_phantom import chest
from tests.support.engines import ScriptedEngine, card

CARD = card(
    "ct_covid19",
    side=128,
    outputs=("covid19",),
    thresholds={"slope": 0.5, "intercept": -0.1, "covid19_from": 0.3, "not_covid19_up_to": 0.8},
)
Hu = npt.NDArray[np.int16]
Labels = npt.NDArray[np.uint8]


def phantom() -> tuple[Hu, Labels]:
    """A chest from head to feet, and its lungs."""
    made = chest((10.0, 2.0, 2.0), from_head=True)
    return made.volume.hu, np.where(made.right, 1, made.left * 2).astype(np.uint8)


def lungs_of(areas: list[float]) -> Labels:
    """Slices of 100 x 100 whose lungs cover these shares."""
    labels = np.zeros((len(areas), 100, 100), np.uint8)
    for plane, area in zip(labels, areas, strict=True):
        plane[: round(100 * area)] = 1
    return labels


def hazy(hu: Hu, labels: Labels) -> Hu:
    """Ground glass in the dorsal third of both lungs."""
    changed = hu.copy()
    rows = np.flatnonzero((labels > 0).any((0, 2)))
    dorsal = np.zeros(hu.shape, bool)
    dorsal[:, rows[2 * len(rows) // 3] :] = True
    changed[dorsal & (labels > 0)] += 350
    return changed


def test_up_to_nine_slices_are_spread_over_the_middle_of_the_lungs() -> None:
    chosen = slices_to_read(lungs_of([0.0] * 20 + [0.3] * 100 + [0.0] * 20))
    assert len(chosen) == len(set(chosen)) == 9
    assert chosen == sorted(chosen) and 34 <= chosen[0] <= 36 and 103 <= chosen[-1] <= 105
    assert np.ptp(np.diff(chosen)) <= 1


@pytest.mark.parametrize("count", [1, 2, 5])
def test_of_few_slices_each_is_read_once(count: int) -> None:
    chosen = slices_to_read(lungs_of([0.3] * count))
    assert chosen and len(chosen) == len(set(chosen)) <= count


def test_slices_with_little_lung_are_not_read() -> None:
    assert slices_to_read(lungs_of([0.02, 0.4, 0.02, 0.4, 0.02])) in ([1, 3], [1], [3])
    assert slices_to_read(lungs_of([0.02] * 5)) == []


def test_without_lungs_there_is_no_probability_and_the_network_is_not_asked() -> None:
    engine = ScriptedEngine(CARD, lambda image: [0.0])
    assert probability(np.zeros((4, 50, 50), np.int16), np.zeros((4, 50, 50), np.uint8), engine) is None
    assert not engine.seen


def test_the_mean_logit_of_the_slices_is_calibrated() -> None:
    hu, labels = phantom()
    answers = iter(np.linspace(-1, 3, 9))
    engine = ScriptedEngine(CARD, lambda image: [next(answers)])
    found = probability(hu, labels, engine)
    assert len(engine.seen) == 9
    assert found == pytest.approx(1 / (1 + np.exp(-(0.5 * 1.0 - 0.1))), abs=1e-6)
    assert found == pytest.approx(pooled(np.array([1.0], np.float32), CARD), abs=1e-6)


@pytest.mark.parametrize(
    ("p", "possible"),
    [
        (0.1, ("not_covid19",)),
        (0.3, ("covid19", "not_covid19")),
        (0.8, ("covid19", "not_covid19")),
        (0.9, ("covid19",)),
    ],
)
def test_the_set_holds_what_cannot_be_ruled_out(p: float, possible: tuple[str, ...]) -> None:
    assert prediction_set(p, CARD) == possible


def test_a_crop_does_not_depend_on_the_window_or_on_what_lies_outside() -> None:
    hu, labels = phantom()
    middle = len(hu) // 2
    pixels = np.clip((hazy(hu, labels)[middle] + 1100) / 2000, 0, 1).astype(np.float32)
    crop = lung_crop(pixels, labels[middle], 128)
    assert np.abs(lung_crop(0.6 * pixels + 0.2, labels[middle], 128) - crop).max() < 1e-3
    far = np.pad(pixels, 40, constant_values=0.4), np.pad(labels[middle], 40)
    assert np.abs(lung_crop(*far, 128) - crop).mean() < 0.01
    assert crop[0, 0] == crop[-1, -1] == np.float32(LUNG_GREY)


def test_lungs_without_any_structure_cannot_be_told_from_their_surroundings() -> None:
    """So that neither their shape nor their size says anything."""
    labels = np.zeros((200, 200), np.uint8)
    labels[40:160, 20:80], labels[60:150, 120:170] = 1, 2
    pixels = np.where(labels > 0, 0.2, 0.7).astype(np.float32)
    assert np.allclose(lung_crop(pixels, labels, 128), LUNG_GREY)


def test_a_dense_hole_in_a_lung_belongs_to_it() -> None:
    labels = np.zeros((200, 200), np.uint8)
    labels[40:160, 20:80], labels[40:160, 120:180] = 1, 2
    pixels = np.where(labels > 0, 0.2, 0.7).astype(np.float32)
    labels[90:110, 40:60] = 0
    pixels[90:110, 40:60] = 0.65
    assert lung_crop(pixels, labels, 128).max() > 0.5


def test_a_slice_without_lungs_has_no_crop() -> None:
    with pytest.raises(ValueError, match="expected a slice with lungs"):
        lung_crop(np.zeros((20, 20), np.float32), np.zeros((20, 20), np.uint8), 128)


def test_haze_makes_the_shipped_network_see_more_of_it() -> None:
    hu, labels = phantom()
    engine = registry.load(registry.card("ct_covid19"), threads=2)
    clear, ill = probability(hu, labels, engine), probability(hazy(hu, labels), labels, engine)
    assert clear is not None and ill is not None
    assert ill > clear + 0.2


def test_the_limits_that_are_shipped_leave_no_set_empty() -> None:
    shipped = registry.card("ct_covid19")
    assert all(prediction_set(p, shipped) for p in np.linspace(0, 1, 201))
    assert len(prediction_set(0.5, shipped)) == 2
