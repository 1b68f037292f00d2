"""Masks: where they are written, and what they must never be written over."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge import clock
from edge.pipeline.masks import MaskWriter
from edge.pipeline.schema import to_json
from edge.types import Mask, StageResult, StageStatus, State, StudyResult

MASK = Mask(labels=np.eye(64, dtype=np.uint8), names={1: "right lung"})


def result(*source: Path) -> StudyResult:
    stage = StageResult(stage="segmentation", status=StageStatus.OK, seconds=0.1, masks={"lungs": MASK})
    return StudyResult(
        study_key="0" * 32,
        source=tuple(map(str, source)),
        study_instance_uid=None,
        modality=None,
        state=State.DONE,
        reasons=(),
        stages=(stage,),
        software_version="0",
        completed_at=clock.utc(),
    )


def write(writer: MaskWriter, *source: Path) -> str:
    report = to_json(result(*source))
    writer.write(result(*source), report)
    return Path(report["segmentation"]["mask_file"]).name


def test_masks_of_one_name_lie_side_by_side(tmp_path: Path) -> None:
    sources = [Path("a/chest.dcm"), Path("b/chest.dcm"), Path("c/1.2.840.5")]
    writer = MaskWriter(tmp_path, sources)
    assert [write(writer, source) for source in sources] == ["chest.png", "chest-2.png", "1.2.840.5.png"]


@pytest.mark.parametrize("name", ["chest.png", "chest.dcm"])
def test_no_mask_is_ever_written_over_an_image_that_is_read(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = tmp_path / "chest.png"
    picture.write_bytes(b"the only copy")
    monkeypatch.chdir(tmp_path)
    writer = MaskWriter(Path(), [tmp_path / name, picture])
    assert write(writer, tmp_path / name) == "chest-2.png"
    assert picture.read_bytes() == b"the only copy"
