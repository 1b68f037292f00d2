"""The README says what the code does: settings, commands, options, make targets, models, links."""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
import sys
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from edge.__main__ import _parser
from edge.config import Settings
from edge.errors import ModelError, ReadingError, SeriesError, UnreadableError
from edge.pipeline import reading
from edge.pipeline.schema import to_json
from edge.stages import tomography
from edge.stages.radiograph import classification, positioning, quality, registration, segmentation
from edge.types import Remark, StageResult, StageStatus, State, StudyResult
from tests.house import source
from tests.house.source import ROOT

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

REMARKING = (
    *(quality, segmentation, positioning, registration, classification, reading),
    *(tomography.quality, tomography.segmentation, tomography.positioning, tomography.registration),
    *(tomography.detection, tomography.classification),
)
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_setting_stands_in_the_table_with_its_default_and_meaning() -> None:
    rows = re.findall(r"^\| `([a-z_.]+)` \| `(.+?)` \| (.+) \|$", README, re.MULTILINE)
    assert rows == [(name, default, help_) for name, default, help_ in _settings(Settings, "")]


def test_every_command_and_option_is_named() -> None:
    for words, parser in _commands(_parser(), ()):
        assert f"`{' '.join(('chest-edge', *words))}" in README
        for action in parser._actions:
            for option in action.option_strings:
                assert option in {"-h", "--help"} or f"`{option}" in README, option


def test_every_make_target_is_named() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (targets,) = re.findall(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)
    for target in set(targets.split()) - {"help", "system-packages"}:
        assert f"`make {target}`" in README
        assert f"'make {target}" in makefile, "make help"


def test_every_registered_model_has_a_row_and_a_card() -> None:
    registry = tomllib.loads((ROOT / "models" / "registry.toml").read_text(encoding="utf-8"))
    for name in registry["models"]:
        assert re.search(rf"^\| `{name}` \|.*\(models/{name}/card\.md\) \|$", README, re.MULTILINE)
        assert (ROOT / "models" / name / "card.md").is_file()


def test_every_code_of_an_unreadable_file_is_explained() -> None:
    explained = (ROOT / "docs" / "result.md").read_text(encoding="utf-8")
    missing = [code for code in UnreadableError.texts if f"| `{code}` |" not in explained]
    assert missing == []


def test_every_code_of_a_series_is_explained() -> None:
    explained = (ROOT / "docs" / "result.md").read_text(encoding="utf-8")
    table = explained[explained.index("## Codes of CT series") : explained.index("## Codes of remarks")]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == list(SeriesError.texts)


def test_every_remark_is_explained_with_its_severity() -> None:
    explained = (ROOT / "docs" / "result.md").read_text(encoding="utf-8")
    found = [value for module in REMARKING for value in vars(module).values() if isinstance(value, Remark)]
    assert len(found) > 8
    assert [r.code for r in found if f"| `{r.code}` | {r.severity.value} |" not in explained] == []
    errors = {*ReadingError.texts, *ModelError.texts}
    assert [code for code in errors if f"`{code}`" not in explained] == []


def test_every_key_of_a_result_is_explained() -> None:
    result = StudyResult(
        study_key="0" * 32,
        source=("image.dcm",),
        study_instance_uid=None,
        modality=None,
        state=State.QUARANTINED,
        reasons=(),
        stages=(StageResult(stage="quality", status=StageStatus.OK, seconds=0.1),),
        software_version="0",
        completed_at=datetime(2026, 3, 1, tzinfo=timezone.utc),
    )
    report = to_json(result)
    explained = (ROOT / "docs" / "result.md").read_text(encoding="utf-8")
    first_table = explained[: explained.index("**State.**")]
    assert re.findall(r"^\| `(\w+)` \|", first_table, re.MULTILINE) == list(report)
    assert ", ".join(f'"{key}"' for key in report["stages"][0]) in explained


def test_the_limits_of_use_stand_near_the_top() -> None:
    assert README.index("Research use, not a medical device") < 600


def test_decisions_are_numbered_without_gap() -> None:
    table = README[README.index("## Decisions") : README.index("## Limits of use")]
    numbers = [int(number) for number in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)]
    assert numbers == list(range(1, len(numbers) + 1))


def test_every_room_stands_in_the_table() -> None:
    rooms = {f"edge/{path.name}" for path in (ROOT / "edge").iterdir() if (path / "__init__.py").is_file()}
    assert [room for room in sorted(rooms) if f"`{room}/`" not in README] == []


@pytest.mark.parametrize(
    "name", ["README.md", "CHANGES.md", "docs/result.md", "docs/objects.md", "requirements/README.md"]
)
def test_links_lead_to_files_and_headings(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        place, _, heading = target.partition("#")
        if "://" in target:
            continue
        path = (ROOT / name).parent / place if place else ROOT / name
        assert path.exists(), target
        assert not heading or heading in _headings(path), target


def test_every_documented_file_is_kept_by_git() -> None:
    tracked = {str(path.relative_to(ROOT)) for path in source.tracked_files()}
    assert {"README.md", "CHANGES.md", "LICENSE", "models/LICENSE", "docs/result.md", ".ci/run"} <= tracked


def _settings(kind: type[Any], prefix: str) -> Iterator[tuple[str, str, str]]:
    for field in dataclasses.fields(kind):
        if dataclasses.is_dataclass(field.default):
            yield from _settings(type(field.default), f"{prefix}{field.name}.")
        else:
            default = str(field.default) if isinstance(field.default, Path) else field.default
            yield prefix + field.name, json.dumps(default), field.metadata["help"]
            if field.metadata["tables"]:
                yield from _settings(field.metadata["tables"], f"{prefix}{field.name}.")


def _commands(
    parser: argparse.ArgumentParser, words: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], argparse.ArgumentParser]]:
    nested = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not nested:
        yield words, parser
    for name, below in [pair for action in nested for pair in action.choices.items()]:
        yield from _commands(below, (*words, name))


def _headings(path: Path) -> set[str]:
    lines = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in lines}
