"""CT series as files: in every geometry the same chest, in the same place, and whatever else a study holds left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from edge.dicom.image import ParsedSlices
from edge.dicom.reader import Reader
from edge.dicom.series import Arrangement, arrange
from tests.support import ct_files
from tests.support.ct_files import GEOMETRIES, Way
from tests.support.ct_phantom import Chest, chest


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
