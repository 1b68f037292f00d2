"""A study of many images, and how much memory it may need."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.dicom.image import ParsedImage, ParsedSlices
from edge.dicom.reader import Reader
from edge.errors import SetupError
from edge.pipeline import reading
from edge.pipeline.reading import SourceImage, read_study
from edge.pipeline.runner import RADIOGRAPH_STAGES
from edge.types import Radiograph, State
from tests.support.engines import ScriptedEngine, card, gate_logits

HELD = 8


def test_only_a_few_images_of_a_study_are_held_at_once() -> None:
    alive: weakref.WeakSet[Any] = weakref.WeakSet()
    most = 0

    def slices() -> Iterator[SourceImage]:
        nonlocal most
        for number in range(40):
            pixels = np.zeros((64, 64), np.float32).view(_Watched)
            alive.add(pixels)
            most = max(most, len(alive))
            image = ParsedImage(instance_number=number, radiograph=Radiograph(pixels=pixels))
            del pixels
            yield SourceImage(f"{number}.dcm", image)
            del image

    gate = ScriptedEngine(card(), lambda image: gate_logits("other"))
    result = read_study(slices(), {stage.model: gate for stage in RADIOGRAPH_STAGES}, "0" * 32)
    assert (result.state, len(result.source), result.source[0]) == (State.NO_RESULT, 40, "39.dcm")
    assert most <= HELD + 2


def test_more_slices_than_can_be_held_are_let_go_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MOST_CT_BYTES", 10 * 2 * 64 * 64)
    alive: weakref.WeakSet[Any] = weakref.WeakSet()
    most = 0

    def slices() -> Iterator[SourceImage]:
        nonlocal most
        for number in range(40):
            hu = np.zeros((1, 64, 64), np.int16).view(_Watched)
            alive.add(hu)
            most = max(most, len(alive))
            image = ParsedSlices(instance_number=number, modality="CT", hu=hu)
            del hu
            yield SourceImage(f"{number}.dcm", image)
            del image

    result = read_study(slices(), {}, "0" * 32)
    assert (result.state, len(result.source)) == (State.NO_RESULT, 40)
    assert [remark.code for remark in result.reasons] == ["too_many_slices"]
    assert most <= 12


def test_a_parsing_process_that_does_not_start_is_a_fault_of_the_machine(tmp_path: Path) -> None:
    with Reader(memory_bytes=1 << 20) as reader, pytest.raises(SetupError) as caught:
        reader.read(tmp_path / "any.dcm")
    assert caught.value.code == "no_reader"


class _Watched(np.ndarray[Any, np.dtype[np.float32]]):
    """An array that can be told from its copies."""

    __hash__ = object.__hash__  # type: ignore[assignment]
    __eq__ = object.__eq__  # type: ignore[assignment]
