"""The decision on a CT, and what the network that looks for a pattern may add to it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edge.stages.tomography import classification
from edge.stages.tomography.scan import Scan
from edge.types import Mask, Tissue
from tests.support import ct_scans, engines
from tests.support.ct_phantom import chest

LIMITS = {"slope": 1.0, "intercept": 0.0, "covid19_from": 0.2, "not_covid19_up_to": 0.8}


@pytest.fixture(scope="module")
def scan() -> Scan:
    made = chest((5.0, 3.0, 3.0), from_head=True)
    labels = np.where(made.right, 1, np.where(made.left, 2, 0)).astype(np.uint8)
    tissue = labels.copy()
    tissue[20:40][labels[20:40] == 1] = Tissue.RIGHT_GROUND_GLASS
    return replace(ct_scans.raw(made.volume), lungs=Mask(labels=labels, names={1: "right lung"}), tissue=tissue)


@pytest.mark.parametrize(
    ("logit", "possible", "told"),
    [
        (0.0, ["covid19", "not_covid19"], {}),
        (3.0, ["covid19"], {"covid19": 0.9526}),
        (-3.0, ["not_covid19"], {"covid19": 0.0474}),
    ],
)
def test_a_probability_is_told_only_where_one_answer_is_left(
    scan: Scan, logit: float, possible: list[str], told: dict[str, float]
) -> None:
    card = engines.card("ct_covid19", outputs=("covid19",), thresholds=LIMITS)
    engine = engines.ScriptedEngine(card, lambda image: [logit])
    values = classification.read(scan, engine).values
    assert (values["decision"], values["set"]) == ("abnormal", possible)
    assert values["probabilities"] == pytest.approx(told)


def test_without_the_network_the_decision_stands_and_nothing_is_said_of_a_cause(scan: Scan) -> None:
    values = classification.unaided(scan).values
    assert (values["decision"], values["probabilities"], values["set"]) == ("abnormal", {}, [])


def test_of_lungs_without_opacity_the_network_is_not_asked(scan: Scan) -> None:
    assert scan.lungs is not None
    card = engines.card("ct_covid19", outputs=("covid19",), thresholds=LIMITS)
    engine = engines.ScriptedEngine(card, lambda image: [3.0])
    values = classification.read(replace(scan, tissue=scan.lungs.labels), engine).values
    assert (values["decision"], values["probabilities"], values["set"]) == ("normal", {}, [])


def test_a_referral_without_opacity_asks_for_no_pattern(scan: Scan) -> None:
    assert scan.lungs is not None
    card = engines.card("ct_covid19", outputs=("covid19",), thresholds=LIMITS)
    engine = engines.ScriptedEngine(card, lambda image: [3.0])
    cut = replace(scan, tissue=scan.lungs.labels, noted=("cut_off_below",))
    values = classification.read(cut, engine).values
    assert (values["decision"], values["probabilities"], values["set"]) == ("refer", {}, [])
