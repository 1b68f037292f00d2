"""What recipes and evaluation draw from the public images: no patient on both sides, no external one in training."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from models.evaluation import readings
from models.training import data, outsiders
from tests.support.public_data import ROOT, needs_public_data

pytestmark = needs_public_data
OUTSIDE = {"external", "excluded_overlap"}


@pytest.fixture(scope="module")
def rows() -> list[data.Row]:
    return data.manifest(ROOT)


def training_rows(rows: list[data.Row]) -> list[data.Row]:
    return [row for row in rows if row.split in {"train", "val"}]


def test_no_patient_is_in_two_splits(rows: list[data.Row]) -> None:
    splits: dict[tuple[str, str], set[str]] = defaultdict(set)
    for row in rows:
        if row.split != "excluded_overlap":  # second copies of images, neither trained on nor evaluated
            splits[row.source, row.patient].add(row.split)
    assert {where: found for where, found in splits.items() if len(found) > 1} == {}


def test_no_file_is_listed_twice(rows: list[data.Row]) -> None:
    assert len({(row.archive, row.file) for row in rows}) == len(rows)


def test_external_hospitals_are_in_no_training_row(rows: list[data.Row]) -> None:
    assert {row.source for row in training_rows(rows)} & {"Cohen", "Hannover"} == set()
    trained = {(row.archive, row.file) for row in training_rows(rows)}
    assert trained & {(row.archive, row.file) for row in rows if row.split in OUTSIDE} == set()


def test_what_is_evaluated_was_never_trained_on(rows: list[data.Row]) -> None:
    evaluated = readings.rows(ROOT)
    assert {row.split for row in evaluated} == {"test", "external"}
    patients = {(row.source, row.patient) for row in training_rows(rows)}
    assert patients & {(row.source, row.patient) for row in evaluated} == set()
    used = data.lesion_patients(ROOT) | data.gate_patients(ROOT)
    assert used & {row.patient for row in evaluated} == set()
    assert not any(row.is_lateral for row in evaluated)


def test_lesion_images_in_training_belong_to_patients_that_are_known(rows: list[data.Row]) -> None:
    known = data.lesion_rows(ROOT, of_known_patients=True)
    others = data.lesion_rows(ROOT, of_known_patients=False)
    assert known and others
    assert {row["file"] for row in known} & {row["file"] for row in others} == set()
    patients = data.lesion_patients(ROOT)
    stems = {Path(row.file).stem for row in rows if row.patient in patients}
    assert {Path(row["file"]).stem for row in known} <= stems


@pytest.mark.parametrize("kind", ["lateral", "ct_figure"])
def test_gate_images_are_held_out_by_patient(kind: str) -> None:
    held, used = data.gate_patients(ROOT, held_out=True), data.gate_patients(ROOT)
    assert held & used == set()
    assert held | used == {row["patient"] for row in data.table(ROOT, "gate_manifest.csv")}
    counts = [len(outsiders.gate_figures(ROOT, kind, held_out=out)) for out in (True, False)]
    assert min(counts) >= 8
    assert sum(counts) == sum(row["kind"] == kind for row in data.table(ROOT, "gate_manifest.csv"))


def test_slices_are_drawn_from_their_split_and_thinned(rows: list[data.Row]) -> None:
    drawn = outsiders.ct_slices(ROOT, "test", most=5)
    assert len(drawn) == 5
    assert {image.dtype for image in drawn} == {np.dtype(np.uint8)}


@pytest.mark.parametrize("archive", ["kermany.zip", "radiography.zip", "nih.zip", "cohen.zip", "lungfield.zip"])
def test_images_and_their_masks_fit(rows: list[data.Row], archive: str) -> None:
    here = [row for row in rows if row.archive == archive]
    for row in here[:: len(here) // 3][:3]:
        pixels = data.pixels(ROOT, row)
        assert pixels.dtype == np.uint8 and pixels.ndim == 2
        unit = data.to_unit(pixels)
        assert unit.dtype == np.float32 and 0 <= unit.min() < unit.max() <= 1
        if row.mask:
            assert set(np.unique(data.mask(ROOT, row))) <= {0, 1, 2, 3, 4}


def test_an_undecodable_member_is_said(tmp_path: Path) -> None:
    import zipfile

    (tmp_path / "cxr").mkdir()
    with zipfile.ZipFile(tmp_path / "cxr" / "broken.zip", "w") as archive:
        archive.writestr("image.jpg", b"no image")
    with pytest.raises(ValueError, match="undecodable"):
        data.image(tmp_path, "cxr/broken.zip", "image.jpg")


def test_recipes_learn_from_training_rows_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The recipes are written in torch, which is never installed for the tests of the box."""
    pytest.importorskip("torch", reason="the recipes are written in torch")
    from models.training import lungs, pneumonia

    drawn: list[data.Row] = []

    def outlined(root: Path, chosen: list[data.Row]) -> list[object]:
        drawn.extend(chosen)
        return []

    monkeypatch.setattr(lungs, "outlined", outlined)
    pneumonia.load(ROOT, ("train",))
    assert {row.split for row in drawn} == {"train"}
    assert not any(row.label == "pneumonia_unspecified" and row.note.endswith(":Normal") for row in drawn)
    drawn.clear()
    pneumonia.load(ROOT, ("train",), left_out=("NIH", "CRD-RSNA"))
    assert {row.source for row in drawn} == {"Kermany", "CRD-COVID", "JSRT", "Shenzhen"}
