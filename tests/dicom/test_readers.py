"""Several readers side by side: order, errors, and an end that nobody has to wait for."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from edge.dicom.image import ParsedImage, ParsedSlices
from edge.dicom.reader import Reader
from edge.dicom.readers import Readers
from edge.errors import SetupError, UnreadableError
from tests.support import ct_files, inputs
from tests.support.ct_phantom import chest


def test_images_come_in_the_order_of_their_files_and_errors_in_their_place(tmp_path: Path) -> None:
    slices = ct_files.write(tmp_path / "ct", chest((30.0, 6.0, 6.0)))
    broken = tmp_path / "broken.dcm"
    broken.write_bytes(b"no image")
    paths = [*slices[:5], broken, inputs.chest_dicom(tmp_path / "dx.dcm"), *slices[5:]]
    with Readers(Reader(), Reader()) as readers:
        found = list(readers.read_all(paths))
    numbers = [one.instance_number for one in found if isinstance(one, ParsedSlices)]
    assert numbers == sorted(numbers) and len(numbers) == len(slices)
    assert isinstance(found[5], UnreadableError) and isinstance(found[6], ParsedImage)


def test_files_are_read_at_the_same_time_and_only_a_few_ahead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[Path] = []
    monkeypatch.setattr(Reader, "read_any", lambda reader, path: begun.append(path) or UnreadableError("undecodable"))
    with Readers(Reader(), Reader()) as readers:
        outcomes = readers.read_all(Path(f"{number}") for number in range(40))
        next(outcomes)
        time.sleep(0.2)
        assert 2 <= len(begun) <= 8


def test_a_machine_that_cannot_read_is_told_as_such(tmp_path: Path) -> None:
    with Readers(Reader(memory_bytes=1 << 20)) as readers, pytest.raises(SetupError):
        list(readers.read_all([tmp_path / "any.dcm"]))


def test_the_end_does_not_wait_for_what_nobody_wants_any_more(tmp_path: Path) -> None:
    image, pipe = inputs.chest_dicom(tmp_path / "a.dcm"), tmp_path / "pipe.dcm"
    os.mkfifo(pipe)  # whoever opens it waits for ever
    with Readers(Reader(file_s=60)) as readers:
        outcomes = readers.read_all([image, pipe])
        assert isinstance(next(outcomes), ParsedImage)
        time.sleep(0.5)
        began = time.monotonic()
    assert time.monotonic() - began < 30
