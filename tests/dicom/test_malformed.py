"""Whatever bytes come, the real child answers with an image or with a reason that has a code and words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from edge.dicom.reader import Reader
from edge.errors import UnreadableError
from tests.support import inputs, malformed


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    with Reader() as shared:
        yield shared


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A valid radiograph that is read in a few milliseconds."""
    return inputs.save(inputs.dx(inputs.phantom(96, 80)), tmp_path_factory.mktemp("valid") / "a.dcm").read_bytes()


def test_the_file_that_is_altered_can_be_read(reader: Reader, small: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(small)
    assert reader.read(path).radiograph.pixels.shape == (96, 80)
    assert malformed.starts_of(small)[-1] == len(small)


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=some.data())
def test_any_bytes_have_an_image_or_a_reason(
    data: some.DataObject, reader: Reader, small: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "a"
    path.write_bytes(data.draw(malformed.altered(small)))
    try:
        pixels = reader.read(path).radiograph.pixels
        assert pixels.dtype == np.float32 and np.isfinite(pixels).all()
    except UnreadableError as error:
        assert error.text % error.values
        assert error.code in UnreadableError.texts
