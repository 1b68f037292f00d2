"""House rules on what the repository holds: sizes, words, lock files."""

from __future__ import annotations

import re

import pytest

from tests.house import source
from tests.house.source import ROOT

TOTAL_BYTES = 60e6
LOCKS = ("build", "run", "demo", "test")

# Joined from parts, so that this file does not hold what it forbids.
_REGISTRIES = ("pypi" + ".org", "pythonhosted" + ".org", "npmjs" + ".org", "npmjs" + ".com")
_MACHINE_PATHS = tuple(f"/{folder}/" for folder in ("work", "opt", "root", "home", "Users"))
_PENDING = ("TO" + "DO", "FIX" + "ME")


def test_what_git_keeps_is_small() -> None:
    assert sum(path.stat().st_size for path in source.tracked_files()) < TOTAL_BYTES


@pytest.mark.parametrize("forbidden", [_REGISTRIES, _MACHINE_PATHS, _PENDING], ids=["registry", "path", "pending"])
def test_no_file_names_a_registry_a_machine_or_pending_work(forbidden: tuple[str, ...]) -> None:
    pattern = re.compile("|".join(rf"(?<![\w.]){re.escape(word)}" for word in forbidden))
    named = [str(path.relative_to(ROOT)) for path in source.tracked_files() if pattern.search(_text(path))]
    assert named == []


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_file_has_a_hash_for_everything_and_no_address(name: str) -> None:
    text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    assert "://" not in text
    assert not re.search(r"^\s*--(index|extra|find|trusted)", text, re.MULTILINE)
    requirements = re.split(r"\n(?=\S)", re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE).strip())
    assert requirements
    for requirement in requirements:
        assert re.match(r"[\w.\-\[\]]+==\S+", requirement), requirement
        assert "--hash=sha256:" in requirement, requirement


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_file_holds_neither_training_nor_graphics_card(name: str) -> None:
    text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    assert not re.search(r"^(torch|tensorrt|pycuda)\b", text, re.MULTILINE)


def test_the_locks_agree_with_each_other() -> None:
    run, demo, test = (_versions(name) for name in ("run", "demo", "test"))
    assert run.items() <= demo.items()
    assert run.items() <= test.items()


def _versions(name: str) -> dict[str, str]:
    text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    # A package may stand there once for each range of Python versions; its marker tells them apart.
    pinned = re.findall(r"^([\w.\-\[\]]+)==([^\s;]+)\s*(;[^\\\n]*)?", text, re.MULTILINE)
    return {f"{package} {marker}".strip(): version for package, version, marker in pinned}


def _text(path: source.Path) -> str:
    content = path.read_bytes()
    return "" if b"\0" in content else content.decode("utf-8")
