"""Stored values to [0, 1]: order of the transformations, twins, windows, tables, colour."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from pydicom.dataset import Dataset

from edge.dicom import pixels as transformations
from edge.errors import UnreadableError
from tests.support.inputs import phantom, photograph

TOP = 4095


def to_unit_range(stored: npt.NDArray[Any], dataset: Dataset) -> npt.NDArray[np.float32]:
    """The whole image; read in bands of one row and as one band, which must make no difference."""
    rows = list(transformations.to_unit_range(lambda: (row[None] for row in stored), dataset))
    whole = np.concatenate(list(transformations.to_unit_range(transformations.cut(stored), dataset)))
    np.testing.assert_array_equal(np.concatenate(rows), whole)
    return whole


def header(**elements: Any) -> Dataset:
    dataset = Dataset()
    dataset.PixelRepresentation = 0
    dataset.PhotometricInterpretation = "MONOCHROME2"
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return dataset


def table(values: npt.NDArray[np.integer], first: int = 0, bits: int = 16) -> list[Dataset]:
    item = Dataset()
    item.LUTDescriptor = [len(values) % 65536, first, bits]
    item.LUTData = [int(value) for value in values]
    return [item]


def twins(**elements: Any) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """The same picture, once stored as MONOCHROME2 and once inverted as MONOCHROME1."""
    pixels = phantom()
    mirrored = dict(elements)
    if "WindowCenter" in elements:
        # LINEAR is centred half a value below its centre (PS3.3 C.11.2.1.2.1), the others on it.
        shift = 1 if elements.get("VOILUTFunction", "LINEAR") == "LINEAR" else 0
        mirrored["WindowCenter"] = TOP + shift - elements["WindowCenter"]
    if "VOILUTSequence" in elements:
        values = np.asarray(elements["VOILUTSequence"][0].LUTData)
        mirrored["VOILUTSequence"] = table((65535 - values)[::-1])
    two = to_unit_range(pixels, header(**elements))
    one = to_unit_range(TOP - pixels, header(PhotometricInterpretation="MONOCHROME1", **mirrored))
    return two, one


@pytest.mark.parametrize(
    "elements",
    [
        {},
        {"WindowCenter": 1800, "WindowWidth": 2500},
        {"WindowCenter": 1801, "WindowWidth": 999, "VOILUTFunction": "LINEAR"},
        {"WindowCenter": 1800.5, "WindowWidth": 2500.5, "VOILUTFunction": "LINEAR_EXACT"},
        {"WindowCenter": 1800, "WindowWidth": 700, "VOILUTFunction": "SIGMOID"},
        {"VOILUTSequence": table(np.round(np.linspace(0, 255.99, TOP + 1) ** 2).astype(int))},
    ],
    ids=["no window", "window", "LINEAR", "LINEAR_EXACT", "SIGMOID", "VOI LUT"],
)
def test_monochrome1_and_its_twin_are_bit_equal(elements: dict[str, Any]) -> None:
    two, one = twins(**elements)
    assert two.dtype == one.dtype == np.float32
    np.testing.assert_array_equal(one, two)
    assert two.std() > 0.05
    assert two.min() >= 0 and two.max() <= 1


def test_without_a_window_the_range_in_use_fills_the_output() -> None:
    result = to_unit_range(np.array([[100, 300], [200, 100]], np.uint16), header())
    np.testing.assert_array_equal(result, np.array([[0, 1], [0.5, 0]], np.float32))


def test_the_linear_window_is_that_of_the_standard() -> None:
    # PS3.3 C.11.2.1.2.1, its own example: width 2048, centre 40.
    stored = np.array([[-5000, -984, 39, 40, 1063, 5000]], np.int16)
    result = to_unit_range(stored, header(WindowCenter=40, WindowWidth=2048, PixelRepresentation=1))
    expected = np.clip((stored - 39.5) / 2047 + 0.5, 0, 1)
    np.testing.assert_allclose(result, expected, atol=1e-6)


def test_the_first_of_several_windows_is_used() -> None:
    pixels = phantom()
    several = to_unit_range(pixels, header(WindowCenter=[1800, 40], WindowWidth=[2500, 400]))
    np.testing.assert_array_equal(several, to_unit_range(pixels, header(WindowCenter=1800, WindowWidth=2500)))


@pytest.mark.parametrize("window", [(90000, 10), (1800, 0), (-5000, 100)])
def test_a_window_that_shows_nothing_is_ignored(window: tuple[int, int]) -> None:
    pixels = phantom()
    shown = to_unit_range(pixels, header(WindowCenter=window[0], WindowWidth=window[1]))
    np.testing.assert_array_equal(shown, to_unit_range(pixels, header()))


def test_rescaling_comes_before_the_window() -> None:
    stored = np.array([[0, 1024, 2048]], np.uint16)
    scaled = header(RescaleSlope=2, RescaleIntercept=-2048, WindowCenter=0, WindowWidth=4096)
    scaled.VOILUTFunction = "LINEAR_EXACT"
    np.testing.assert_allclose(to_unit_range(stored, scaled), [[0, 0.5, 1]])


def test_a_modality_table_maps_and_clamps() -> None:
    stored = np.array([[0, 10, 11, 12, 99]], np.uint16)
    modality = table(np.array([5, 7, 9]), first=10)
    result = to_unit_range(stored, header(ModalityLUTSequence=modality))
    np.testing.assert_allclose(result, [[0, 0, 0.5, 1, 1]])


def test_a_table_may_start_below_zero_for_signed_values() -> None:
    stored = np.array([[-2, -1, 0, 1]], np.int16)
    voi = table(np.array([0, 10, 20, 40]), first=65534)
    result = to_unit_range(stored, header(VOILUTSequence=voi, PixelRepresentation=1))
    np.testing.assert_allclose(result, [[0, 0.25, 0.5, 1]])


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_every_bit_depth_gives_the_same_picture(bits: int) -> None:
    deep = to_unit_range(phantom(bits=16), header())
    result = to_unit_range(phantom(bits=bits), header())
    assert np.abs(deep - result).mean() < 2.0**-bits


def test_padding_does_not_take_part_in_the_range() -> None:
    stored = np.array([[1000, 2000], [65535, 1500]], np.uint16)
    result = to_unit_range(stored, header(PixelPaddingValue=65535))
    np.testing.assert_allclose(result, [[0, 1], [1, 0.5]])


def test_a_range_of_padding_does_not_take_part_either() -> None:
    stored = np.array([[1000, 2000], [9, 3]], np.uint16)
    result = to_unit_range(stored, header(PixelPaddingValue=0, PixelPaddingRangeLimit=10))
    np.testing.assert_allclose(result, [[0, 1], [0, 0]])


def test_an_image_of_one_value_is_black_and_not_an_error() -> None:
    assert not to_unit_range(np.full((4, 4), 7, np.uint16), header()).any()


def test_equal_channels_are_grey() -> None:
    grey = phantom(bits=8).astype(np.uint8)
    channels = np.repeat(grey[..., None], 3, axis=2)
    channels[..., 1] = np.clip(channels[..., 1].astype(int) + 2, 0, 255)
    result = to_unit_range(channels, header(PhotometricInterpretation="RGB"))
    np.testing.assert_allclose(result, grey / 255, atol=0.01)


def test_a_photograph_is_no_radiograph() -> None:
    with pytest.raises(UnreadableError) as caught:
        to_unit_range(photograph(), header(PhotometricInterpretation="RGB"))
    assert caught.value.code == "colour_image"
