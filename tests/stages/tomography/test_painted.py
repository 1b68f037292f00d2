"""Dense lung at the diaphragm of a real chest, painted before anything was outlined: never "nothing measured"."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from edge.config import Settings
from edge.pipeline.outcomes import reasons
from edge.pipeline.reading import load_engines
from edge.pipeline.runner import TOMOGRAPH_STAGES, Engines, run
from edge.stages.tomography.scan import Bits, Labels, Scan
from edge.types import StageResult
from models.evaluation.tomography import NORMAL, scan_of
from models.training import tomography
from tests.support.public_data import ROOT

pytestmark = pytest.mark.skipif(not (ROOT / "ct").is_dir(), reason="needs ../shared/data (or CHEST_EDGE_DATA) with ct/")


@pytest.fixture(scope="module")
def engines() -> Engines:
    return load_engines(Settings())


@pytest.fixture(scope="module")
def healthy() -> Scan:
    return scan_of(tomography.series(ROOT, NORMAL))


@pytest.fixture(scope="module")
def labels(healthy: Scan, engines: Engines) -> Labels:
    scan, stages = run(healthy, engines, TOMOGRAPH_STAGES)
    assert decision(stages) == "normal"
    assert scan.lungs is not None
    return scan.lungs.labels


def decision(stages: list[StageResult]) -> str:
    return next(str(stage.values["decision"]) for stage in stages if stage.stage == "classification")


def lower_quarter(lung: Bits) -> Bits:
    shown = np.flatnonzero(lung.any((1, 2)))
    where = lung.copy()
    where[: shown[int(0.75 * len(shown))]] = False
    return where


def column(lung: Bits) -> Bits:
    shown = np.flatnonzero(lung.any((1, 2)))
    top = shown[int(0.6 * len(shown))]
    row, column = np.argwhere(lung[top]).mean(0)
    y, x = np.ogrid[: lung.shape[1], : lung.shape[2]]
    where = np.asarray(lung & (np.hypot(y - row, x - column) < 20))
    where[:top] = False
    return where


def low_behind(lung: Bits) -> Bits:
    shown = np.flatnonzero(lung.any((1, 2)))
    z, y, _ = np.ogrid[: lung.shape[0], : lung.shape[1], : lung.shape[2]]
    return np.asarray(lung & ((z - shown[int(0.6 * len(shown))]) * 6 + (y - np.argwhere(lung)[:, 1].mean()) * 1.5 > 30))


@pytest.mark.parametrize("shape", [lower_quarter, column, low_behind])
@pytest.mark.parametrize("sides", [(1,), (1, 2)])
def test_dense_bases_are_referred_and_the_reason_is_told(
    healthy: Scan, labels: Labels, engines: Engines, shape: Callable[[Bits], Bits], sides: tuple[int, ...]
) -> None:
    hu = healthy.volume.hu.copy()
    for side in sides:
        hu[shape(labels == side)] = 40
    _, stages = run(replace(healthy, volume=replace(healthy.volume, hu=hu)), engines, TOMOGRAPH_STAGES)
    assert decision(stages) == "refer"
    assert {"unusual_bases", "between_limits"}.intersection(remark.code for remark in reasons(tuple(stages)))
