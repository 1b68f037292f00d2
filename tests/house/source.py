"""The source of the project as data, for the house rules: files, syntax trees, function bodies, public names."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CODE_FOLDERS = ("edge", "models", "calibration")

_Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Module:
    """One Python file: its path from the root, its text and its syntax tree."""

    name: str
    text: str
    tree: ast.Module

    @property
    def lines(self) -> int:
        """Number of lines, blank ones too."""
        return len(self.text.splitlines())


@cache
def modules(*folders: str) -> tuple[Module, ...]:
    """Every Python file below the folders."""
    paths = sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    texts = [(str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")) for path in paths]
    return tuple(Module(name, text, ast.parse(text)) for name, text in texts)


@cache
def tracked_files() -> tuple[Path, ...]:
    """What git keeps; the test is skipped where the source came without its history."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listing = subprocess.run(["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, check=True).stdout
    paths = (ROOT / name for name in listing.decode().split("\0") if name)
    return tuple(path for path in paths if path.is_file())


def functions(module: Module) -> Iterator[tuple[str, int]]:
    """Name and length of the body in lines, docstring left out, of every function."""
    for node in ast.walk(module.tree):
        if isinstance(node, _Function):
            yield f"{module.name}:{node.name}", _body_lines(node)


def _body_lines(function: _Function) -> int:
    body = function.body[1:] if ast.get_docstring(function) else function.body
    if not body:
        return 0
    return (body[-1].end_lineno or 0) - body[0].lineno + 1


def public_names(module: Module) -> Iterator[tuple[str, bool]]:
    """Public classes, functions and methods, each with whether it has a docstring."""
    if module.name.endswith("__main__.py"):
        return
    yield from _public(module.tree, module.name)


def _public(parent: ast.Module | ast.ClassDef, prefix: str) -> Iterator[tuple[str, bool]]:
    for node in parent.body:
        if isinstance(node, ast.ClassDef | _Function) and not node.name.startswith("_"):
            yield f"{prefix}:{node.name}", ast.get_docstring(node) is not None
            if isinstance(node, ast.ClassDef):
                yield from _public(node, f"{prefix}:{node.name}")
