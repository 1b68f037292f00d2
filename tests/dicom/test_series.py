"""CT series as files: in every geometry the same chest, in the same place, and whatever else a study holds left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.uid import CTImageStorage

from edge.dicom.image import Header, ParsedSlices, Plane
from edge.dicom.reader import Reader
from edge.dicom.series import Arrangement, arrange
from edge.errors import SeriesError
from edge.types import Severity
from tests.support import ct_files, inputs
from tests.support.ct_files import GEOMETRIES, Way
from tests.support.ct_phantom import Chest, chest
from tests.support.inputs import save


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    with Reader() as shared:
        yield shared


@pytest.fixture(scope="module")
def body() -> Chest:
    return chest((2.5, 1.5, 1.5))


def assembled(reader: Reader, paths: Sequence[Path]) -> tuple[Arrangement, npt.NDArray[np.int16]]:
    """The arrangement of the files' headers, and its slices upright."""
    found = arrange([reader.read_header(path) for path in paths])
    images = {path: reader.read_any(path) for path in {paths[place.header] for place in found.places}}
    slices = []
    for place in found.places:
        image = images[paths[place.header]]
        assert isinstance(image, ParsedSlices)
        assert image.sop_instance_uid == place.sop_instance_uid
        slices.append(found.upright(image.hu[place.frame]))
    return found, np.stack(slices)


def lung_ml(found: Arrangement, hu: npt.NDArray[np.int16]) -> dict[str, float]:
    """Volumes of what is as light as the phantom's lungs, by the side of the patient; each slice until the next."""
    weights = np.append(np.diff(found.slots), 1)
    lungs = (hu > -930) & (hu < -700)
    corners = np.stack(np.meshgrid(found.slots, *map(np.arange, hu.shape[1:]), indexing="ij"), axis=-1)
    x = corners @ found.affine[0, :3] + found.affine[0, 3]
    voxel_ml = abs(np.linalg.det(found.affine[:3, :3])) / 1000
    sides = {"right": lungs & (x < 0), "left": lungs & (x >= 0)}
    return {name: float((side * weights[:, None, None]).sum() * voxel_ml) for name, side in sides.items()}


def known_ml(body: Chest) -> dict[str, float]:
    voxel_ml = np.prod(body.volume.spacing_mm) / 1000
    lungs = (body.volume.hu > -930) & (body.volume.hu < -700)
    return {name: float((lungs & side).sum() * voxel_ml) for name, side in (("right", body.right), ("left", body.left))}


Made = tuple[Arrangement, npt.NDArray[np.int16]]


@pytest.fixture(scope="module", params=list(GEOMETRIES))
def made(request: pytest.FixtureRequest, reader: Reader, body: Chest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    return assembled(reader, ct_files.write(tmp_path_factory.mktemp("series"), body, GEOMETRIES[request.param]))


def test_in_every_geometry_the_volumes_are_those_of_the_phantom(made: Made, body: Chest) -> None:
    found, hu = made
    assert (found.shape, hu.dtype) == (hu.shape, np.int16)
    assert lung_ml(found, hu) == pytest.approx(known_ml(body), rel=0.01)


def test_in_every_geometry_each_voxel_lies_where_the_phantom_has_it(made: Made, body: Chest) -> None:
    found, hu = made
    index = np.argwhere((hu > -930) & (hu < -700)).astype(float)
    index[:, 0] = np.array(found.slots)[index[:, 0].astype(int)]
    places = index @ found.affine[:3, :3].T + found.affine[:3, 3]
    rightful = np.argwhere((body.volume.hu > -930) & (body.volume.hu < -700)) - (np.array(body.volume.hu.shape) - 1) / 2
    expected = (rightful * body.volume.spacing_mm)[:, ::-1]
    np.testing.assert_allclose(places.mean(axis=0), expected.mean(axis=0), atol=1.5)
    np.testing.assert_allclose(places.std(axis=0), expected.std(axis=0), atol=1)


def test_slices_come_from_head_to_feet_with_the_back_below_and_the_left_on_the_right(made: Made) -> None:
    found, hu = made
    assert found.affine[2, 0] < 0 < min(found.affine[1, 1], found.affine[0, 2])
    behind, before = hu[:, -hu.shape[1] // 14 :], hu[:, : hu.shape[1] // 14]
    assert (np.abs(behind.astype(int) - 40) < 80).mean() > (np.abs(before.astype(int) - 40) < 80).mean() + 0.1


def test_a_plain_series_tells_how_it_was_made(reader: Reader, tmp_path: Path, body: Chest) -> None:
    found, _ = assembled(reader, ct_files.write(tmp_path, body, Way(elements={"ContrastBolusAgent": "Iomeprol"})))
    assert found.spacing_mm == pytest.approx((5, 1.5, 1.5))
    assert (found.thickness_mm, found.kernel, found.has_contrast, found.is_scaled) == (5, "B30f", True, True)
    assert (found.gaps, found.remarks, found.left_out) == ((), (), ())


def test_an_enhanced_object_gives_the_same_as_single_slices(reader: Reader, tmp_path: Path, body: Chest) -> None:
    single, slices = assembled(reader, ct_files.write(tmp_path, body))
    found, hu = assembled(reader, [ct_files.write_enhanced(tmp_path / "enhanced.dcm", body)])
    np.testing.assert_array_equal(hu, slices)
    np.testing.assert_allclose(found.affine, single.affine, atol=1e-6)
    assert (found.thickness_mm, found.kernel, found.is_scaled) == (single.thickness_mm, single.kernel, True)
    assert [place.frame for place in found.places] == list(range(60))


def test_a_long_header_of_frames_is_read_to_its_end(reader: Reader, tmp_path: Path, body: Chest) -> None:
    path = ct_files.write_enhanced(tmp_path / "a.dcm", body, Way(spacing_mm=(1.0, 4.0, 4.0)), frames_of=400)
    dataset = dcmread(path)
    for frame in dataset.PerFrameFunctionalGroupsSequence:
        frame.FrameContentSequence[0].FrameComments = "x" * 4000
    header = reader.read_header(save(dataset, path))
    assert arrange([header]).shape[0] == 400
    assert isinstance(reader.read_any(path), ParsedSlices)


# Which series is read, and what is left out


def plane(number: int, **changes: Any) -> Plane:
    values: dict[str, Any] = {
        "rows": 512,
        "columns": 512,
        "position_mm": (-200.0, -200.0, -5.0 * number),
        "orientation": ct_files.SUPINE,
        "spacing_mm": (0.8, 0.8),
        "thickness_mm": 5.0,
        "image_type": ("ORIGINAL", "PRIMARY", "AXIAL"),
        "kernel": "B30f",
        "is_scaled": True,
        "frame_of_reference_uid": "1.2.9",
        "body_part": "CHEST",
    }
    return Plane(**values | changes)


def series(count: int = 40, uid: str = "1.2.3", step_mm: float = 5.0, **changes: Any) -> list[Header]:
    """Headers of a series from head to feet, all alike but for their places."""
    return [
        Header(
            series_instance_uid=uid,
            sop_instance_uid=f"{uid}.{number}",
            sop_class_uid=str(CTImageStorage),
            modality="CT",
            instance_number=number + 1,
            planes=(plane(number, **{"position_mm": (-200.0, -200.0, -step_mm * number)} | changes),),
        )
        for number in range(count)
    ]


def chosen(*groups: list[Header]) -> str | None:
    return arrange([header for group in groups for header in group]).series_instance_uid


def left_out(found: Arrangement | SeriesError) -> dict[str, int]:
    return {item.code: item.images for item in found.left_out}


def code_of(headers: Sequence[Header]) -> str:
    with pytest.raises(SeriesError) as caught:
        arrange(headers)
    return caught.value.code


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ({"step_mm": 5.0}, {"count": 20}),
        ({"count": 100, "step_mm": 2.0}, {}),
        ({"thickness_mm": 1.0}, {}),
        ({}, {"kernel": "B70f"}),
        ({"kernel": "STANDARD"}, {"kernel": "LUNG"}),
        ({"kernel": "LUNG"}, {"kernel": "BONEPLUS"}),
        ({"kernel": "FC08"}, {"kernel": "FC52"}),
        ({"count": 30}, {"body_part": "HEAD"}),
        ({"body_part": "CHESTABDPELVIS", "count": 60}, {}),
        ({}, {"image_type": ("DERIVED", "SECONDARY", "MPR"), "step_mm": 1.0, "count": 200}),
        ({}, {"image_type": ("DERIVED", "SECONDARY", "MIP"), "step_mm": 1.0, "count": 200}),
        ({}, {"image_type": ("ORIGINAL", "PRIMARY", "LOCALIZER"), "count": 60}),
        ({}, {"orientation": (1, 0, 0, 0, 0, -1), "count": 60}),
        ({"frame_of_reference_uid": "1.2.8", "count": 60}, {}),
    ],
)
def test_the_better_series_is_read_whichever_came_first(better: dict[str, Any], worse: dict[str, Any]) -> None:
    good, bad = series(uid="1.2.5", **better), series(uid="1.2.4", **worse)
    assert chosen(good, bad) == chosen(bad, good) == "1.2.5"


def test_a_series_with_a_gap_makes_room_for_one_without(tmp_path: Path) -> None:
    gapped = series(uid="1.2.4", thickness_mm=1.0)
    found = arrange([*gapped[:10], *gapped[20:], *series(uid="1.2.5", kernel="B70f")])
    assert (found.series_instance_uid, left_out(found)) == ("1.2.5", {"slices_missing": 30})


def test_all_that_is_left_out_is_listed_with_words(reader: Reader, tmp_path: Path, body: Chest) -> None:
    paths = ct_files.write(tmp_path / "thin", body)
    others = [
        *ct_files.write(tmp_path / "sharp", body, Way(kernel="B70f")),
        ct_files.write_scout(tmp_path / "scout.dcm"),
        ct_files.write_dose_report(tmp_path / "dose.dcm"),
        inputs.chest_dicom(tmp_path / "dx.dcm"),
    ]
    found = arrange([reader.read_header(path) for path in [*others, *paths]])
    assert found.kernel == "B30f"
    expected = {"other_series": 60, "scout": 1, "no_measurement": 1, "other_modality": 1}
    assert left_out(found) == expected
    assert all(item.as_json()["text"] for item in found.left_out)


def test_a_series_that_mixes_sizes_and_directions_is_taken_apart(reader: Reader, tmp_path: Path) -> None:
    mixed = [*series(), *series(12, columns=256, rows=256), *series(15, orientation=(0, 1, 0, 0, 0, -1))]
    found = arrange(mixed)
    assert (found.shape, left_out(found)) == ((40, 512, 512), {"mixed_series": 12, "not_axial": 15})


def test_the_order_is_that_of_the_places_and_never_of_the_numbers() -> None:
    headers = series()
    shuffled = [headers[number] for number in np.random.default_rng(0).permutation(40)]
    found = arrange(shuffled)
    assert [place.sop_instance_uid for place in found.places] == [header.sop_instance_uid for header in headers]
    assert [shuffled[place.header] for place in found.places] == headers


def test_few_missing_slices_are_told_with_their_place() -> None:
    headers = series(60)
    del headers[20], headers[40]
    found = arrange(headers)
    assert (found.gaps, found.shape[0]) == (((19, 1), (39, 1)), 58)
    assert found.slots == tuple(number for number in range(60) if number not in {20, 41})
    assert [(remark.code, remark.values) for remark in found.remarks] == [("small_gaps", {"count": "2"})]


def test_a_tilted_gantry_is_told_in_degrees(reader: Reader, tmp_path: Path, body: Chest) -> None:
    paths = ct_files.write(tmp_path, body, GEOMETRIES["tilted"])
    found = arrange([reader.read_header(path) for path in paths])
    assert [(remark.code, remark.values) for remark in found.remarks] == [("gantry_tilt", {"degrees": "15"})]
    assert found.spacing_mm[0] == pytest.approx(5 * np.cos(np.radians(15)))
    np.testing.assert_allclose(found.affine[:3, 0], (0, 0, -5), atol=1e-6)


def moved(number: int, mm: float) -> list[Header]:
    headers = series()
    z = -5.0 * number - mm
    headers[number] = replace(headers[number], planes=(plane(number, position_mm=(-200.0, -200.0, z)),))
    return headers


def test_one_slice_beside_its_place_is_told() -> None:
    assert [remark.code for remark in arrange(moved(20, 0.6)).remarks] == ["uneven_steps"]


def test_values_without_a_scale_are_told() -> None:
    found = arrange(series(is_scaled=False))
    assert (found.is_scaled, [remark.code for remark in found.remarks]) == (False, ["not_scaled"])


def uneven(headers: list[Header]) -> list[Header]:
    """Each slice at a random place between its neighbours."""
    shifts = np.random.default_rng(0).uniform(-2, 2, len(headers))
    return [
        replace(header, planes=(plane(number, position_mm=(-200.0, -200.0, -5.0 * number + float(shift))),))
        for number, (header, shift) in enumerate(zip(headers, shifts, strict=True))
    ]


def sideways(headers: list[Header]) -> list[Header]:
    return [
        replace(header, planes=(plane(number, position_mm=(-200.0 + 20 * (number > 20), -200.0, -5.0 * number)),))
        for number, header in enumerate(headers)
    ]


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ([], "no_slices"),
        ([Header(modality="DX")], "no_slices"),
        (series(2, image_type=("ORIGINAL", "PRIMARY", "LOCALIZER")), "only_scout"),
        (series(orientation=(1, 0, 0, 0, 0, -1)), "only_reformats"),
        (series(image_type=("DERIVED", "SECONDARY", "MIP")), "only_reformats"),
        (series(position_mm=None), "no_geometry"),
        (series(orientation=None), "no_geometry"),
        (series(spacing_mm=None), "no_geometry"),
        (series(rows=0), "no_geometry"),
        (series(3), "too_few_slices"),
        (series(9), "too_few_slices"),
        (series(position_mm=(0.0, 0.0, 0.0)), "too_few_slices"),
        ([*series()[:18], *series()[22:]], "slices_missing"),
        (series(80)[:20] + series(80)[20:60:3], "slices_missing"),
        (uneven(series()), "uneven_slices"),
        (sideways(series()), "uneven_slices"),
    ],
)
def test_what_cannot_be_read_is_refused_in_words(headers: list[Header], code: str) -> None:
    with pytest.raises(SeriesError) as caught:
        arrange(headers)
    assert caught.value.code == code
    assert caught.value.remark().severity is Severity.STOP
    assert sum(left_out(caught.value).values()) == len(headers)


def test_a_leaning_plane_is_axial_as_far_as_gantries_lean() -> None:
    for degrees, is_read in ((29, True), (31, False)):
        angle = np.radians(degrees)
        leaning = series(orientation=(1, 0, 0, 0, float(np.cos(angle)), float(np.sin(angle))))
        if is_read:
            assert arrange(leaning).shape[0] == 40
        else:
            assert code_of(leaning) == "only_reformats"


NUMBERS = st.floats(allow_nan=False, allow_infinity=False, width=64, min_value=-1e5, max_value=1e5)
HOSTILE = st.builds(
    Plane,
    rows=st.integers(-2, 3),
    columns=st.integers(-2, 3),
    position_mm=st.none() | st.tuples(NUMBERS, NUMBERS, NUMBERS),
    orientation=st.sampled_from([None, ct_files.SUPINE, ct_files.PRONE, ct_files.TURNED, (0.6, 0.8, 0, -0.8, 0.6, 0)]),
    spacing_mm=st.none() | st.tuples(st.floats(0.01, 20), st.floats(0.01, 20)),
    acquisition_number=st.none() | st.integers(-5, 5),
    series_number=st.none() | st.integers(),
    thickness_mm=st.none() | st.floats(0.01, 100),
)


@given(st.lists(st.builds(lambda planes: Header(planes=tuple(planes)), st.lists(HOSTILE, max_size=30)), max_size=4))
@settings(max_examples=300, deadline=None)
def test_no_geometry_at_all_breaks_the_arranging(headers: list[Header]) -> None:
    try:
        found = arrange(headers)
    except SeriesError:
        return
    assert np.isfinite(found.affine).all()
    assert abs(np.linalg.det(found.affine)) > 0
    assert len(found.places) == len(found.slots) == found.shape[0]
