"""The generated inputs are what their names say, judged by pydicom and Pillow and not by the box."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.errors import InvalidDicomError

from tests.support import inputs


def _pixels(path: Path) -> np.ndarray:
    return pydicom.dcmread(path).pixel_array


def test_the_phantom_has_dark_lungs_in_a_bright_body(tmp_path: Path) -> None:
    pixels = _pixels(inputs.chest_dicom(tmp_path / "chest.dcm"))
    height, width = pixels.shape
    right, middle, left = (pixels[height // 2, int(width * part)] for part in (0.29, 0.5, 0.71))
    assert max(right, left) < middle / 2
    assert pixels.max() <= 4095


def test_twins_are_one_image_inverted(tmp_path: Path) -> None:
    two, one = inputs.monochrome_twins(tmp_path)
    assert pydicom.dcmread(two).PhotometricInterpretation == "MONOCHROME2"
    assert pydicom.dcmread(one).PhotometricInterpretation == "MONOCHROME1"
    assert np.array_equal(_pixels(two), 4095 - _pixels(one))


@pytest.mark.parametrize("write", [inputs.empty_file, inputs.text_file, inputs.zip_file, inputs.noise_file])
def test_what_is_not_dicom_is_refused_by_pydicom(tmp_path: Path, write: inputs.Writer) -> None:
    with pytest.raises((InvalidDicomError, EOFError)):
        pydicom.dcmread(write(tmp_path / "file.dcm"))


def test_the_archive_holds_a_radiograph(tmp_path: Path) -> None:
    with zipfile.ZipFile(inputs.zip_file(tmp_path / "a.zip")) as archive:
        assert archive.namelist() == ["image.dcm"]


def test_the_noise_has_the_mark_of_a_dicom_file(tmp_path: Path) -> None:
    assert inputs.noise_behind_a_preamble(tmp_path / "file").read_bytes()[128:132] == b"DICM"


def test_the_truncated_file_is_the_beginning_of_rg1(tmp_path: Path) -> None:
    whole = inputs.example("RG1_UNCR.dcm").read_bytes()
    part = inputs.truncated(tmp_path / "part.dcm").read_bytes()
    assert whole.startswith(part)
    assert len(part) == len(whole) // 2


@pytest.mark.parametrize("write", [inputs.empty_pixel_data, inputs.short_pixel_data, inputs.impossible_bits])
def test_damaged_pixels_have_a_header_that_reads_and_an_image_that_does_not(
    tmp_path: Path, write: inputs.Writer
) -> None:
    dataset = pydicom.dcmread(write(tmp_path / "file.dcm"))
    assert dataset.Modality == "DX"
    with pytest.raises((ValueError, AttributeError, NotImplementedError, TypeError)):
        _ = dataset.pixel_array


def test_an_image_of_no_rows_and_a_small_one(tmp_path: Path) -> None:
    assert pydicom.dcmread(inputs.impossible_size(tmp_path / "a")).Rows == 0
    assert _pixels(inputs.small_image(tmp_path / "b")).shape == (20, 20)


def test_no_pixel_data_means_none(tmp_path: Path) -> None:
    assert "PixelData" not in pydicom.dcmread(inputs.no_pixel_data(tmp_path / "file.dcm"))


def test_duplicates_share_the_identifier_and_not_the_image(tmp_path: Path) -> None:
    first, second = (pydicom.dcmread(path) for path in inputs.duplicate_uid_pair(tmp_path))
    assert first.SOPInstanceUID == second.SOPInstanceUID == second.file_meta.MediaStorageSOPInstanceUID
    assert first.StudyInstanceUID == second.StudyInstanceUID
    assert first.PixelData != second.PixelData


@pytest.mark.parametrize("write", [inputs.colour_png, inputs.colour_jpeg])
def test_photographs_are_in_colour(tmp_path: Path, write: inputs.Writer) -> None:
    with Image.open(write(tmp_path / "photo")) as picture:
        red, _, blue = np.moveaxis(np.asarray(picture, dtype=int), -1, 0)
    assert abs(red - blue).mean() > 30


def test_the_colour_object_decodes_to_the_photograph(tmp_path: Path) -> None:
    assert np.array_equal(_pixels(inputs.colour_dicom(tmp_path / "photo.dcm")), inputs.photograph())


def test_the_ultrasound_has_frames(tmp_path: Path) -> None:
    dataset = pydicom.dcmread(inputs.ultrasound_multi_frame(tmp_path / "us.dcm"))
    assert dataset.NumberOfFrames == 12
    assert dataset.pixel_array.shape == (12, 120, 160)


def test_huge_objects_tell_their_size_and_are_small_files(tmp_path: Path) -> None:
    for write in (inputs.huge_header, inputs.huge_rle_dicom, inputs.huge_jpeg2000_dicom):
        path = write(tmp_path / "huge.dcm")
        assert path.stat().st_size < 10e6
        assert pydicom.dcmread(path).Rows == pydicom.dcmread(path).Columns == 20_000


def test_the_same_rle_and_png_at_a_smaller_side_decode_to_black(tmp_path: Path) -> None:
    black = _pixels(inputs.huge_rle_dicom(tmp_path / "small.dcm", side_px=300))
    assert black.shape == (300, 300)
    assert not black.any()
    with Image.open(inputs.huge_png(tmp_path / "small.png", side_px=300)) as picture:
        assert not np.asarray(picture).any()


def test_the_huge_png_is_whole(tmp_path: Path) -> None:
    path = inputs.huge_png(tmp_path / "huge.png")
    content = path.read_bytes()
    assert len(content) < 1e6
    assert content[16:24] == (20_000).to_bytes(4, "big") * 2
    assert content.endswith(b"IEND" + bytes.fromhex("ae426082"))


def test_a_codestream_may_hide_its_size_behind_the_header(tmp_path: Path) -> None:
    dataset = pydicom.dcmread(inputs.huge_jpeg2000_dicom(tmp_path / "liar.dcm", header_side_px=512))
    assert dataset.Rows == 512
    siz = dataset.PixelData.index(b"\xff\x51")
    assert int.from_bytes(dataset.PixelData[siz + 6 : siz + 10], "big") == 20_000


def test_the_folder_leads_into_itself_and_to_nothing(tmp_path: Path) -> None:
    inside = inputs.looping_folder(tmp_path / "folder") / "inside"
    assert (inside / "self" / "self" / "parent" / "inside" / "image.dcm").is_file()
    assert not (inside / "nothing").exists()


def test_every_refused_input_has_a_known_code_and_can_be_written(tmp_path: Path) -> None:
    from edge.errors import UnreadableError

    for number, (write, code) in enumerate(inputs.REFUSED.values()):
        assert code in UnreadableError.texts
        assert write(tmp_path / str(number)).is_file()
