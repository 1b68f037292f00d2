"""Libraries that cannot be loaded are found, and one that ends its process hides no other."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from edge.health import libraries

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]


def test_every_library_and_compression_works_in_this_environment() -> None:
    assert libraries.broken() == []


def test_every_dependency_of_the_package_is_looked_at() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    required = {re.split(r"[<>=;\s]", line)[0] for line in project["dependencies"]}
    # tomli is for Python 3.10, where without it no command starts, this one neither.
    not_everywhere = {"tomli", *(["pyjpegls"] if sys.version_info >= (3, 14) else [])}
    assert required - not_everywhere == {name for name, _ in libraries.LIBRARIES}


def test_a_missing_library_and_an_unknown_compression_are_named() -> None:
    given = (("json", "json"), ("absent", "no_such_library"))
    assert libraries.broken(given, ("RLELossless", "MPEG2MPML")) == [
        "absent",
        "MPEG2MPML",
    ]


def test_a_library_that_kills_its_process_hides_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "built_for_another_processor.py").write_text("import os; os.kill(os.getpid(), 4)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    given = (
        ("first", "json"),
        ("crasher", "built_for_another_processor"),
        ("absent", "no_such_library"),
        ("last", "json"),
    )
    assert libraries.broken(given, ()) == ["crasher", "absent"]
