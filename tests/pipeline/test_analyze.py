"""``chest-edge analyze`` as a person runs it: real processes on real and hostile files."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.uid import generate_uid

from edge.pipeline.runner import RADIOGRAPH_STAGES
from tests.support import inputs

RG1, RG3 = inputs.example("RG1_UNCR.dcm"), inputs.example("RG3_UNCR.dcm")
RG1_SHAPE = (1955, 1841)


@dataclass(frozen=True)
class Run:
    """What a run of the command came to."""

    status: int
    output: str
    errors: str

    @property
    def reports(self) -> list[dict[str, Any]]:
        """One a study, in order."""
        return [json.loads(line) for line in self.output.splitlines()]

    @property
    def by_name(self) -> dict[str, dict[str, Any]]:
        """Reports by the name of their first file."""
        return {Path(report["source"][0]).name: report for report in self.reports}


def analyze(*paths: Path | str, options: Sequence[str] = ("--json",), folder: Path | None = None) -> Run:
    command = [sys.executable, "-m", "edge", "analyze", *options, *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, cwd=folder)
    return Run(done.returncode, done.stdout, done.stderr)


def codes(report: dict[str, Any], part: str = "reasons") -> list[str]:
    return [remark["code"] for remark in report[part]]


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Path]:
    """The chest and the leg of pydicom-data, with masks, and the folder of the masks."""
    masks = tmp_path_factory.mktemp("examples") / "masks" / "below"
    return analyze(RG1, RG3, options=["--json", "--masks", str(masks)]), masks


def test_a_chest_radiograph_is_read_and_its_lungs_are_outlined(examples: tuple[Run, Path]) -> None:
    run, _ = examples
    assert (run.status, run.errors) == (0, "")
    report = run.reports[0]
    assert (report["schema"], report["state"], report["modality"]) == ("chest-edge/result/1", "done", "CR")
    assert [stage["status"] for stage in report["stages"]] == ["ok"] * len(RADIOGRAPH_STAGES)
    assert all(len(stage["model_sha256"]) == 64 for stage in report["stages"])
    assert report["classification"]["decision"] in {"normal", "abnormal", "refer"}
    assert "no_pixel_spacing" in codes(report, "quality"), "RG1 has a spacing of 0.000"
    segmentation = report["segmentation"]
    assert (segmentation["plausible"], segmentation["image_size_px"]) == (True, list(RG1_SHAPE))
    right, left = (np.concatenate(segmentation["contours"][name]).mean(0) for name in ("right_lung", "left_lung"))
    assert right[1] < RG1_SHAPE[1] / 2 < left[1]


def test_a_leg_is_refused(examples: tuple[Run, Path]) -> None:
    report = examples[0].reports[1]
    assert (report["state"], codes(report)) == ("no_result", ["not_frontal_chest"])
    assert (report["classification"], report["segmentation"]) == (None, None)
    assert report["reasons"][0]["text"] == "Not a frontal chest radiograph, no result."


def test_masks_lie_under_the_name_of_their_source_in_its_size(examples: tuple[Run, Path]) -> None:
    run, masks = examples
    assert [path.name for path in masks.iterdir()] == ["RG1_UNCR.png"]
    segmentation = run.reports[0]["segmentation"]
    assert segmentation["mask_file"] == str(masks / "RG1_UNCR.png")
    assert segmentation["mask_labels"] == {
        "1": "right lung",
        "2": "left lung",
        "3": "lung hidden by heart or diaphragm",
    }
    labels = cv2.imread(str(masks / "RG1_UNCR.png"), cv2.IMREAD_UNCHANGED)
    assert (labels.shape, labels.dtype) == (RG1_SHAPE, np.uint8)
    assert {0, 1, 2} <= set(np.unique(labels)) <= {0, 1, 2, 3}
    shares = segmentation["area_share"]
    assert (labels == 1).mean() == pytest.approx(shares["right_lung"], abs=0.01)
    right, left = (np.nonzero(labels == label)[1].mean() for label in (1, 2))
    assert right < left


def test_the_lung_behind_the_heart_is_labelled(examples: tuple[Run, Path]) -> None:
    labels = cv2.imread(str(examples[1] / "RG1_UNCR.png"), cv2.IMREAD_UNCHANGED)
    assert (labels == 3).mean() > 0.01


def test_without_json_there_is_one_plain_line_a_study() -> None:
    run = analyze(RG1, RG3, options=())
    chest, leg, disclaimer = run.output.splitlines()
    assert disclaimer == "Research use, not a medical device."
    assert chest.startswith(f"{RG1} | done | ")
    assert leg == f"{RG3} | no result | Not a frontal chest radiograph, no result."
    assert (run.status, run.errors) == (0, "")


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Every bad file in one folder, a good one last."""
    folder = tmp_path_factory.mktemp("refused")
    for name, (write, _) in inputs.REFUSED.items():
        write(folder / name)
    inputs.chest_dicom(folder / "whole.dcm")
    return analyze(folder)


@pytest.mark.parametrize(("name", "code"), [(name, code) for name, (_, code) in inputs.REFUSED.items()])
def test_every_bad_file_gets_its_own_reason(refused: Run, name: str, code: str) -> None:
    report = refused.by_name[name]
    assert (report["state"], codes(report), report["stages"]) == ("quarantined", [code], [])
    assert (report["classification"], report["segmentation"]) == (None, None)
    text = report["reasons"][0]["text"]
    assert len(text) < 120 and "%(" not in text


def test_bad_files_fail_the_command_and_leave_the_good_one(refused: Run) -> None:
    assert (refused.status, refused.errors) == (1, "")
    assert len(refused.reports) == len(inputs.REFUSED) + 1
    assert refused.by_name["whole.dcm"]["state"] in {"done", "no_result"}


def test_nothing_of_the_patient_is_printed(refused: Run) -> None:
    for secret in ("Phantom", "PHANTOM-1", "19700102", "ACC-1"):
        assert secret not in refused.output + refused.errors


def test_one_bad_file_alone_fails_the_command_in_a_plain_line(tmp_path: Path) -> None:
    path = inputs.text_file(tmp_path / "letter.dcm")
    run = analyze(path, options=())
    assert (run.status, run.errors) == (1, "")
    assert run.output.splitlines() == [
        f"{path} | quarantined | This file is neither a DICOM object nor a picture that can be read.",
        "Research use, not a medical device.",
    ]


def test_folders_are_searched_to_the_bottom_and_hidden_files_left_out(tmp_path: Path) -> None:
    deep = tmp_path / "1" / "2" / "3"
    deep.mkdir(parents=True)
    inputs.chest_dicom(deep / "deep.dcm")
    inputs.chest_png(tmp_path / "1" / "picture.png")
    inputs.text_file(tmp_path / "1" / ".hidden")
    run = analyze("1", folder=tmp_path)
    assert [report["source"] for report in run.reports] == [["1/picture.png"], ["1/2/3/deep.dcm"]]
    assert run.status == 0


def test_a_folder_that_leads_into_itself_ends(tmp_path: Path) -> None:
    run = analyze(inputs.looping_folder(tmp_path / "folder"))
    states = {name: report["state"] for name, report in run.by_name.items()}
    assert states.pop("image.dcm") in {"done", "no_result"}
    assert states == {"nothing": "quarantined"}, "a link to nothing is said, links to folders are not followed"


def test_one_object_met_twice_is_read_once(tmp_path: Path) -> None:
    first = inputs.chest_dicom(tmp_path / "first.dcm")
    shutil.copy(first, tmp_path / "second.dcm")
    run = analyze(tmp_path, first)
    assert [report["source"] for report in run.reports] == [[str(first)]]
    assert run.status == 0


def test_one_identifier_with_other_content_is_set_aside(tmp_path: Path) -> None:
    first, second = inputs.duplicate_uid_pair(tmp_path)
    run = analyze(first, second)
    assert [report["source"] for report in run.reports] == [[str(first)], [str(second)]]
    assert run.reports[0]["state"] in {"done", "no_result"}
    assert (run.reports[1]["state"], codes(run.reports[1])) == ("quarantined", ["conflicting_duplicate"])
    assert run.status == 1


def test_a_whole_copy_is_read_whatever_broken_one_came_before_it(tmp_path: Path) -> None:
    broken = pydicom.dcmread(RG1)
    broken.PixelData = broken.PixelData[: len(broken.PixelData) // 2]
    broken.save_as(tmp_path / "broken.dcm")
    run = analyze(tmp_path / "broken.dcm", RG1)
    (report,) = run.reports
    assert (run.status, report["state"], report["source"][0]) == (0, "done", str(RG1))
    assert "unreadable_images" in codes(report, "quality")


def test_files_of_one_study_are_read_together_and_others_apart(tmp_path: Path) -> None:
    first, second, third = inputs.dx(), inputs.dx(), inputs.dx()
    second.StudyInstanceUID = first.StudyInstanceUID
    paths = [inputs.save(d, tmp_path / f"{n}.dcm") for n, d in zip("acb", (first, second, third), strict=True)]
    run = analyze(*paths)
    assert [sorted(report["source"]) for report in run.reports] == [[str(p) for p in paths[:2]], [str(paths[2])]]
    assert [report["study_instance_uid"] for report in run.reports] == [first.StudyInstanceUID, third.StudyInstanceUID]


def test_a_picture_is_a_study_of_its_own_without_a_header(tmp_path: Path) -> None:
    inputs.chest_png(tmp_path / "a.png")
    Image.open(tmp_path / "a.png").save(tmp_path / "b.jpg", quality=95)
    run = analyze(tmp_path)
    assert list(run.by_name) == ["a.png", "b.jpg"]
    for report in run.reports:
        assert (report["study_instance_uid"], report["modality"]) == (None, None)
        assert "no_dicom_header" in codes(report, "quality")
        assert report["state"] != "quarantined"


def test_masks_of_two_files_of_one_name_do_not_overwrite_each_other(tmp_path: Path) -> None:
    (tmp_path / "in" / "other").mkdir(parents=True)
    shutil.copy(RG1, tmp_path / "in" / "chest.dcm")
    pixels = Image.fromarray(np.rint(_upright_rg1() * 255).astype(np.uint8))
    pixels.resize((500, 600)).save(tmp_path / "in" / "other" / "chest.png")
    run = analyze(tmp_path / "in", options=["--json", "--masks", str(tmp_path / "masks")])
    files = [Path(report["segmentation"]["mask_file"]) for report in run.reports]
    assert sorted(path.name for path in files) == ["chest-2.png", "chest.png"]
    shapes = [cv2.imread(str(path), cv2.IMREAD_UNCHANGED).shape for path in files]
    assert shapes == [RG1_SHAPE, (600, 500)]


def test_the_mask_of_a_turned_image_lies_as_the_image_does(tmp_path: Path) -> None:
    upright = np.rint(_upright_rg1() * 255).astype(np.uint8)[::2, ::2]
    for turns in range(2):
        Image.fromarray(np.rot90(upright, turns)).save(tmp_path / f"{turns}.png")
    run = analyze(tmp_path, options=["--json", "--masks", str(tmp_path / "masks")])
    straight, turned = (cv2.imread(str(tmp_path / "masks" / f"{t}.png"), cv2.IMREAD_UNCHANGED) for t in range(2))
    assert run.reports[1]["segmentation"]["turned_deg"] == 90
    assert turned.shape == straight.shape[::-1]
    assert (np.rot90(turned, -1) == straight).mean() > 0.97


def test_a_file_named_after_its_identifier_keeps_its_whole_name(tmp_path: Path) -> None:
    path = tmp_path / generate_uid()
    shutil.copy(RG1, path)
    analyze(path, options=["--masks", str(tmp_path / "masks")])
    assert [mask.name for mask in (tmp_path / "masks").iterdir()] == [f"{path.name}.png"]


def test_a_path_that_does_not_exist_is_said_and_nothing_is_read(tmp_path: Path) -> None:
    run = analyze(inputs.chest_dicom(tmp_path / "a.dcm"), tmp_path / "absent")
    assert (run.status, run.output) == (2, "")
    assert run.errors == f"chest-edge: There is no file or folder {tmp_path / 'absent'}.\n"


def test_masks_that_cannot_be_written_are_said_before_anything_is_read(tmp_path: Path) -> None:
    path = inputs.chest_dicom(tmp_path / "a.dcm")
    run = analyze(path, options=["--json", "--masks", str(path)])
    assert (run.status, run.output) == (2, "")
    assert run.errors == f"chest-edge: {path} is a file, and no folder.\n"


def test_an_empty_folder_is_said(tmp_path: Path) -> None:
    run = analyze(tmp_path)
    assert (run.status, run.output, run.errors) == (2, "", "chest-edge: There is no file to read.\n")


def test_a_pipe_in_a_folder_is_passed_over(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    inputs.chest_dicom(tmp_path / "chest.dcm")
    assert len(analyze(tmp_path).reports) == 1


def test_hidden_folders_are_left_out(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    inputs.text_file(tmp_path / ".git" / "HEAD")
    inputs.chest_dicom(tmp_path / "chest.dcm")
    assert len(analyze(tmp_path).reports) == 1


def test_an_empty_path_is_not_the_current_directory() -> None:
    run = analyze(Path("x"), options=[""])
    assert (run.status, run.output) == (2, "")
    assert "expected a path, got an empty one" in run.errors


def test_a_mask_is_written_for_a_name_that_is_no_utf8(tmp_path: Path) -> None:
    source = Path(os.fsdecode(os.fsencode(tmp_path) + b"/bad\xff.dcm"))
    source.write_bytes(RG1.read_bytes())
    run = analyze(source, options=["--json", "--masks", str(tmp_path / "masks")])
    assert run.status == 0
    report = json.loads(run.output.encode("utf-8"))
    assert Path(report["segmentation"]["mask_file"]).exists()


def test_a_bar_is_shown_to_a_person_who_waits_for_many_files(tmp_path: Path) -> None:
    for number in range(4):
        inputs.text_file(tmp_path / f"{number}.txt")
    master, terminal = os.openpty()
    try:
        command = [sys.executable, "-m", "edge", "analyze", "--json", str(tmp_path)]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=terminal, timeout=300, check=False)
        shown = os.read(master, 65536).decode()
    finally:
        os.close(terminal)
        os.close(master)
    assert len(done.stdout.splitlines()) == 4
    looked, read = shown.split("\rreading", 1)
    assert "\rlooking" in looked and "4/4" in looked
    assert "4/4" in read and shown.endswith("\x1b[K")


def test_a_picture_that_is_named_twice_is_read_once(tmp_path: Path) -> None:
    path = inputs.colour_png(tmp_path / "a.png")
    assert [report["source"] for report in analyze(tmp_path, path).reports] == [[str(path)]]


def _upright_rg1() -> np.ndarray[Any, np.dtype[np.float32]]:
    from edge.dicom.reader import Reader

    with Reader() as reader:
        return reader.read(RG1).radiograph.pixels
