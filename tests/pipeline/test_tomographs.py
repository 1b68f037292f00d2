"""The reading of a chest CT from its files to its result, with the network as it ships."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK

from edge.config import Settings
from edge.dicom.reader import Reader
from edge.errors import ModelError, UnreadableError
from edge.pipeline import tomographs
from edge.pipeline.masks import MaskWriter
from edge.pipeline.reading import Engines, Known, SourceImage, load_engines, read_study
from edge.pipeline.runner import TOMOGRAPH_STAGES
from edge.pipeline.schema import to_json
from edge.pipeline.stacks import prior_scan, write_stack
from edge.stages.stage import Outcome, Stage
from edge.stages.tomography.detection import METHOD
from edge.stages.tomography.scan import Scan
from edge.types import State, StudyResult, Tissue
from tests.support import ct_files, inputs
from tests.support.ct_phantom import Chest, chest

KEY = "0123456789abcdef" * 2


@pytest.fixture(scope="module")
def engines() -> Engines:
    return load_engines(Settings())


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    with Reader() as shared:
        yield shared


@pytest.fixture(scope="module")
def phantom() -> Chest:
    return chest(consolidated=True)


def sources(reader: Reader, paths: list[Path]) -> Iterator[SourceImage]:
    for path in paths:
        try:
            yield SourceImage(path.name, reader.read_any(path))
        except UnreadableError as error:
            yield SourceImage(path.name, error)


@pytest.fixture(scope="module")
def read(reader: Reader, engines: Engines, phantom: Chest, tmp_path_factory: pytest.TempPathFactory) -> StudyResult:
    paths = ct_files.write(tmp_path_factory.mktemp("series"), phantom)
    return read_study(sources(reader, paths), engines, KEY)


def truth_ml(phantom: Chest) -> dict[str, float]:
    voxel_ml = float(np.prod(phantom.volume.spacing_mm)) / 1000
    sides = {"right_lung": phantom.right, "left_lung": phantom.left, "both": phantom.lungs}
    return {name: float(part.sum()) * voxel_ml for name, part in sides.items()}


def test_a_series_becomes_volumes_and_a_measure_of_its_opacity(read: StudyResult, phantom: Chest) -> None:
    report = to_json(read)
    assert (report["state"], report["modality"], report["classification"]["decision"]) == ("done", "CT", "refer")
    assert [reason["code"] for reason in report["reasons"]] == [
        "network_missed_lung",
        "unusual_bases",
        "between_limits",
    ]
    assert {stage["status"] for stage in report["stages"]} == {"ok"}
    assert report["segmentation"]["method"] == "network"
    measured, expected = report["segmentation"]["lung_volume_ml"], truth_ml(phantom)
    assert measured == {name: pytest.approx(volume, rel=0.01) for name, volume in expected.items()}
    dense_ml = float(phantom.dense.sum() * np.prod(phantom.volume.spacing_mm)) / 1000
    assert report["detection"]["consolidation_ml"]["right_lung"] == pytest.approx(dense_ml, rel=0.25)
    assert report["findings"][0]["laterality"] == "right"


def test_the_series_is_described_and_its_first_slice_is_that_of_the_head(read: StudyResult, phantom: Chest) -> None:
    report = to_json(read)
    count = len(phantom.volume.hu)
    assert (report["series"]["slices"], report["series"]["left_out"], len(read.source)) == (count, [], count)
    assert 1 <= min(report["series"]["key_slices"]) <= max(report["series"]["key_slices"]) <= count
    assert read.tomogram is not None and read.view_pixels is not None
    assert read.tomogram.affine[2, 0] < 0
    assert len(read.tomogram.planes) == len(read.tomogram.slice_uids) == count
    assert read.view_pixels.shape == read.tomogram.planes[0].shape


def test_the_labels_lie_on_the_slices_that_they_were_made_of(read: StudyResult, phantom: Chest) -> None:
    made = read.tomogram
    assert made is not None and made.tissue is not None
    expected = np.flip(phantom.lungs, 0)[:, : made.tissue.shape[1], : made.tissue.shape[2]]
    found = made.tissue > 0
    assert 2 * (found & expected).sum() / (found.sum() + expected.sum()) > 0.97
    assert (made.tissue[..., : made.tissue.shape[2] // 2] % 2 == 1).any()  # the right lung on the left of the screen


@pytest.mark.parametrize("prepared", [ct_files.Way(missing=(30,)), ct_files.Way(orientation=ct_files.PRONE)])
def test_a_gap_is_filled_and_a_prone_patient_is_turned(
    reader: Reader, engines: Engines, phantom: Chest, tmp_path: Path, prepared: ct_files.Way
) -> None:
    result = read_study(sources(reader, ct_files.write(tmp_path, phantom, prepared)), engines, KEY)
    report, expected = to_json(result), truth_ml(phantom)
    assert result.state is State.DONE and report["series"]["slices"] == len(phantom.volume.hu)
    assert report["segmentation"]["lung_volume_ml"]["both"] == pytest.approx(expected["both"], rel=0.01)
    assert result.tomogram is not None
    assert result.tomogram.slice_uids.count("") == len(prepared.missing)
    assert ("small_gaps" in [reason["code"] for reason in report["reasons"]]) == bool(prepared.missing)


def test_a_study_without_a_series_of_the_chest_is_kept_and_shown(
    reader: Reader, engines: Engines, phantom: Chest, tmp_path: Path
) -> None:
    paths = ct_files.write(tmp_path, phantom)[:3]
    broken = tmp_path / "broken.dcm"
    broken.write_bytes(paths[0].read_bytes()[:4000])
    result = read_study(sources(reader, [*paths, broken]), engines, KEY)
    assert (result.state, result.stages, len(result.source)) == (State.NO_RESULT, (), 4)
    assert [remark.code for remark in result.reasons] == ["too_few_slices"]
    assert [remark.code for remark in result.remarks][-1] == "unreadable_images"
    assert result.view_pixels is not None and result.tomogram is None
    assert result.series is not None and [one["images"] for one in result.series["left_out"]] == [3]


def test_a_radiograph_that_gives_no_result_is_listed_beside_the_ct_that_is_read(
    reader: Reader, engines: Engines, phantom: Chest, tmp_path: Path
) -> None:
    paths = [inputs.chest_dicom(tmp_path / "radiograph.dcm"), *ct_files.write(tmp_path / "series", phantom)]
    report = to_json(read_study(sources(reader, paths), engines, KEY))
    assert (report["modality"], report["state"]) == ("CT", "done")
    assert [(left["code"], left["images"]) for left in report["series"]["left_out"]] == [("other_modality", 1)]


def test_a_dose_report_in_colours_is_left_out_and_alone_is_no_failure(
    reader: Reader, engines: Engines, phantom: Chest, tmp_path: Path
) -> None:
    photograph = {"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3, "PlanarConfiguration": 0}
    dose = ct_files.write_dose_report(tmp_path / "dose.dcm", ct_files.Way(elements=photograph))
    alone = to_json(read_study(sources(reader, [dose]), engines, KEY))
    assert (alone["state"], [reason["code"] for reason in alone["reasons"]]) == ("no_result", ["only_reformats"])
    report = to_json(read_study(sources(reader, [dose, *ct_files.write(tmp_path / "a", phantom)]), engines, KEY))
    assert (report["state"], report["series"]["slices"]) == ("done", 60)
    assert [(left["code"], left["images"]) for left in report["series"]["left_out"]] == [("no_measurement", 1)]
    assert "unreadable_images" not in {remark["code"] for remark in report["quality"]}


def test_without_its_network_the_lungs_are_found_by_their_densities(
    reader: Reader, engines: Engines, phantom: Chest, tmp_path: Path
) -> None:
    lacking = {**engines, "ct_lung": ModelError("model_missing", model="ct_lung")}
    report = to_json(read_study(sources(reader, ct_files.write(tmp_path, phantom)), lacking, KEY))
    assert (report["state"], report["segmentation"]["method"]) == ("done", "classical")
    expected = truth_ml(phantom)["both"]
    assert report["segmentation"]["lung_volume_ml"]["both"] == pytest.approx(expected, rel=0.03)


def test_a_later_ct_is_compared_with_the_pictures_of_the_earlier_one(
    reader: Reader, engines: Engines, read: StudyResult, phantom: Chest, tmp_path: Path
) -> None:
    first, described = to_json(read), {stage.stage: stage.model_sha256 for stage in read.stages}
    assert read.tomogram is not None
    write_stack(tmp_path / "stack.zip", read.tomogram)
    earlier = {**first["severity"], "study_key": KEY, "version": 1, "models": described, "method": METHOD}
    earlier |= {"completed_at": first["completed_at"], "acquired_at": None}
    known = Known(prior=earlier, prior_scan_of=lambda prior: prior_scan(tmp_path / "stack.zip", prior))
    paths = ct_files.write(tmp_path / "later", chest())
    report = to_json(read_study(sources(reader, paths), engines, "f" * 32, known))
    assert (report["registration"]["to"], report["registration"]["aligned"]) == ("prior", True)
    matched = np.array(report["registration"]["matched"])
    assert np.abs(matched - np.arange(1, len(matched) + 1)).max() <= 1
    assert report["severity"]["change"]["zones"]["right_middle"] < -0.3
    other = {**earlier, "models": described | {"segmentation": "0" * 64}}
    unlike = to_json(read_study(sources(reader, paths), engines, "f" * 32, replace(known, prior=other)))
    assert unlike["severity"]["change"] is None
    changed = replace(known, prior={**earlier, "method": METHOD - 1})
    assert changed.prior_scan(engines) is None and known.prior_scan(engines) is not None


def test_the_mask_of_a_ct_is_a_volume_in_its_place(read: StudyResult, phantom: Chest, tmp_path: Path) -> None:
    report: dict[str, Any] = to_json(read)
    MaskWriter(tmp_path / "masks", [Path("a.dcm")]).write(read, report)
    image = SimpleITK.ReadImage(report["segmentation"]["mask_file"])
    assert report["segmentation"]["mask_labels"]["3"] == "right ground glass"
    measured = SimpleITK.LabelShapeStatisticsImageFilter()
    measured.Execute(image > 0)
    assert measured.GetPhysicalSize(1) / 1000 == pytest.approx(
        report["segmentation"]["lung_volume_ml"]["both"], rel=0.01
    )
    right = SimpleITK.LabelShapeStatisticsImageFilter()
    right.Execute(image == int(Tissue.RIGHT_LUNG))
    assert right.GetCentroid(1)[0] < 0  # the patient's right is -x


def broken(stage: str) -> tuple[Stage[Scan], ...]:
    """The stages of a CT, of which this one does not work."""

    def breaks(*_: object) -> Outcome[Scan]:
        raise ZeroDivisionError

    return tuple(
        replace(other, read=other.read and breaks, unaided=breaks) if other.name == stage else other
        for other in TOMOGRAPH_STAGES
    )


@pytest.mark.parametrize("stage", ["quality", "segmentation", "detection", "classification"])
def test_without_a_stage_that_the_decision_is_made_of_the_reading_failed(
    reader: Reader, engines: Engines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    monkeypatch.setattr(tomographs, "TOMOGRAPH_STAGES", broken(stage))
    report = to_json(read_study(sources(reader, ct_files.write(tmp_path, chest())), engines, KEY))
    assert (report["state"], report["classification"]) == ("failed", None)
    assert [reason["code"] for reason in report["reasons"]] == ["stage_failed"]


@pytest.mark.parametrize("stage", ["registration", "positioning"])
def test_the_place_of_an_earlier_ct_is_no_part_of_the_decision_but_that_of_the_lungs_is(
    reader: Reader, engines: Engines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    monkeypatch.setattr(tomographs, "TOMOGRAPH_STAGES", broken(stage))
    report = to_json(read_study(sources(reader, ct_files.write(tmp_path, chest())), engines, KEY))
    assert report["state"] == ("failed" if stage == "positioning" else "done") and report["detection"]["zones"]


def test_a_ct_image_without_a_modality_is_read_and_worded_as_a_ct(
    reader: Reader, engines: Engines, phantom: Chest, tmp_path: Path
) -> None:
    paths = ct_files.write(tmp_path, phantom, ct_files.Way(elements={"Modality": ""}))
    assert reader.read_header(paths[0]).modality == "CT"
    assert to_json(read_study(sources(reader, paths), engines, KEY))["modality"] == "CT"
