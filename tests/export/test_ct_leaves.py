"""The objects of a chest CT leave for Debian's Orthanc, made of what the box keeps, and are printed by its page."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from edge.config import Settings
from edge.store import studies
from edge.web.printing import printed
from tests.export.test_with_orthanc import PLUGIN, instances, settle, web
from tests.support import ct_cases
from tests.support.exports import CLASSES, box_with, states
from tests.support.pacs import orthanc
from tests.support.paper import text_of
from tests.support.studies import put_finished_study

KINDS = ("sc", "sr", "seg", "pdf")


def put_ct(box: Settings, folder: Path, **parts: Any) -> str:
    """A finished CT as the box keeps it: its files, its pictures, its result; returns its key."""
    case = ct_cases.case(folder)
    assert case.slices is not None
    names = {source.SOPInstanceUID: f"{number:032x}.dcm" for number, source in enumerate(case.slices.headers())}
    box.incoming.mkdir(parents=True, exist_ok=True)
    for path, name in zip(sorted((folder / "files").iterdir()), names.values(), strict=True):
        shutil.copy(path, box.incoming / name)
    result = ct_cases.report(source=[str(box.incoming / name) for name in names.values()], **parts)
    key = put_finished_study(box, result, modality="CT")
    shutil.copy(folder / "stack.zip", studies.stack_path(box, key, 1))
    return key


def test_orthanc_gets_all_four_of_a_ct(tmp_path: Path) -> None:
    with orthanc(tmp_path, 1, Plugins=[PLUGIN]) as peer:
        box = box_with(tmp_path / "box", web(peer))
        put_ct(box, tmp_path)
        settle(box)
        assert states(box) == ["stored"] * len(KINDS)
        assert sorted(instances(peer).values()) == sorted(str(CLASSES[kind]) for kind in CLASSES if kind.value in KINDS)


@pytest.mark.parametrize("language", ["en", "fr"])
def test_the_page_prints_a_ct_with_its_slices(language: str, tmp_path: Path) -> None:
    box = box_with(tmp_path / "box")
    found = studies.study(box.database, put_ct(box, tmp_path))
    assert found is not None
    text = text_of(printed(box, found, language))
    assert "Slice 15" in text if language == "en" else "Coupe 15" in text
