"""Opacities of a phantom whose volumes are known, and what must not be taken for one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edge.stages.tomography import detection
from edge.stages.tomography.densitometry import tissue
from edge.stages.tomography.scan import Scan
from edge.stages.tomography.zones import AFFECTED_FROM, by_lung
from edge.types import Tissue
from tests.support.ct_phantom import Bits, Chest
from tests.support.ct_scans import ball, from_head, outlined, painted

BEHIND_LEFT = (10.0, 30.0, 85.0)


@pytest.fixture(scope="module")
def made() -> Chest:
    return from_head((2.0, 1.5, 1.5))


def found(made: Chest) -> np.ndarray:
    scan = outlined(made)
    assert scan.lungs is not None and scan.airways is not None
    return tissue(made.volume, scan.lungs.labels, scan.airways)


def error_percent(part: Bits, true: Bits) -> float:
    return 100 * (float(part.sum()) / float(true.sum()) - 1)


def test_vessels_and_edges_of_healthy_lungs_are_no_opacity(made: Chest) -> None:
    labels = found(made)
    plain = (made.volume.hu > -700) & made.lungs
    assert 100 * plain.sum() / made.lungs.sum() > 0.2
    assert 100 * (labels >= AFFECTED_FROM).sum() / made.lungs.sum() < 0.01
    assert ((labels > 0) == made.lungs).all()


@pytest.mark.parametrize(("hu", "label"), [(-500, Tissue.LEFT_GROUND_GLASS), (30, Tissue.LEFT_CONSOLIDATION)])
@pytest.mark.parametrize(
    "spacing_mm", [(0.6, 1.5, 1.5), (2.0, 1.5, 1.5), (6.0, 1.2, 1.2)], ids=["very thin", "thin", "thick"]
)
def test_a_ball_of_known_size_is_measured(spacing_mm: tuple[float, float, float], hu: int, label: Tissue) -> None:
    made = from_head(spacing_mm)
    where = ball(made, BEHIND_LEFT, 18)
    labels = found(painted(made, where, hu))
    assert abs(error_percent(labels == label, where)) < 5
    assert ((labels == label) & where).sum() > 0.95 * where.sum()
    assert abs(error_percent(labels >= AFFECTED_FROM, where)) < 5  # its blurred edge is no ground glass


def test_what_is_dense_at_the_wall_is_consolidation() -> None:
    made = from_head((2.0, 1.5, 1.5), consolidated=True)
    assert abs(error_percent(found(made) == Tissue.RIGHT_CONSOLIDATION, made.dense)) < 5


def test_a_wide_vessel_at_the_mediastinum_is_no_opacity(made: Chest) -> None:
    rows, columns = np.ogrid[: made.left.shape[1], : made.left.shape[2]]
    artery = made.left & (np.hypot(rows - 113, columns - 154.5) * 1.5 < 6.5)
    artery[:60], artery[90:] = False, False
    assert artery.sum() * 0.0045 > 7
    affected = found(painted(made, artery, 30)) >= AFFECTED_FROM
    assert affected.sum() < 0.02 * artery.sum()


@pytest.mark.parametrize("noise_hu", [20, 40])
def test_noise_alone_is_no_opacity(made: Chest, noise_hu: int) -> None:
    noise = np.random.default_rng(2).normal(0, noise_hu, made.volume.hu.shape)
    noisy = replace(made, volume=replace(made.volume, hu=(made.volume.hu + noise).astype(np.int16)))
    assert by_lung(found(noisy) >= AFFECTED_FROM, outlined(made).lungs.labels)["both"] < 0.2  # type: ignore[union-attr]


def test_slices_of_any_thickness_measure_the_same(made: Chest) -> None:
    diseased = painted(made, ball(made, BEHIND_LEFT, 25), -450)
    whole = diseased.volume.hu[: len(diseased.volume.hu) // 3 * 3]
    thick = replace(
        diseased,
        volume=replace(
            diseased.volume,
            hu=whole.reshape(-1, 3, *whole.shape[1:]).mean(1).astype(np.int16),
            spacing_mm=(6.0, 1.5, 1.5),
        ),
        right=made.right[1::3],
        left=made.left[1::3],
        trachea=made.trachea[1::3],
    )
    shares = [100 * float((found(one) >= AFFECTED_FROM).sum()) / float(one.lungs.sum()) for one in (diseased, thick)]
    assert shares[0] > 0.8 and abs(shares[0] - shares[1]) < 0.3


def read(scan: Scan) -> dict[str, object]:
    return dict(detection.unaided(scan).values)


def test_values_tell_sides_zones_kinds_and_millilitres(made: Chest) -> None:
    where = ball(made, BEHIND_LEFT, 18)
    outcome = detection.unaided(outlined(painted(made, where, -500)))
    true_ml = where.sum() * 4.5 / 1000
    values = outcome.values
    assert values["percent"]["right_lung"] < 0.1 < values["percent"]["left_lung"]
    assert max(values["zones"], key=values["zones"].get) == "left_middle"
    assert values["ground_glass_ml"]["left_lung"] == pytest.approx(true_ml, rel=0.05)
    assert values["consolidation_ml"]["both"] < 0.1
    assert values["distribution"]["bilateral"] is False
    assert -860 < values["mean_hu"]["right_lung"] < -790
    (lesion,) = outcome.findings
    assert lesion.as_json() | {"mean_hu": -500, "volume_ml": 0, "lung_percent": 0, "slice": 0, "slices": 0} == {
        "code": "ground_glass_opacity",
        "laterality": "left",
        "zone": "left_middle",
        "volume_ml": 0,
        "lung_percent": 0,
        "mean_hu": -500,
        "slice": 0,
        "slices": 0,
    }
    assert lesion.as_json()["slice"] == pytest.approx(80.5, abs=4)
    assert lesion.as_json()["mean_hu"] == pytest.approx(-500, abs=25)
    assert outcome.case.tissue is not None and outcome.masks["tissue"].names[3] == "right ground glass"


def test_the_wall_is_peripheral_and_the_base_is_basal(made: Chest) -> None:
    at_the_base = painted(made, ball(made, (90.0, 20.0, 95.0), 16), -400)
    near_the_heart = painted(made, ball(made, (-60.0, 10.0, 45.0), 12), -400)
    base, heart = (read(outlined(one))["distribution"] for one in (at_the_base, near_the_heart))
    assert base["basal_percent"] > 90 and heart["basal_percent"] < 5  # type: ignore[index]
    assert base["peripheral_percent"] > heart["peripheral_percent"] + 30  # type: ignore[index]


def test_lungs_that_hold_little_air_are_told(made: Chest) -> None:
    breathed_out = painted(made, made.lungs & (made.volume.hu < -700), -730)
    assert [remark.code for remark in detection.unaided(outlined(breathed_out)).remarks] == ["poorly_aerated"]
    assert detection.unaided(outlined(made)).remarks == ()


def test_without_lungs_nothing_is_measured(made: Chest) -> None:
    assert read(replace(outlined(made), lungs=None)) == {}
