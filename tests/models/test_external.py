"""The shipped models on images of other hospitals: floors that a broken preprocessing falls through.

The figures themselves stand in the cards; samples here are small and fixed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest

from edge.engines.engine import Engine
from edge.stages.radiograph import quality
from edge.stages.radiograph.case import first_case
from edge.types import Radiograph, Severity
from models.evaluation import readings
from models.evaluation.figures import auc
from models.evaluation.lung_field import lung_dice
from models.evaluation.opacity import boxes_by_file, hits
from models.training import data, outsiders
from tests.support.public_data import ROOT, needs_public_data

pytestmark = needs_public_data
_T = TypeVar("_T")


@pytest.fixture(scope="module")
def engines() -> dict[str, Engine]:
    return readings.engines()


@pytest.fixture(scope="module")
def external() -> list[data.Row]:
    return [row for row in readings.rows(ROOT) if row.split == "external"]


def sample(found: Sequence[_T], count: int) -> list[_T]:
    """So many of them, spread evenly: always the same ones."""
    assert len(found) >= count
    return [found[i * len(found) // count] for i in range(count)]


def is_refused(grey: data.Grey, engine: Engine) -> bool:
    outcome = quality.read(first_case(Radiograph(pixels=data.to_unit(grey))), engine)
    return any(remark.severity is Severity.STOP for remark in outcome.remarks)


def refused_share(images: Sequence[data.Grey], engine: Engine) -> float:
    return float(np.mean([is_refused(image, engine) for image in images]))


def test_frontal_radiographs_of_other_hospitals_are_accepted(
    engines: dict[str, Engine], external: list[data.Row]
) -> None:
    unseen = [row for row in external if row.source in ("Hannover", "NIH")]
    images = [data.pixels(ROOT, row) for row in sample(unseen, 40)]
    assert refused_share(images, engines["frontal_gate"]) <= 0.05


@pytest.mark.parametrize("kind", ["lateral", "ct_figure"])
def test_lateral_views_and_figures_of_held_out_patients_are_refused(engines: dict[str, Engine], kind: str) -> None:
    images = outsiders.gate_figures(ROOT, kind, held_out=True)
    assert refused_share(images, engines["frontal_gate"]) >= 0.95


def test_slices_of_held_out_patients_are_refused(engines: dict[str, Engine]) -> None:
    assert refused_share(outsiders.ct_slices(ROOT, "test", most=40), engines["frontal_gate"]) >= 0.95


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_turned_radiographs_of_other_hospitals_are_set_upright(
    engines: dict[str, Engine], external: list[data.Row], turns: int
) -> None:
    rows = sample([row for row in external if row.source in ("Hannover", "NIH")], 20)
    images = (np.rot90(data.to_unit(data.pixels(ROOT, row)), turns).copy() for row in rows)
    asked = (quality.read(first_case(Radiograph(pixels=image)), engines["frontal_gate"]) for image in images)
    assert np.mean([outcome.case.turned_deg == 90 * turns for outcome in asked]) >= 0.8


def test_lungs_of_another_hospital_are_outlined(engines: dict[str, Engine], external: list[data.Row]) -> None:
    engine = engines["lung_field"]
    rows = sample([row for row in external if row.source == "Cohen" and row.mask], 20)
    assert np.mean([lung_dice(ROOT, row, engine) for row in rows]) >= 0.88


def test_pneumonia_is_told_from_normal_on_images_not_trained_on(
    engines: dict[str, Engine], external: list[data.Row]
) -> None:
    nih = [row for row in external if row.source == "NIH" and not row.note.endswith(":Normal")]
    normal = [row for row in external if row.source == "NIH" and row.label == "normal"]
    ill = [row for row in nih if row.label == "pneumonia_unspecified"]
    read = list(made(sample(normal, 30) + sample(ill, 30), engines))
    positive = np.array([reading.row.label != "normal" for reading in read])
    scores = np.array([1 - reading.known.probabilities["normal"] for reading in read if reading.known])
    assert auc(scores, positive) >= 0.65


def test_opacities_are_marked_where_radiologists_drew_boxes_and_hardly_on_normal_lungs(
    engines: dict[str, Engine], external: list[data.Row]
) -> None:
    boxes = boxes_by_file(ROOT)
    boxed = [row for row in external if row.file in boxes]
    normal = [row for row in external if row.source == "NIH" and row.label == "normal"]
    found = [any(hits(reading, boxes[reading.row.file])) for reading in made(sample(boxed, 30), engines)]
    false = [len(reading.findings) for reading in made(sample(normal, 30), engines)]
    assert np.mean(found) >= 0.5
    assert np.mean(false) <= 1


def test_severity_is_higher_where_readers_scored_it_higher(engines: dict[str, Engine]) -> None:
    scores = data.brixia_scores(ROOT)
    rows = [row for row in data.manifest(ROOT) if row.archive == "cohen.zip" and Path(row.file).stem in scores]
    read = [r for r in made(sample(rows, 40), engines) if r.severity is not None]
    true = [float(scores[Path(r.row.file).stem].sum()) for r in read]
    assert np.corrcoef(true, [r.severity["brixia"] for r in read if r.severity])[0, 1] >= 0.6


def made(rows: list[data.Row], engines: dict[str, Engine]) -> Iterator[readings.Reading]:
    """Readings of the rows about which the classifier spoke."""
    return (reading for reading in readings.read(ROOT, rows, engines) if reading.is_claimed)


def test_a_real_leg_is_no_chest_and_a_real_chest_is_one(engines: dict[str, Engine]) -> None:
    from edge.dicom.reader import Reader
    from tests.support import inputs

    with Reader() as reader:
        for name, expected in (("RG1_UNCR.dcm", False), ("RG3_UNCR.dcm", True)):
            path: Path = inputs.example(name)
            outcome = quality.read(first_case(reader.read(path).radiograph), engines["frontal_gate"])
            assert any(remark.severity is Severity.STOP for remark in outcome.remarks) is expected, name
