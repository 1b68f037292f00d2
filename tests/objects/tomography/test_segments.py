"""Segments of a CT lie where the phantom has its lungs, in patient coordinates, however its slices are stored."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from highdicom.seg import segread
from pydicom.dataset import Dataset

from edge.errors import ObjectError
from edge.objects.case import kinds, make
from edge.objects.tomography.segments import Overlapping
from edge.objects.tomography.slices import Slices
from edge.types import Kind, Tissue
from tests.support import cases, ct_cases, ct_files
from tests.support.ct_cases import WAYS

TISSUES = {
    "Right lung": (Tissue.RIGHT_LUNG, Tissue.RIGHT_GROUND_GLASS, Tissue.RIGHT_CONSOLIDATION),
    "Left lung": (Tissue.LEFT_LUNG,),
    "Ground glass": (Tissue.RIGHT_GROUND_GLASS,),
    "Consolidation": (Tissue.RIGHT_CONSOLIDATION,),
}


def in_patient(made: Dataset, frame: Dataset) -> npt.NDArray[np.float64]:
    """LPS millimetres of each pixel of a frame, by its own functional groups (PS3.3 section C.7.6.2.1.1)."""
    shared = made.SharedFunctionalGroupsSequence[0]
    along_row, along_column = np.reshape(shared.PlaneOrientationSequence[0].ImageOrientationPatient, (2, 3)).astype(
        float
    )
    down, across = map(float, shared.PixelMeasuresSequence[0].PixelSpacing)
    origin = np.array(frame.PlanePositionSequence[0].ImagePositionPatient, float)
    row, column = np.mgrid[0 : made.Rows, 0 : made.Columns][..., None]
    return np.asarray(origin + row * down * along_column + column * across * along_row)


def far_apart(one: npt.NDArray[Any], other: npt.NDArray[Any], within_px: int) -> int:
    """Pixels of one mask that are farther than so many pixels from the other, both ways."""
    near = np.ones((2 * within_px + 1,) * 2, np.uint8)
    one, other = np.ascontiguousarray(one, np.uint8), np.ascontiguousarray(other, np.uint8)
    return int((one > cv2.dilate(other, near)).sum() + (other > cv2.dilate(one, near)).sum())


def astray(made: Dataset, within_px: int = 1) -> dict[str, int]:
    """By segment, the pixels that lie farther than so many pixels from where the phantom has its tissue."""
    chest = ct_cases.phantom()
    tissue, found = ct_cases.ct_result.tissue_of(chest), dict.fromkeys(TISSUES, 0)
    names = {segment.SegmentNumber: segment.SegmentLabel for segment in made.SegmentSequence}
    pixels = made.pixel_array
    for frame, mask in zip(made.PerFrameFunctionalGroupsSequence, pixels, strict=True):
        name = names[frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber]
        there = ct_cases.tissue_at(chest, tissue, in_patient(made, frame))
        found[name] += far_apart(mask, np.isin(there, TISSUES[name]), within_px)
    return found


@pytest.mark.parametrize("enhanced", [False, True], ids=["slices", "enhanced"])
@pytest.mark.parametrize("name", ["plain", "tilted", "anisotropic", "reversed", "prone", "from above", "turned"])
def test_segments_lie_where_the_phantom_has_its_tissue(name: str, enhanced: bool, tmp_path: Path) -> None:
    case = ct_cases.case(tmp_path, WAYS[name], enhanced=enhanced)
    made = make(case, Kind.SEGMENTATION)
    assert cases.faults(made, tmp_path) == []
    assert made.FrameOfReferenceUID == case.source.FrameOfReferenceUID
    assert (made.Rows, made.Columns) == (case.source.Rows, case.source.Columns)
    assert astray(cases.read_back(made, tmp_path)) == dict.fromkeys(TISSUES, 0)


def test_a_volume_is_that_of_the_phantom(tmp_path: Path) -> None:
    made = make(ct_cases.case(tmp_path), Kind.SEGMENTATION)
    chest = ct_cases.phantom()
    voxel_ml = np.prod(chest.volume.spacing_mm) / 1000
    counted = {
        segment.SegmentLabel: sum(
            int(mask.sum())
            for frame, mask in zip(made.PerFrameFunctionalGroupsSequence, made.pixel_array, strict=True)
            if frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber == segment.SegmentNumber
        )
        for segment in made.SegmentSequence
    }
    assert counted["Right lung"] * voxel_ml == pytest.approx(chest.right.sum() * voxel_ml, rel=0.01)
    assert counted["Left lung"] * voxel_ml == pytest.approx(chest.left.sum() * voxel_ml, rel=0.01)
    assert made.SegmentsOverlap == "YES"


@pytest.mark.parametrize("enhanced", [False, True], ids=["slices", "enhanced"])
def test_each_frame_names_the_slice_that_it_lies_on(enhanced: bool, tmp_path: Path) -> None:
    case = ct_cases.case(tmp_path, WAYS["prone"], enhanced=enhanced)
    assert case.slices is not None
    sources = {source.SOPInstanceUID: source for source in case.slices.headers()}
    for frame in make(case, Kind.SEGMENTATION).PerFrameFunctionalGroupsSequence:
        (named,) = frame.DerivationImageSequence[0].SourceImageSequence
        source = sources[named.ReferencedSOPInstanceUID]
        if enhanced:
            source = source.PerFrameFunctionalGroupsSequence[named.ReferencedFrameNumber - 1].PlanePositionSequence[0]
        position = frame.PlanePositionSequence[0].ImagePositionPatient
        assert np.allclose(np.array(position, float), np.array(source.ImagePositionPatient, float))


def test_it_reads_back_as_a_volume_of_the_slices(tmp_path: Path) -> None:
    case = ct_cases.case(tmp_path)
    make(case, Kind.SEGMENTATION).save_as(tmp_path / "seg.dcm", enforce_file_format=True)
    volume = segread(tmp_path / "seg.dcm").get_volume(combine_segments=False)
    assert np.allclose(sorted(volume.spacing), sorted(WAYS["plain"].spacing_mm))


def test_a_slice_that_was_filled_in_has_no_frame(tmp_path: Path) -> None:
    whole, gap = (make(ct_cases.case(tmp_path / name, WAYS[name]), Kind.SEGMENTATION)
                  for name in _folders(tmp_path, "plain", "one missing"))  # fmt: skip
    assert gap.NumberOfFrames == whole.NumberOfFrames - len(gap.SegmentSequence[:2])
    assert astray(gap) == dict.fromkeys(TISSUES, 0)


def _folders(top: Path, *names: str) -> tuple[str, ...]:
    for name in names:
        (top / name).mkdir()
    return names


@pytest.mark.parametrize("name", ["plain", "turned"])
def test_labels_of_smaller_pictures_cover_the_pixels_that_they_stand_for(name: str, tmp_path: Path) -> None:
    way = replace(WAYS[name], spacing_mm=(10.0, 1.5, 1.5))
    chest = ct_cases.phantom()
    files = ct_files.write(tmp_path / "files", chest, way)
    case = ct_cases.of_files(files, chest, tmp_path / "stack.zip", shrunk=2)
    made = make(case, Kind.SEGMENTATION)
    assert (made.Rows, made.Columns) == (case.source.Rows, case.source.Columns)
    assert astray(made, within_px=2) == dict.fromkeys(TISSUES, 0)  # half a pixel of the picture, and rounding


def test_where_the_box_makes_no_claim_there_are_lungs_alone(tmp_path: Path) -> None:
    case = ct_cases.case(tmp_path, report=ct_cases.report("refer"))
    labels = [segment.SegmentLabel for segment in make(case, Kind.SEGMENTATION).SegmentSequence]
    assert labels == ["Right lung", "Left lung"]


def test_a_ct_has_no_presentation_state_and_without_pictures_no_segments(tmp_path: Path) -> None:
    case = ct_cases.case(tmp_path)
    assert set(kinds(case)) == {Kind.SECONDARY_CAPTURE, Kind.STRUCTURED_REPORT, Kind.SEGMENTATION}
    assert Kind.SEGMENTATION not in kinds(replace(case, slices=None))


def test_a_slice_whose_file_is_gone_or_has_no_place_is_refused_in_words(tmp_path: Path) -> None:
    case = ct_cases.case(tmp_path)
    assert case.slices is not None
    headers = list(case.slices.headers())
    with pytest.raises(ObjectError, match="no_place"):
        make(_with(case.slices, case, headers[1:]), Kind.SEGMENTATION)
    del headers[3].FrameOfReferenceUID
    with pytest.raises(ObjectError, match="no_place"):
        make(_with(case.slices, case, headers), Kind.SEGMENTATION)


@pytest.mark.parametrize("elements", [{"Rows": 90}, {"ImageOrientationPatient": [0.8, 0.6, 0, -0.6, 0.8, 0]}])
def test_slices_that_are_not_those_that_were_read_get_no_segments(elements: dict[str, Any], tmp_path: Path) -> None:
    case = ct_cases.case(tmp_path)
    assert case.slices is not None
    headers = list(case.slices.headers())
    for header in headers:
        for keyword, value in elements.items():
            setattr(header, keyword, value)
    with pytest.raises(ObjectError, match="other_size"):
        make(_with(case.slices, case, headers), Kind.SEGMENTATION)


def _with(slices: Slices, case: Any, headers: list[Dataset]) -> Any:
    return replace(case, slices=Slices(pictures=slices.pictures, headers=lambda: headers))


def test_segments_that_overlap_are_those_of_a_whole_array() -> None:
    labels = np.random.default_rng(3).integers(0, 7, (5, 8, 9), np.uint8)
    parts = list(TISSUES.values())
    whole = np.stack([np.isin(labels, tissues) for tissues in parts], axis=-1).astype(np.uint8)
    lazy = Overlapping(labels, parts)
    assert (lazy.shape, lazy.ndim, lazy.max()) == (whole.shape, 4, 1)
    assert (np.stack([lazy[number] for number in range(5)]) == whole).all()
    assert (lazy.sum(axis=-1) == whole.sum(axis=-1)).all()
    with pytest.raises(ValueError, match="axis"):
        lazy.sum(axis=0)
