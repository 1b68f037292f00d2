"""The shipped lung network on a phantom, and on the public series where they are at hand."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from edge.engines import registry
from edge.engines.engine import Engine, ModelCard, Tensor
from edge.stages.tomography import segmentation
from edge.stages.tomography.lungs import LEFT, RIGHT
from edge.stages.tomography.slices import HIGH_HU, LOW_HU, to_unit
from models.evaluation.lung_field import dice
from tests.support.ct_phantom import chest


@pytest.fixture(scope="module")
def engine() -> Engine:
    return registry.load(registry.card("ct_lung"), threads=2)


@dataclass(frozen=True, slots=True)
class Oracle:
    """An engine that is sure of a half of the image, and doubts the other: right lung everywhere."""

    card: ModelCard
    logit: float

    def run(self, images: Tensor) -> Tensor:
        side = self.card.side // 2
        maps = np.full((len(images), 2, side, side), -9, np.float32)
        maps[:, 0] = self.logit
        return maps


def test_the_lungs_of_a_phantom_are_outlined_on_their_sides(engine: Engine) -> None:
    made = chest()
    found = segmentation.segment(made.volume, engine)
    assert found.shape == made.volume.hu.shape and found.dtype == np.uint8
    assert dice(found == RIGHT, made.right) > 0.8
    assert dice(found == LEFT, made.left) > 0.8


def test_the_order_of_the_slices_does_not_matter(engine: Engine) -> None:
    found = [segmentation.segment(chest(from_head=flag).volume, engine) for flag in (False, True)]
    assert dice(found[0] > 0, found[1][::-1] > 0) > 0.98


def test_gas_that_hangs_on_to_no_lung_is_dropped(engine: Engine) -> None:
    made = chest()
    hu = made.volume.hu.copy()
    hu[2:5, 70:95, 140:170] = -1000
    found = segmentation.segment(replace(made.volume, hu=hu), engine)
    assert not found[2:5, 70:95, 140:170].any()


def test_a_volume_of_air_has_no_lungs(engine: Engine) -> None:
    made = chest((20.0, 3.0, 3.0))
    nothing = replace(made.volume, hu=np.full(made.volume.hu.shape, -1000, np.int16))
    found = segmentation.segment(nothing, engine)
    assert (found > 0).mean() < 0.01


@pytest.mark.parametrize(("logit", "kept"), [(5.0, True), (0.5, False)], ids=["sure", "in doubt"])
def test_tissue_stays_lung_only_where_the_network_is_sure(engine: Engine, logit: float, kept: bool) -> None:
    """Dense consolidation deep in a lung must survive what trims its border."""
    dense = np.full((3, 64, 64), to_unit(np.float32(40)), np.float32)
    found = segmentation.labels_of(dense, Oracle(engine.card, logit))
    assert (found == RIGHT).all() == kept and (found > 0).any() == kept


def test_the_window_holds_air_and_soft_tissue_apart() -> None:
    assert to_unit(np.array([LOW_HU - 900, LOW_HU, HIGH_HU, 3000])).tolist() == [0, 0, 1, 1]
    assert to_unit(np.array([-400]))[0] == pytest.approx(0.4382, abs=1e-3)
