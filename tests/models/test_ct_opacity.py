"""How the opacity of CT series is measured for the report, and what comes out of the public ones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edge.engines import registry
from edge.stages.tomography import domes
from edge.types import Volume
from models.evaluation import cards
from models.evaluation import tomography as evaluation
from models.evaluation.tomography import Lungs, Read, read, repeated, thicker, working
from models.training import tomography
from tests.support.public_data import ROOT

needs_ct = pytest.mark.skipif(not (ROOT / "ct").is_dir(), reason="needs ../shared/data (or CHEST_EDGE_DATA) with ct/")


def test_a_working_volume_has_wide_pixels_in_their_places() -> None:
    hu = np.arange(3 * 8 * 8, dtype=np.int16).reshape(3, 8, 8)
    affine = np.array([[0, 0, 0.6, -10], [0, 0.6, 0, -20], [2.0, 0, 0, -30], [0, 0, 0, 1]])
    made = working(Volume(hu=hu, affine=affine, spacing_mm=(2.0, 0.6, 0.6)))
    assert made.hu.shape == (3, 4, 4) and made.spacing_mm == (2.0, 1.2, 1.2)
    assert made.hu[0, 0, 0] == np.rint(hu[2, :2, :2].mean())  # from head to feet
    middle = (affine @ [2, 0.5, 0.5, 1])[:3]
    assert np.allclose(made.affine @ [0, 0, 0, 1], [*middle, 1])
    assert np.allclose(made.affine @ [2, 0, 0, 1] - made.affine @ [0, 0, 0, 1], [0, 0, -4, 0])


def test_thicker_slices_are_means_with_the_outline_of_the_middle() -> None:
    hu = np.repeat(np.arange(7, dtype=np.int16)[:, None, None], 16, axis=0).reshape(7, 4, 4)
    labels = (hu % 3).astype(np.uint8)
    volume = Volume(hu=hu, affine=np.eye(4), spacing_mm=(2.0, 1.0, 1.0))
    made = thicker(Lungs(volume, labels, labels > 0), 3, 1)
    assert made.volume.hu[:, 0, 0].tolist() == [2, 5] and made.volume.spacing_mm == (6.0, 1.0, 1.0)
    assert made.labels[:, 0, 0].tolist() == [2, 2]


def test_a_report_keeps_the_figures_of_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cards, "default_folder", lambda: tmp_path)
    (tmp_path / "evaluation").mkdir()
    cards.keep("report.json", "one", {"a": {"n": 1}})
    cards.keep("report.json", "two", {"b": {"n": 2}})
    kept = json.loads((tmp_path / "evaluation" / "report.json").read_text(encoding="utf-8"))
    assert kept == {"one": {"a": {"n": 1}}, "two": {"b": {"n": 2}}}


def of(name: str) -> Read:
    return read(
        tomography.series(ROOT, name),
        {name: registry.load(registry.card(name), threads=2) for name in ("ct_lung", "ct_covid19")},
    )


@needs_ct
def test_a_normal_series_shows_hardly_any_opacity_and_no_fault_of_position() -> None:
    one = of("normal_normal001")
    figures = evaluation.series_figures(one)
    assert figures["affected_percent"] < 0.5 and figures["above_minus_700_percent"] > 8
    assert figures["decision"] == "normal" and figures["ct_score"] == 0
    assert figures["remarks"] == "thick_slices"
    assert figures["greatest_difference_to_simpleitk_ml"] <= 0.1


@needs_ct
def test_a_series_of_covid19_shows_peripheral_opacity_that_repeats_with_thicker_slices() -> None:
    one = of("covid_p001")
    figures = evaluation.series_figures(one)
    assert 1.6 < figures["affected_percent"] < 5 and figures["decision"] == "abnormal"
    assert figures["peripheral_percent"] > 50 and figures["remarks"] == "none"
    assert repeated(one.lungs)["greatest_difference_points"] < 2
    # The network alone took the top of the left dome of the diaphragm for lung.
    assert (
        domes.without_domes(one.lungs.labels, one.lungs.volume.hu.astype(np.float32), one.lungs.volume)[104, 102, 191]
        == 0
    )
