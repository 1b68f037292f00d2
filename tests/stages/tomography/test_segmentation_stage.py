"""What the segmentation hands on of a scan, and what it refuses."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from edge.engines import registry
from edge.engines.engine import Engine, ModelCard, Tensor
from edge.stages.tomography import planes, segmentation
from edge.stages.tomography.domes import without_domes
from edge.types import Severity
from tests.support.ct_phantom import Chest
from tests.support.ct_scans import ball, from_head, outlined, painted, raw


@pytest.fixture(scope="module")
def engine() -> Engine:
    return registry.load(registry.card("ct_lung"), threads=2)


@pytest.fixture(scope="module")
def made() -> Chest:
    return from_head((4.0, 2.0, 2.0))


@dataclass(frozen=True, slots=True)
class Blind:
    """An engine that sees no lung anywhere."""

    card: ModelCard

    def run(self, images: Tensor) -> Tensor:
        return np.full((len(images), 2, self.card.side // 2, self.card.side // 2), -9, np.float32)


def test_lungs_airways_and_their_volumes_are_handed_on(made: Chest, engine: Engine) -> None:
    outcome = segmentation.read(raw(made.volume), engine)
    case, values = outcome.case, outcome.values
    assert case.lungs is not None and case.airways is not None
    assert values["method"] == "network" and values["plausible"] and values["fault"] is None
    true_ml = made.lungs.sum() * 16 / 1000
    assert values["lung_volume_ml"]["both"] == pytest.approx(true_ml, rel=0.01)
    assert 5 < values["airways_ml"] < made.trachea.sum() * 16 / 1000
    assert not (case.lungs.labels[case.airways] > 0).any()
    assert outcome.masks["lungs"] is case.lungs
    assert case.zones is not None and ((case.zones > 0) == (case.lungs.labels > 0)).all()


def test_air_that_the_network_missed_is_lung_and_is_told(made: Chest, engine: Engine) -> None:
    # The network learnt from real chests, and sees four fifths of one that is made of ellipsoids.
    outlined, true_ml = segmentation.segment(made.volume, engine), made.lungs.sum()
    assert 0.6 * true_ml < (outlined > 0).sum() < 0.9 * true_ml
    assert [remark.code for remark in segmentation.read(raw(made.volume), engine).remarks] == ["network_missed_lung"]


def test_airways_that_the_network_took_for_lung_are_taken_out(
    made: Chest, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = with_labels(made, made.trachea)
    monkeypatch.setattr(segmentation, "segment", lambda volume, engine: taken)
    case = segmentation.read(raw(made.volume), engine).case
    assert case.lungs is not None
    within = made.trachea & planes.each(made.lungs, planes.hull)
    assert (taken[within] > 0).all() and (case.lungs.labels[within] > 0).mean() < 0.15


def test_without_its_network_the_lungs_are_outlined_by_thresholds_and_it_is_said(made: Chest) -> None:
    outcome = segmentation.unaided(raw(made.volume))
    assert [remark.code for remark in outcome.remarks] == ["outlined_without_network"]
    assert outcome.values["method"] == "classical" and outcome.case.lungs is not None
    assert outcome.values["lung_volume_ml"]["both"] == pytest.approx(made.lungs.sum() * 16 / 1000, rel=0.03)


def test_where_there_are_no_lungs_the_reading_stops(made: Chest, engine: Engine) -> None:
    outcome = segmentation.read(raw(made.volume), Blind(engine.card))
    (remark,) = outcome.remarks
    assert remark.code == "no_lungs" and remark.severity is Severity.STOP
    assert outcome.case.lungs is None and outcome.values["fault"] == "no lungs"


def test_a_head_has_no_lungs(made: Chest, engine: Engine) -> None:
    """A skull with brain in it and air around."""
    z, y, x = np.ogrid[-75:75:2, -150:150:2, -200:200:2]
    away = np.hypot(np.hypot(x / 75, y / 95), z / 110)
    head = np.where(away < 0.9, 35, np.where(away < 1, 900, -1000)).astype(np.int16)
    (remark,) = segmentation.read(raw(replace(made.volume, hu=head)), engine).remarks
    assert remark.code == "no_lungs"


def test_air_outside_of_the_body_is_no_lung(made: Chest, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    outside = np.zeros(made.volume.hu.shape, np.uint8)
    outside[10:60, 5:70, 5:35], outside[10:60, 5:70, -35:-5] = 1, 2
    monkeypatch.setattr(segmentation, "segment", lambda volume, engine: outside)
    outcome = segmentation.read(raw(made.volume), engine)
    assert [remark.code for remark in outcome.remarks] == ["no_lungs"] and outcome.case.lungs is None
    partly = np.where(made.right, np.uint8(1), np.where(made.left, np.uint8(2), np.uint8(0)))
    partly[30:40][outside[30:40] > 0] = 1
    monkeypatch.setattr(segmentation, "segment", lambda volume, engine: partly)
    outcome = segmentation.read(raw(made.volume), engine)
    assert [remark.code for remark in outcome.remarks] == ["outside_body"] == list(outcome.case.noted)


def test_much_tissue_taken_for_the_dome_is_told(made: Chest, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = np.where(made.right, np.uint8(1), np.where(made.left, np.uint8(2), np.uint8(0)))
    monkeypatch.setattr(segmentation, "segment", lambda volume, engine: labels)
    z, y, x = np.ogrid[0:75, 0:150, 0:200]
    column = made.right & (np.hypot(x - 61, y - 90) < 12) & (z > 45)
    dense = replace(made, volume=replace(made.volume, hu=np.where(column, np.int16(40), made.volume.hu)))
    outcome = segmentation.read(raw(dense.volume), engine)
    assert [remark.code for remark in outcome.remarks] == ["large_domes"] == list(outcome.case.noted)
    assert int(outcome.remarks[0].values["volume"]) > 30


def test_a_lung_that_is_missing_stops_the_reading_in_words(made: Chest, engine: Engine) -> None:
    hu = np.where(made.left, np.int16(40), made.volume.hu)
    outcome = segmentation.unaided(raw(replace(made.volume, hu=hu)))
    assert outcome.remarks[0].code == "implausible_volumes" and outcome.remarks[0].severity is Severity.STOP
    assert outcome.values["fault"] == "a lung is missing or too small" and outcome.case.lungs is None


def with_labels(made: Chest, extra: np.ndarray) -> np.ndarray:
    scan = outlined(made)
    assert scan.lungs is not None
    return np.where(extra & (scan.lungs.labels == 0), np.uint8(1), scan.lungs.labels)


def test_a_dome_that_was_taken_for_lung_is_given_back() -> None:
    made = from_head((2.0, 1.5, 1.5))
    z, y, x = np.ogrid[0 : len(made.right), 0 : made.right.shape[1], 0 : made.right.shape[2]]
    dome = np.hypot(np.hypot((x - 81.0) * 1.5 / 45, (y - 99.5) * 1.5 / 60), (z - 137.0) * 2 / 60) < 1
    top = dome & (z < 118)
    assert top.sum() * 0.0045 > 10
    labels = with_labels(made, top)
    cleared = without_domes(labels, planes.smoothed(made.volume.hu), made.volume)
    assert (cleared[top] > 0).mean() < 0.2
    assert (cleared[made.lungs] > 0).mean() > 0.98


def test_consolidation_within_a_lung_is_no_dome() -> None:
    made = from_head((2.0, 1.5, 1.5))
    dense = painted(made, ball(made, (10.0, 10.0, 80.0), 18), 30)
    scan = outlined(dense)
    assert scan.lungs is not None
    kept = without_domes(scan.lungs.labels, planes.smoothed(dense.volume.hu), dense.volume)
    assert (kept[dense.volume.hu > 0] == scan.lungs.labels[dense.volume.hu > 0]).all()
