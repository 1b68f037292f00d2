"""The probes for shortcuts: a filled lung tells nothing of the lung, and the linear probe finds what is there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from edge.stages.radiograph.case import Case, first_case
from edge.stages.radiograph.classification import Claim
from edge.stages.radiograph.geometry import Labels, Pixels, warp_labels
from edge.stages.radiograph.registration import align, lung_image
from edge.types import Decision, Mask, Radiograph
from models.evaluation import shortcuts
from models.evaluation.readings import Reading
from models.training.data import Row
from tests.support import engines

SIDE = 224
CARD = engines.card("pneumonia", thresholds=engines.PNEUMONIA_LIMITS, outputs=engines.PNEUMONIA_OUTPUTS)


def chest(*, lung: float, texture: int = 0, shape: tuple[int, int] = (SIDE, SIDE)) -> Case:
    """A bright body with a gradient, and two lungs of one grey with noise."""
    height, width = shape
    labels = np.zeros(shape, np.uint8)
    labels[height // 5 : height * 4 // 5, width // 6 : width * 2 // 5] = 1
    labels[height // 5 : height * 4 // 5, width * 3 // 5 : width * 5 // 6] = 2
    body = np.linspace(0.5, 0.9, width, dtype=np.float32)[None].repeat(height, 0)
    inside = np.clip(np.random.default_rng(texture).normal(lung, 0.1, shape), 0, 1)
    pixels = np.where(labels > 0, inside, body).astype(np.float32)
    case = first_case(Radiograph(pixels=pixels))
    lungs = Mask(labels=labels, names={1: "right lung", 2: "left lung"})
    return replace(case, lungs=lungs, alignment=align(labels, engines.LUNG_LIMITS))


@pytest.mark.parametrize("shape", [(SIDE, SIDE), (300, 371)])
@pytest.mark.parametrize("fill", shortcuts.FILLS.values(), ids=list(shortcuts.FILLS))
def test_nothing_of_a_filled_lung_reaches_the_classifier(
    fill: Callable[[Pixels, Labels], Pixels], shape: tuple[int, int]
) -> None:
    """Two patients who differ in their lungs alone become one."""
    healthy, ill = chest(lung=0.2, texture=1, shape=shape), chest(lung=0.7, texture=2, shape=shape)
    assert not np.allclose(lung_image(healthy, CARD.side), lung_image(ill, CARD.side), atol=0.05)
    filled = [replace(case, pixels=fill(case.pixels, shortcuts.hulls_of(case))) for case in (healthy, ill)]
    assert np.array_equal(lung_image(filled[0], CARD.side), lung_image(filled[1], CARD.side))


@pytest.mark.parametrize("shape", [(SIDE, SIDE), (300, 371), (150, 401)])
def test_the_fill_covers_all_of_the_lungs_that_the_classifier_sees(shape: tuple[int, int]) -> None:
    case = chest(lung=0.2, shape=shape)
    noise = np.random.default_rng(7).random(shape).astype(np.float32)
    filled = np.where(shortcuts.hulls_of(case) > 0, np.float32(0.5), noise)
    assert case.alignment is not None and case.lungs is not None
    inside = warp_labels(case.lungs.labels, case.alignment.matrix, CARD.side) > 0
    assert np.ptp(lung_image(replace(case, pixels=filled), CARD.side)[inside]) < 1e-3


@pytest.mark.parametrize("fill", shortcuts.FILLS.values(), ids=list(shortcuts.FILLS))
def test_a_fill_leaves_the_rest_of_the_image(fill: Callable[[Pixels, Labels], Pixels]) -> None:
    case = chest(lung=0.2)
    hulls = shortcuts.hulls_of(case)
    assert 0.3 < hulls.mean() < 0.7
    outside = hulls == 0
    assert np.allclose(fill(case.pixels, hulls)[outside], case.pixels[outside], atol=1 / 255)


def test_the_score_is_the_probability_of_covid_of_an_adult() -> None:
    engine = engines.ScriptedEngine(CARD, lambda image: engines.pneumonia_logits(adult_covid19=9.0))
    found = shortcuts.filled_scores(chest(lung=0.3), engine)
    assert found.keys() == shortcuts.FILLS.keys()
    assert min(found.values()) > 0.99
    assert len(engine.seen) == 2 * len(shortcuts.FILLS), "each fill and its mirror image"


def test_a_case_without_lungs_cannot_be_filled() -> None:
    with pytest.raises(ValueError, match="expected a case with lungs"):
        shortcuts.hulls_of(replace(chest(lung=0.3), lungs=None))


def reading(source: str, patient: str, logits: np.ndarray) -> Reading:
    claim = Claim({"normal": 1.0}, ("normal",), Decision.NORMAL, 0.0, None)
    row = Row(archive="a.zip", file=f"{patient}.png", source=source, label="normal", patient=patient, age_group="adult",
              view="PA", split="test", mask="", note="")  # fmt: skip
    return Reading(row=row, accepted=True, logits=logits.astype(np.float32), known=claim, unknown=claim)


def test_features_are_the_embedding() -> None:
    given = reading("A", "1", np.array([1.0, 2.0, 3.0]))
    card = engines.card(outputs=("adult_normal", "embedding_0", "embedding_1"))
    assert shortcuts.features(given, card).tolist() == [2, 3]


def test_the_probe_names_hospitals_that_differ_and_guesses_at_those_that_do_not() -> None:
    pytest.importorskip("sklearn")
    rng = np.random.default_rng(0)
    places = [("A", 0.0), ("B", 3.0)] * 40
    apart = [reading(name, str(i), rng.normal(mean, 1, 12)) for i, (name, mean) in enumerate(places)]
    alike = [reading(name, str(i), rng.normal(0, 1, 12)) for i, (name, _) in enumerate(places)]
    figure = "hospital named by a linear probe, normal adults"
    assert shortcuts.hospital_figures(apart, CARD)[figure]["balanced_accuracy"] > 0.95
    assert shortcuts.hospital_figures(alike, CARD)[figure]["balanced_accuracy"] < 0.7
    assert shortcuts.hospital_figures(alike, CARD)[figure]["chance"] == 0.5


def test_one_hospital_alone_is_no_question() -> None:
    assert shortcuts.hospital_figures([reading("A", str(i), np.zeros(12)) for i in range(20)], CARD) == {}
