"""Window, VOI LUT and rescaling of a header in the presentation state: as they were where they can be valid."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

from edge.objects.case import make
from edge.types import Kind
from tests.support import cases


def state(folder: Path, **elements: Any) -> Dataset:
    """The presentation state of an image with these elements, which no program finds a fault in."""
    made = make(cases.case(header=cases.source(**elements)), Kind.PRESENTATION_STATE)
    assert cases.faults(made, folder) == []
    return made


def lut(descriptor: list[int], data: Any) -> list[Dataset]:
    """A VOI LUT Sequence."""
    item = Dataset()
    item.add_new("LUTDescriptor", "US", descriptor)
    item.add_new("LUTData", "OW" if isinstance(data, bytes) else "US", data)
    return [item]


def test_a_window_is_taken_over(tmp_path: Path) -> None:
    made = state(tmp_path, WindowCenter="2000.5", WindowWidth=["3000", "1"], VOILUTFunction="SIGMOID")
    (voi,) = made.SoftcopyVOILUTSequence
    assert (voi.WindowCenter, voi.WindowWidth, voi.VOILUTFunction) == (2000.5, 3000, "SIGMOID")


@pytest.mark.parametrize(
    "elements",
    [{"WindowCenter": 5}, {"WindowCenter": 5, "WindowWidth": 0}, {"WindowWidth": 5}, {"VOILUTFunction": "LINEAR"}],
)
def test_half_a_window_is_left_out(elements: dict[str, Any], tmp_path: Path) -> None:
    assert "SoftcopyVOILUTSequence" not in state(tmp_path, **elements)


@pytest.mark.parametrize("as_bytes", [True, False])
def test_a_voi_lut_goes_before_a_window(as_bytes: bool, tmp_path: Path) -> None:
    table = np.arange(256, dtype="<u2") * 100
    sequence = lut([256, 10, 16], table.tobytes() if as_bytes else table.tolist())
    made = state(tmp_path, VOILUTSequence=sequence, WindowCenter=5, WindowWidth=5)
    (voi,) = made.SoftcopyVOILUTSequence
    assert "WindowCenter" not in voi
    assert list(voi.VOILUTSequence[0].LUTDescriptor)[:2] == [256, 10]
    assert list(np.frombuffer(voi.VOILUTSequence[0].LUTData, "<u2")[[0, 51, 255]]) == [0, 13107, 65535]


@pytest.mark.parametrize(
    "sequence", [lut([256, 0, 16], b"\0\1" * 20), lut([256], b"\0\1" * 256), lut([4, 0, 16], [1, 2]), [Dataset()], []]
)
def test_a_broken_voi_lut_is_left_out(sequence: list[Dataset], tmp_path: Path) -> None:
    made = state(tmp_path, VOILUTSequence=sequence, WindowCenter=5, WindowWidth=5)
    assert made.SoftcopyVOILUTSequence[0].WindowWidth == 5


def test_a_rescaling_is_taken_over(tmp_path: Path) -> None:
    made = state(tmp_path, RescaleSlope=2, RescaleIntercept=-10, RescaleType="US")
    assert (made.RescaleSlope, made.RescaleIntercept) == (2, -10)
    assert "RescaleSlope" not in state(tmp_path, RescaleSlope=0, RescaleIntercept=1)
