"""The pictures of a CT on the disk, and an earlier CT as they tell it."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from edge.pipeline.stacks import prior_scan, windowed, write_stack
from edge.store.stack import COLOURS, Layer, StackFile
from edge.types import Tissue, Tomogram

SPACING = (5.0, 0.75, 0.75)


def tomogram(side: int = 64, slices: int = 6, shrunk: int = 2) -> Tomogram:
    """Slices of which each is a little denser than the one above, with a square of ground glass on slice 3."""
    hu = [np.full((side, side), -1000 + 200 * number, np.int16) for number in range(slices)]
    tissue = np.zeros((slices, side // shrunk, side // shrunk), np.uint8)
    tissue[:, 4:20, 4:12], tissue[:, 4:20, 20:28] = Tissue.RIGHT_LUNG, Tissue.LEFT_LUNG
    tissue[2, 10:14, 5:9] = Tissue.RIGHT_GROUND_GLASS
    affine = np.array([[0, 0, 0.75, -100], [0, 0.75, 0, -200], [-5.0, 0, 0, 300], [0, 0, 0, 1]])
    return Tomogram(
        planes=tuple(hu),
        affine=affine,
        spacing_mm=SPACING,
        slice_uids=tuple(f"1.2.{number}" for number in range(slices)),
        tissue=tissue,
        tissue_affine=affine,
        shrunk=shrunk,
    )


def grey(content: bytes) -> npt.NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(content)))


def written(tmp_path: Path, made: Tomogram) -> StackFile:
    write_stack(tmp_path / "stack.zip", made)
    return StackFile(tmp_path / "stack.zip")


@pytest.mark.parametrize(
    ("hu", "lung", "mediastinum"), [(-2000, 0, 0), (-600, 128, 0), (40, 236, 128), (900, 255, 255)]
)
def test_a_window_shows_what_it_says(hu: int, lung: int, mediastinum: int) -> None:
    seen = [int(windowed(np.full((2, 2), hu, np.int16), layer)[0, 0]) for layer in (Layer.LUNG, Layer.MEDIASTINUM)]
    assert np.abs(np.array(seen) - (lung, mediastinum)).max() <= 1


def test_every_slice_has_its_pictures_from_head_to_feet(tmp_path: Path) -> None:
    file = written(tmp_path, tomogram())
    assert (file.meta.slices, file.meta.size_px, file.meta.spacing_mm) == (6, (64, 64), SPACING)
    assert file.meta.slice_uids == tuple(f"1.2.{number}" for number in range(6))
    means = [float(grey(content).mean()) for content in file.pictures(Layer.LUNG)]
    assert means == sorted(means) and means[0] < 70 < means[-1]


def test_what_was_found_lies_where_it_was_found(tmp_path: Path) -> None:
    file = written(tmp_path, tomogram())
    labels = grey(file.picture(Layer.TISSUE, 3))
    rows, columns = np.nonzero(labels == Tissue.RIGHT_GROUND_GLASS)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (20, 27, 10, 17)
    assert not (grey(file.picture(Layer.TISSUE, 2)) == Tissue.RIGHT_GROUND_GLASS).any()


def test_the_colours_of_a_label_are_those_of_the_page(tmp_path: Path) -> None:
    file = written(tmp_path, tomogram())
    shown = np.asarray(Image.open(io.BytesIO(file.picture(Layer.TISSUE, 3))).convert("RGBA"))
    assert tuple(shown[22, 12]) == COLOURS[Tissue.RIGHT_GROUND_GLASS]
    assert shown[0, 0, 3] == 0


def test_the_coronal_plane_goes_through_what_was_found_and_has_square_pixels(tmp_path: Path) -> None:
    file = written(tmp_path, tomogram())
    lung, tissue = grey(file.overview(Layer.LUNG)), grey(file.overview(Layer.TISSUE))
    assert lung.shape == tissue.shape == (round(6 * 5 / 0.75), 64)
    assert (tissue == Tissue.RIGHT_GROUND_GLASS).any()
    assert lung[0].mean() < lung[-1].mean()  # head up


def test_a_large_matrix_is_shown_smaller(tmp_path: Path) -> None:
    file = written(tmp_path, tomogram(side=1024, slices=3, shrunk=4))
    assert (file.meta.size_px, file.meta.spacing_mm) == ((512, 512), (5.0, 1.5, 1.5))
    assert file.meta.affine[0][2] == 1.5
    assert grey(file.picture(Layer.TISSUE, 1)).shape == (512, 512)


def test_without_lungs_there_are_pictures_and_no_labels(tmp_path: Path) -> None:
    file = written(tmp_path, replace(tomogram(), tissue=None))
    assert not grey(file.picture(Layer.TISSUE, 3)).any()


def test_an_earlier_ct_comes_back_as_it_was_found(tmp_path: Path) -> None:
    made = tomogram()
    write_stack(tmp_path / "stack.zip", made)
    prior = prior_scan(tmp_path / "stack.zip", {"grade": "mild"})
    assert prior is not None and made.tissue is not None
    np.testing.assert_array_equal(prior.tissue, made.tissue)
    assert prior.grey.shape == prior.tissue.shape and prior.severity == {"grade": "mild"}
    # The middle of the first larger pixel lies between the first two of a slice.
    np.testing.assert_allclose(prior.affine @ [0, 0, 0, 1], made.affine @ [0, 0.5, 0.5, 1])
    np.testing.assert_allclose(prior.affine @ [2, 3, 4, 1], made.affine @ [2, 6.5, 8.5, 1])


def test_an_earlier_ct_whose_pictures_are_gone_is_none(tmp_path: Path) -> None:
    assert prior_scan(tmp_path / "stack.zip", {}) is None


def test_an_earlier_ct_with_a_damaged_picture_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_stack(tmp_path / "stack.zip", tomogram())
    monkeypatch.setattr(StackFile, "pictures", lambda file, layer: iter([b"no picture"]))
    assert prior_scan(tmp_path / "stack.zip", {}) is None
