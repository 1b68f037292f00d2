"""``chest-edge analyze --objects``: real files in, objects out that the programs of others find valid."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from tests.support import cases, ct_files, inputs
from tests.support.ct_phantom import chest
from tests.support.paper import text_of
from tests.support.public_data import ROOT, needs_public_data

RG1, RG3 = inputs.example("RG1_UNCR.dcm"), inputs.example("RG3_UNCR.dcm")
ALL_KINDS, WITHOUT_OUTLINES = {"sc", "sr", "seg", "gsps", "pdf"}, {"sc", "sr", "pdf"}


def analyze(folder: Path, *paths: Path, options: tuple[str, ...] = ("--json",)) -> tuple[int, str]:
    """Exit status and output of the command, which writes objects to the folder."""
    command = [sys.executable, "-m", "edge", "analyze", *options, "--objects", str(folder), *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    return done.returncode, done.stdout


def reports(output: str) -> list[dict[str, Any]]:
    """One a study, in order."""
    return [json.loads(line) for line in output.splitlines()]


def assert_valid(report: dict[str, Any], source: Path, folder: Path) -> None:
    """Every object of a report is valid and belongs to its image."""
    image = pydicom.dcmread(source, force=True, stop_before_pixels=True)
    for path in report["objects"].values():
        made = pydicom.dcmread(path)
        assert cases.faults(made, folder) == [], path
        assert made.StudyInstanceUID == image.StudyInstanceUID
        assert image.SOPInstanceUID in str(made)


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[dict[str, Any]], Path]:
    """The chest, the leg and the phantom, and the folder of their objects."""
    folder = tmp_path_factory.mktemp("objects")
    phantom = inputs.chest_dicom(folder / "phantom.dcm")
    status, output = analyze(folder / "made", RG1, RG3, phantom)
    assert status == 0
    return reports(output), folder


def test_real_files_give_valid_objects(examples: tuple[list[dict[str, Any]], Path], tmp_path: Path) -> None:
    chest, leg, phantom = examples[0]
    assert set(chest["objects"]) == ALL_KINDS
    assert set(leg["objects"]) == WITHOUT_OUTLINES
    assert set(phantom["objects"]) >= WITHOUT_OUTLINES
    for report in (chest, leg, phantom):
        assert_valid(report, Path(report["source"][0]), tmp_path)


def test_objects_are_named_after_their_image_and_nothing_else_is_written(
    examples: tuple[list[dict[str, Any]], Path],
) -> None:
    named = {path for report in examples[0] for path in report["objects"].values()}
    assert {str(path) for path in (examples[1] / "made").iterdir()} == named
    assert {Path(path).name for path in examples[0][0]["objects"].values()} == {f"RG1_UNCR.{k}.dcm" for k in ALL_KINDS}


def test_the_report_is_that_of_the_image_and_says_that_nobody_signed_it(
    examples: tuple[list[dict[str, Any]], Path],
) -> None:
    made = pydicom.dcmread(examples[0][0]["objects"]["pdf"])
    text = text_of(made.EncapsulatedDocument[: made.EncapsulatedDocumentLength])
    assert str(pydicom.dcmread(RG1, stop_before_pixels=True).PatientID) in text
    assert "No receipt" in text


def test_the_segments_of_a_real_chest_cover_its_lungs(examples: tuple[list[dict[str, Any]], Path]) -> None:
    chest = examples[0][0]
    lungs = pydicom.dcmread(chest["objects"]["seg"]).pixel_array
    assert lungs.shape[1:] == (1955, 1841)
    shares = chest["segmentation"]["area_share"]
    assert lungs[0].mean() == pytest.approx(shares["right_lung"], rel=0.02)
    assert lungs[1].mean() == pytest.approx(shares["left_lung"], rel=0.02)


def test_a_turned_image_gets_its_marks_where_it_lies(tmp_path: Path) -> None:
    turned = pydicom.dcmread(RG1)
    pixels = np.rot90(turned.pixel_array)
    turned.PixelData, (turned.Rows, turned.Columns) = pixels.tobytes(), pixels.shape
    turned.SOPInstanceUID = turned.StudyInstanceUID = turned.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    turned.save_as(tmp_path / "turned.dcm")
    _, output = analyze(tmp_path / "made", tmp_path / "turned.dcm", RG1)
    lying, upright = (pydicom.dcmread(report["objects"]["seg"]).pixel_array for report in reports(output))
    assert pydicom.dcmread(reports(output)[0]["objects"]["gsps"]).ImageRotation == 90
    overlap = (np.rot90(upright, axes=(1, 2)) & lying).sum() / lying.sum()
    assert overlap > 0.95


def test_a_picture_says_why_it_has_no_objects(tmp_path: Path) -> None:
    picture = inputs.chest_png(tmp_path / "chest.png")
    status, output = analyze(tmp_path / "made", picture)
    (report,) = reports(output)
    assert (status, report["objects"]) == (1, {})
    assert report["objects_refused"]["code"] == "no_header"
    _, said = analyze(tmp_path / "made", picture, options=())
    assert "A picture has no DICOM header" in said


@needs_public_data
def test_radiographs_of_other_makers_give_valid_objects(tmp_path: Path) -> None:
    sources = sorted((ROOT / "dicom").glob("*.dcm"))
    status, output = analyze(tmp_path / "made", *sources)
    assert (status, len(reports(output))) == (0, len(sources))
    for source, report in zip(sources, reports(output), strict=True):
        assert set(report["objects"]) == ALL_KINDS
        assert_valid(report, source, tmp_path)


def test_a_folder_of_ct_slices_gives_objects_of_its_series(tmp_path: Path) -> None:
    folder = tmp_path / "ct"
    files = ct_files.write(folder, chest(from_head=True, consolidated=True))
    status, output = analyze(tmp_path / "made", folder)
    (report,) = reports(output)
    assert (status, report["state"], report["objects_refused"]) == (0, "done", None)
    assert set(report["objects"]) == {"sc", "sr", "seg", "pdf"}
    assert_valid(report, Path(report["source"][0]), tmp_path)
    made = pydicom.dcmread(report["objects"]["seg"])
    lungs_ml = report["segmentation"]["lung_volume_ml"]["both"]
    counted_ml = made.pixel_array[_of_lungs(made)].sum() * 5 * 1.5 * 1.5 / 1000
    assert counted_ml == pytest.approx(lungs_ml, rel=0.01) and len(files) > 50


def _of_lungs(made: pydicom.Dataset) -> list[int]:
    numbers = {segment.SegmentNumber for segment in made.SegmentSequence if segment.SegmentLabel.endswith(" lung")}
    return [
        place
        for place, frame in enumerate(made.PerFrameFunctionalGroupsSequence)
        if frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber in numbers
    ]
