"""CT images come out of the reading process in Hounsfield units, however they were stored."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import (
    UID,
    EnhancedCTImageStorage,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from edge.dicom.image import Header, ParsedImage, ParsedSlices, UnreadableImageError, content_sha256
from edge.dicom.reader import Reader, _Child
from edge.dicom.series import arrange
from edge.errors import SeriesError, UnreadableError
from tests.support import ct_files, inputs, malformed
from tests.support.ct_files import Way
from tests.support.ct_phantom import Chest, chest
from tests.support.inputs import save
from tests.support.public_data import ROOT

SHARED = ROOT / "dicom" / "transfer_syntax"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared/data (or CHEST_EDGE_DATA)")
SMALL = Way(spacing_mm=(50.0, 4.0, 4.0))


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    with Reader() as shared:
        yield shared


@pytest.fixture(scope="module")
def body() -> Chest:
    return chest((10.0, 4.0, 4.0))


@pytest.fixture
def image(tmp_path: Path, body: Chest) -> Path:
    """The third of six slices, in which are lungs."""
    return ct_files.write(tmp_path / "single", body, SMALL)[2]


@pytest.fixture
def enhanced(tmp_path: Path, body: Chest) -> Path:
    return ct_files.write_enhanced(tmp_path / "enhanced.dcm", body, SMALL)


def changed(path: Path, change: Callable[[Dataset], object] | None = None, **elements: Any) -> Path:
    """A copy of the file with other attributes."""
    dataset = dcmread(path)
    inputs.set_elements(dataset, elements)
    if change is not None:
        change(dataset)
    return save(dataset, path.with_name("changed.dcm"))


def slices(reader: Reader, path: Path) -> ParsedSlices:
    parsed = reader.read_any(path)
    assert isinstance(parsed, ParsedSlices)
    assert parsed.hu.dtype == np.int16
    assert parsed.hu.shape[0] == len(parsed.planes)
    return parsed


def hu(reader: Reader, path: Path) -> npt.NDArray[np.int16]:
    return slices(reader, path).hu


def code_of(reader: Reader, path: Path) -> str:
    with pytest.raises(UnreadableError) as caught:
        reader.read_any(path)
    return caught.value.code


def test_slope_and_intercept_make_hounsfield_units(reader: Reader, image: Path) -> None:
    stored = dcmread(image).pixel_array.astype(float)
    np.testing.assert_array_equal(hu(reader, image)[0], stored - 1024)
    steep = changed(image, RescaleSlope="0.5", RescaleIntercept="-900.5")
    np.testing.assert_array_equal(hu(reader, steep)[0], np.rint(stored / 2 - 900.5))


def test_what_lies_outside_of_any_tissue_is_cut_off(reader: Reader, image: Path) -> None:
    values = hu(reader, changed(image, RescaleSlope=100, RescaleIntercept=-20000))
    assert (values.min(), values.max()) == (-1024, 3071)


@pytest.mark.parametrize(
    ("way", "named"),
    [
        (Way(is_signed=True, offset=0, bits=16, padding=-2000), {}),
        (Way(is_signed=True, offset=0, bits=16, padding=500), {}),
        (Way(is_signed=True, offset=0, bits=16, padding=-500), {"is_unsigned": True}),
        (Way(is_signed=False, offset=-1024, padding=3500), {}),
        (Way(is_signed=False, offset=-1024, padding=3500), {"PixelPaddingRangeLimit": 4000, "PixelPaddingValue": 3400}),
    ],
)
def test_where_no_image_is_there_is_air(
    reader: Reader, tmp_path: Path, body: Chest, way: Way, named: dict[str, Any]
) -> None:
    path = ct_files.write(tmp_path, body, Way(**{**vars(way), "spacing_mm": SMALL.spacing_mm}))[2]
    dataset = dcmread(path)
    for keyword in ("PixelPaddingValue", "PixelPaddingRangeLimit"):
        if keyword in named:
            dataset.add_new(keyword, "US", named[keyword])
    if "is_unsigned" in named:
        dataset.add_new("PixelPaddingValue", "US", dataset.PixelPaddingValue % 65536)
    values = hu(reader, save(dataset, path))[0]
    is_padding = dcmread(path).pixel_array == way.padding
    assert is_padding.sum() > 1000
    assert set(values[is_padding]) == {-1024}
    assert (values[~is_padding] > -1024).mean() > 0.9


def test_values_without_a_scale_stay_and_the_header_says_so(reader: Reader, image: Path) -> None:
    def strip(dataset: Dataset) -> None:
        del dataset.RescaleIntercept

    stored = dcmread(image).pixel_array
    parsed = slices(reader, changed(image, strip))
    np.testing.assert_array_equal(parsed.hu[0], stored)
    assert not parsed.planes[0].is_scaled
    assert not slices(reader, changed(image, RescaleType="Z_EFF")).planes[0].is_scaled
    assert slices(reader, image).planes[0].is_scaled


def test_each_frame_has_its_own_scale(reader: Reader, enhanced: Path) -> None:
    def rescale(dataset: Dataset) -> None:
        for number, frame in enumerate(dataset.PerFrameFunctionalGroupsSequence):
            frame.PixelValueTransformationSequence[0].RescaleIntercept = -1024 + number

    plain = hu(reader, enhanced).astype(int)
    shifted = hu(reader, changed(enhanced, rescale)).astype(int)
    assert [int(np.median(moved - stayed)) for moved, stayed in zip(shifted, plain, strict=True)] == list(range(6))


def test_inverted_greys_are_no_hounsfield_units(reader: Reader, image: Path) -> None:
    assert code_of(reader, changed(image, PhotometricInterpretation="MONOCHROME1")) == "inverted_ct"


@pytest.mark.parametrize("photometric", ["RGB", "YBR_FULL_422", "PALETTE COLOR", "MONOCHROME1"])
def test_a_picture_among_ct_images_is_not_decoded(reader: Reader, tmp_path: Path, photometric: str) -> None:
    report = inputs.dx(
        SOPClassUID=inputs.SecondaryCaptureImageStorage, Modality="CT", PhotometricInterpretation=photometric
    )
    parsed = reader.read_any(save(report, tmp_path / "report.dcm"))
    assert isinstance(parsed, ParsedSlices) and parsed.planes[0].is_picture
    assert (parsed.hu.size, content_sha256(parsed)) == (0, None)


def test_only_ct_may_have_frames_and_only_as_slices(reader: Reader, enhanced: Path, tmp_path: Path) -> None:
    assert hu(reader, enhanced).shape == (6, 75, 100)
    assert code_of(reader, inputs.ultrasound_multi_frame(tmp_path / "us.dcm")) == "multi_frame"
    with pytest.raises(UnreadableImageError) as caught:
        reader.read(enhanced)
    assert caught.value.code == "multi_frame"


def test_what_is_no_ct_is_read_as_ever(reader: Reader, tmp_path: Path) -> None:
    for path in (inputs.chest_dicom(tmp_path / "a.dcm"), inputs.chest_png(tmp_path / "a.png")):
        parsed = reader.read_any(path)
        assert isinstance(parsed, ParsedImage)
        assert (parsed.planes, content_sha256(parsed)) == ((), content_sha256(reader.read(path)))


def in_syntax(path: Path, syntax: UID) -> Path:
    dataset = dcmread(path)
    target = path.with_name(f"{syntax}.dcm")
    if syntax.is_compressed:
        dataset.compress(syntax, generate_instance_uid=False)
        return save(dataset, target)
    if syntax == ExplicitVRBigEndian:
        dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").astype(">u2").tobytes()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.save_as(target, implicit_vr=syntax.is_implicit_VR, little_endian=syntax.is_little_endian)
    return target


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless, RLELossless, ImplicitVRLittleEndian])
def test_each_lossless_encoding_is_the_same_object(reader: Reader, image: Path, enhanced: Path, syntax: UID) -> None:
    for path in (image, enhanced):
        plain, packed = slices(reader, path), slices(reader, in_syntax(path, syntax))
        np.testing.assert_array_equal(packed.hu, plain.hu)
        assert content_sha256(packed) == content_sha256(plain)


def test_another_place_or_value_is_another_object(reader: Reader, image: Path) -> None:
    plain = content_sha256(slices(reader, image))
    assert content_sha256(slices(reader, changed(image, ImagePositionPatient=[0, 0, 1]))) != plain
    assert content_sha256(slices(reader, changed(image, RescaleIntercept=-1000))) != plain


def test_frames_in_pieces_without_a_table_are_put_together(reader: Reader, enhanced: Path) -> None:
    packed = in_syntax(enhanced, JPEG2000Lossless)
    frames = list(generate_frames(dcmread(packed).PixelData, number_of_frames=6))
    halves = changed(packed, PixelData=encapsulate(frames, fragments_per_frame=2, has_bot=False))
    np.testing.assert_array_equal(hu(reader, halves), hu(reader, enhanced))


def test_missing_frames_are_an_end_before_the_image(reader: Reader, enhanced: Path) -> None:
    assert code_of(reader, changed(enhanced, NumberOfFrames=7)) == "truncated"
    packed = in_syntax(enhanced, RLELossless)
    assert code_of(reader, changed(packed, NumberOfFrames=7)) in {"truncated", "undecodable"}


@pytest.mark.parametrize("frames", [4_001, 2_000_000_000])
def test_more_frames_than_the_box_reads_are_refused_before_they_are_decoded(
    reader: Reader, enhanced: Path, frames: int
) -> None:
    path = changed(enhanced, NumberOfFrames=frames)
    child = reader.child_pid
    assert code_of(reader, path) == "too_many_frames"
    assert len(reader.read_header(path).planes) == 4_000
    assert child is None or reader.child_pid == child


def test_an_object_that_hides_its_size_is_stopped(reader: Reader, tmp_path: Path, image: Path) -> None:
    bomb = inputs.huge_jpeg2000_dicom(tmp_path / "bomb.dcm", header_side_px=512)
    path = changed(bomb, Modality="CT", SOPClassUID=EnhancedCTImageStorage, NumberOfFrames=1)
    assert code_of(reader, path) in {"undecodable", "too_much_memory"}
    assert hu(reader, image).shape == (1, 75, 100)


def test_many_frames_may_take_longer_than_one_file(
    reader: Reader, enhanced: Path, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hu(reader, image)
    waits: list[float] = []
    answer = _Child._answer

    def noted(child: _Child, seconds: float) -> dict[str, Any]:
        waits.append(seconds)
        return answer(child, seconds)

    monkeypatch.setattr(_Child, "_answer", noted)
    hu(reader, image)
    hu(reader, enhanced)
    assert waits == [10, 10, pytest.approx(10 + 6 * 75 * 100 / 1e6)]


# Planes


BROKEN = {
    "position_mm": [{"ImagePositionPatient": [1, 2]}, {"ImagePositionPatient": [1, 2, "1e9"]}],
    "orientation": [
        {"ImageOrientationPatient": [1, 0, 0, 0, 1]},
        {"ImageOrientationPatient": [0, 0, 0, 0, 0, 0]},
        {"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]},
        {"ImageOrientationPatient": [2, 0, 0, 0, 2, 0]},
    ],
    "spacing_mm": [{"PixelSpacing": [0, 0.5]}, {"PixelSpacing": [-1, 1]}, {"PixelSpacing": [0.5, 1000]}],
    "thickness_mm": [{"SliceThickness": 0}, {"SliceThickness": -5}],
    "tilt_deg": [{"GantryDetectorTilt": 400}],
}


@pytest.mark.parametrize(
    ("name", "elements"), [(name, elements) for name, several in BROKEN.items() for elements in several]
)
def test_a_value_that_cannot_be_counts_as_absent(
    reader: Reader, image: Path, name: str, elements: dict[str, Any]
) -> None:
    assert getattr(reader.read_header(image).planes[0], name) is not None
    assert getattr(reader.read_header(changed(image, **elements)).planes[0], name) is None


def test_what_is_no_number_counts_as_absent(reader: Reader, image: Path) -> None:
    content = image.read_bytes()
    for good, bad in ((b"DS\x04\x0050.0", b"DS\x04\x00nan "), (b"DS\x08\x00-1024.0 ", b"DS\x08\x001e999   ")):
        assert good in content
        content = content.replace(good, bad)
    image.write_bytes(content)
    (plane,) = reader.read_header(image).planes
    assert (plane.thickness_mm, plane.is_scaled) == (None, False)
    assert hu(reader, image).shape == (1, 75, 100)


# Whatever bytes come


@pytest.fixture(params=["single", "enhanced"])
def valid(request: pytest.FixtureRequest, image: Path, enhanced: Path) -> bytes:
    return (image if request.param == "single" else enhanced).read_bytes()


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=some.data())
def test_any_bytes_have_slices_or_a_reason(data: some.DataObject, reader: Reader, valid: bytes, tmp_path: Path) -> None:
    path = tmp_path / "altered"
    path.write_bytes(data.draw(malformed.altered(valid)))
    header: Header | None
    try:
        header = reader.read_any(path)
    except UnreadableImageError as error:
        assert error.text % error.values
        header = error.header
    except UnreadableError as error:
        assert error.text % error.values
        return
    if header is not None:
        try:
            arrange([header])
        except SeriesError as error:
            assert error.text % error.values


@needs_shared
def test_every_transfer_syntax_has_the_same_values(reader: Reader) -> None:
    seen = {path.stem: slices(reader, path).hu for path in SHARED.glob("*.dcm") if "Deflated" not in path.stem}
    plain = seen["ct_LittleEndianExplicit__1.2.840.10008.1.2.1"]
    errors = {name: int(np.abs(values.astype(int) - plain).max()) for name, values in seen.items()}
    assert sum(error == 0 for error in errors.values()) == 8
    assert max(errors.values()) <= 64, errors  # 8-bit JPEG keeps 255 levels of the 4,400
