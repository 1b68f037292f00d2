"""Segments and marks lie on the pixels that the box meant, however the stored image lies.

A stored image is made by turning an upright one, and what an object says of it is laid over that:
nothing here uses the box's own arithmetic.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from pydicom.dataset import Dataset

from edge.errors import ObjectError
from edge.objects.case import make
from edge.types import Kind
from tests.support import cases
from tests.support.results import complete_result

TURNS = (0, 90, 180, 270)
RIGHT = [[100, 60], [420, 40], [600, 90], [610, 210], [300, 230]]
FINDING = [[420, 120], [420, 200], [560, 190], [540, 110]]
BOX = [420, 110, 561, 201]


def turned_case(turned_deg: int, **elements: Any) -> Any:
    """A result of an image that lies turned, with one lung and one finding whose shape has no symmetry."""
    whole = complete_result()
    whole["segmentation"] |= {"turned_deg": turned_deg, "contours": {"right_lung": [RIGHT]}}
    whole["findings"] = [{**whole["findings"][0], "contour": FINDING, "box_px": BOX}]
    upright = np.zeros((cases.HEIGHT, cases.WIDTH), np.uint16)
    return cases.case(whole, cases.source(np.rot90(upright, turned_deg // 90), **elements))


def filled(contour: list[list[int]], turned_deg: int) -> npt.NDArray[np.uint8]:
    """What a contour encloses, in the stored image."""
    mask = np.zeros((cases.HEIGHT, cases.WIDTH), np.uint8)
    cv2.fillPoly(mask, [np.array(contour)[:, ::-1]], 1)
    return np.rot90(mask, turned_deg // 90)


def far_apart(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> int:
    """Pixels of one mask that are farther than a pixel from the other, both ways."""
    near = np.ones((3, 3), np.uint8)
    one, other = np.ascontiguousarray(one, np.uint8), np.ascontiguousarray(other, np.uint8)
    return int((one > cv2.dilate(other, near)).sum() + (other > cv2.dilate(one, near)).sum())


@pytest.mark.parametrize("spacing", [[0.2, 0.2], [0.0, 0.0], None])
@pytest.mark.parametrize("turned_deg", TURNS)
def test_segments_overlay_the_stored_image_within_a_pixel(
    turned_deg: int, spacing: list[float] | None, tmp_path: Path
) -> None:
    case = turned_case(turned_deg, ImagerPixelSpacing=spacing)
    made = make(case, Kind.SEGMENTATION)
    assert cases.faults(made, tmp_path) == []
    read = cases.read_back(made, tmp_path)
    lung, opacity = read.pixel_array
    assert (read.Rows, read.Columns) == (case.source.Rows, case.source.Columns)
    assert far_apart(lung, filled(RIGHT, turned_deg)) == 0
    assert far_apart(opacity, filled(FINDING, turned_deg)) == 0
    assert [segment.SegmentLabel for segment in read.SegmentSequence] == ["Right lung", "Ground glass"]


@pytest.mark.parametrize("turned_deg", TURNS)
def test_marks_overlay_the_stored_image_within_a_pixel(turned_deg: int, tmp_path: Path) -> None:
    made = make(turned_case(turned_deg), Kind.PRESENTATION_STATE)
    assert cases.faults(made, tmp_path) == []
    lung, contour, box = _polylines(made)
    shape = filled(RIGHT, turned_deg).shape
    assert far_apart(_enclosed(lung, shape), filled(RIGHT, turned_deg)) == 0
    assert far_apart(_enclosed(contour, shape), filled(FINDING, turned_deg)) == 0
    row0, column0, row1, column1 = BOX
    corners = [[row0, column0], [row0, column1 - 1], [row1 - 1, column1 - 1], [row1 - 1, column0]]
    assert far_apart(_enclosed(box, shape), filled(corners, turned_deg)) == 0


@pytest.mark.parametrize("turned_deg", TURNS)
def test_regions_of_the_report_overlay_the_stored_image_within_a_pixel(turned_deg: int) -> None:
    made = make(turned_case(turned_deg), Kind.STRUCTURED_REPORT)
    regions = [_points(item.GraphicData) for item in _items(made) if len(item.get("GraphicData", ())) > 4]
    shape = filled(RIGHT, turned_deg).shape
    assert far_apart(_enclosed(regions[0], shape), filled(RIGHT, turned_deg)) == 0
    assert far_apart(_enclosed(regions[1], shape), filled(FINDING, turned_deg)) == 0


@pytest.mark.parametrize("turned_deg", TURNS)
def test_a_viewer_turns_the_image_upright(turned_deg: int) -> None:
    """PS3.3 section C.10.6: Image Rotation is clockwise; C.10.4: the corners are named as they are displayed."""
    made = make(turned_case(turned_deg), Kind.PRESENTATION_STATE)
    upright = np.arange(cases.HEIGHT * cases.WIDTH).reshape(cases.HEIGHT, cases.WIDTH)
    stored = np.rot90(upright, turned_deg // 90)
    assert (np.rot90(stored, -made.ImageRotation // 90) == upright).all()
    assert made.ImageHorizontalFlip == "N"
    area = made.DisplayedAreaSelectionSequence[0]
    corners = (area.DisplayedAreaTopLeftHandCorner, area.DisplayedAreaBottomRightHandCorner)
    assert [stored[row - 1, column - 1] for column, row in corners] == [upright[0, 0], upright[-1, -1]]


@pytest.mark.parametrize("turned_deg", TURNS)
def test_the_orientation_names_where_the_patient_lies(turned_deg: int) -> None:
    made = make(turned_case(turned_deg), Kind.SEGMENTATION)
    row, column = np.mgrid[0 : cases.HEIGHT, 0 : cases.WIDTH]
    towards = {"L": column, "R": -column, "F": row, "H": -row}
    along_row, along_column = (np.rot90(towards[letter], turned_deg // 90) for letter in made.PatientOrientation)
    assert (np.diff(along_row, axis=1) == 1).all()
    assert (np.diff(along_column, axis=0) == 1).all()


@pytest.mark.parametrize(
    "photometric, was_inverted, shape",
    [
        ("MONOCHROME2", False, "IDENTITY"),
        ("MONOCHROME1", False, "INVERSE"),
        ("MONOCHROME2", True, "INVERSE"),
        ("MONOCHROME1", True, "IDENTITY"),
    ],
)
def test_a_viewer_shows_bone_bright(photometric: str, was_inverted: bool, shape: str) -> None:
    remarks = [{**cases.MIRRORED, "code": "inverted"}] if was_inverted else []
    header = cases.source(PhotometricInterpretation=photometric)
    made = make(cases.case(complete_result(quality=remarks), header), Kind.PRESENTATION_STATE)
    assert made.PresentationLUTShape == shape


@pytest.mark.parametrize("kind", [Kind.SEGMENTATION, Kind.PRESENTATION_STATE])
def test_marks_are_not_laid_over_an_image_of_another_size(kind: Kind) -> None:
    with pytest.raises(ObjectError, match="other_size"):
        make(cases.case(header=cases.source(Rows=cases.HEIGHT - 1)), kind)


def test_an_image_that_would_fill_the_memory_gets_no_segments() -> None:
    report = complete_result()
    report["segmentation"]["image_size_px"] = [8000, 8000]
    with pytest.raises(ObjectError, match="too_large"):
        make(cases.case(report, cases.source(Rows=8000, Columns=8000)), Kind.SEGMENTATION)


def _polylines(made: Dataset) -> list[npt.NDArray[np.float64]]:
    objects = [item for a in made.GraphicAnnotationSequence for item in a.get("GraphicObjectSequence", ())]
    return [_points(item.GraphicData) for item in objects]


def _points(flat: Any) -> npt.NDArray[np.float64]:
    points = np.array(flat, np.float64).reshape(-1, 2)
    assert (points[0] == points[-1]).all()
    return points


def _enclosed(points: npt.NDArray[np.float64], shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    """Pixels whose middle lies inside a line of (column, row) points, 0\\0 at the corner of the first pixel."""
    sub = 16
    mask = np.zeros((shape[0], shape[1]), np.uint8)
    cv2.fillPoly(mask, [np.rint((points - 0.5) * sub).astype(np.int32)], 1, shift=4)
    return mask


def _items(dataset: Dataset) -> list[Dataset]:
    return [dataset, *(item for child in dataset.get("ContentSequence", ()) for item in _items(child))]
