"""Tables of figures in model cards and in the README, between two marks; the words around them are written by hand."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edge.engines.registry import default_folder
from models.evaluation.figures import Figures


def write_figures(path: Path, figures: Figures) -> None:
    """Replace the table of a card.

    Raises
    ------
    ValueError
        Where the card has no place for it.
    """
    rows = [f"| {name} | {_cell(figure)} |" for name, figure in figures.items()]
    write_block(path, "figures", ["| what | figure |", "|---|---|", *rows])


def write_block(path: Path, name: str, lines: list[str]) -> None:
    """Replace what stands between ``<!-- name -->`` and ``<!-- end of name -->``.

    Raises
    ------
    ValueError
        Where the file has not exactly one place of this name.
    """
    text = path.read_text(encoding="utf-8")
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    block = "\n".join([begin, *lines, end])
    replaced, count = re.subn(f"{begin}.*?{end}", lambda _: block, text, flags=re.DOTALL)
    if count != 1:
        raise ValueError(f"expected one place for {name} in {path}, found {count}")
    path.write_text(replaced, encoding="utf-8")


def as_text(value: Any) -> str:
    """A number, or the two ends of an interval."""
    return " to ".join(map(str, value)) if isinstance(value, list) else str(value)


def _cell(figure: Mapping[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {as_text(value)}" for name, value in figure.items())


def keep(report: str, name: str, figures: Figures) -> None:
    """Put figures into a report of ``models/evaluation``, beside those of others."""
    path = default_folder() / "evaluation" / report
    kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    path.write_text(json.dumps({**kept, name: figures}, indent=1, allow_nan=False) + "\n", encoding="utf-8")
