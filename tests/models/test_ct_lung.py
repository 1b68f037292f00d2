"""How the lung network is taught, and what the shipped one says of the public series."""

from __future__ import annotations

import numpy as np
import pytest

from edge.engines import registry
from edge.stages.tomography import segmentation
from edge.types import Volume
from models.evaluation.volumes import against
from models.training import slice_masks, tomography
from models.training.lung_references import CORRECTIONS, Correction, corrected, reference
from tests.support.ct_phantom import chest
from tests.support.public_data import ROOT

needs_ct = pytest.mark.skipif(not (ROOT / "ct").is_dir(), reason="needs ../shared/data (or CHEST_EDGE_DATA) with ct/")
WINDOWS = [(-1000, 400), (-1200, 200), (-1024, 1500)]


def volume_of(shape: tuple[int, int, int], hu: int) -> Volume:
    return Volume(hu=np.full(shape, hu, np.int16), affine=np.eye(4), spacing_mm=(5.0, 1.0, 1.0))


@pytest.mark.parametrize("window", WINDOWS)
def test_a_picture_of_any_window_gives_the_same_greys_and_lungs(window: tuple[int, int]) -> None:
    made = chest((5.0, 1.5, 1.5))
    middle = 40
    low, high = window
    grey = np.clip((made.volume.hu[middle].astype(float) - low) / (high - low) * 255, 0, 255).astype(np.uint8)
    found = slice_masks.masked(grey)
    assert found is not None
    image, labels = found
    assert against(labels, np.where(made.right, 1, made.left * 2)[middle])["dice"] > 0.95
    assert np.median(image[made.left[middle]]) == pytest.approx(0.115, abs=0.03)


@pytest.mark.parametrize("grey", [0, 128])
def test_a_picture_without_lungs_teaches_nothing(grey: int) -> None:
    assert slice_masks.masked(np.full((224, 224), grey, np.uint8)) is None


def test_each_kind_of_correction_does_what_it_says() -> None:
    labels = np.zeros((2, 60, 60), np.uint8)
    labels[:, 10:50, 10:50] = 1
    labels[:, 20:30, 20:30] = 0
    labels[:, 40:50, 25:35] = 0
    everywhere = ((0, 60), (0, 60))
    changed = {
        what: corrected(labels, volume_of(labels.shape, 40), (Correction(what, 1, 0, 0, *everywhere, "a test"),))
        for what in ("clear", "clear dense", "fill", "close")
    }
    assert all((one[1] == labels[1]).all() for one in changed.values())
    assert not changed["clear"][0].any() and not changed["clear dense"][0].any()
    assert changed["fill"][0, 25, 25] == 1 and changed["fill"][0, 45, 30] == 0
    assert changed["close"][0, 45, 30] == 1


def test_what_is_aerated_is_not_cleared_as_dense() -> None:
    labels = np.ones((1, 20, 20), np.uint8)
    kept = corrected(labels, volume_of(labels.shape, -800), (Correction("clear dense", 1, 0, 0, (0, 20), (0, 20), ""),))
    assert (kept == labels).all()


def test_a_misspelt_correction_is_an_error() -> None:
    misspelt = Correction("cut", 1, 0, 0, (0, 9), (0, 9), "a test")
    with pytest.raises(ValueError, match="expected clear"):
        corrected(np.ones((1, 9, 9), np.uint8), volume_of((1, 9, 9), 0), (misspelt,))


def test_every_correction_gives_its_reason() -> None:
    assert set(CORRECTIONS) == set(tomography.SERIES)
    assert all(one.why for corrections in CORRECTIONS.values() for one in corrections)


@needs_ct
def test_the_shipped_network_outlines_a_public_series_as_its_reference(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trained with it: this guards the way from file to voxels, and tells nothing of other patients."""
    monkeypatch.chdir(str(tmp_path))
    volume, true = reference(ROOT, "normal_normal001")
    found = segmentation.segment(volume, registry.load(registry.card("ct_lung"), threads=2))
    figures = against(found, true)
    assert figures["dice"] > 0.98 and abs(figures["volume_error_percent"]) < 3
    assert min(figures["right"], figures["left"]) > 0.98
