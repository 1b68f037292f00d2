"""The table of figures in a model card, between two marks; the words around it are written by hand."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models.evaluation.figures import Figures

_BEGIN, _END = "<!-- figures -->", "<!-- end of figures -->"


def write_figures(path: Path, figures: Figures) -> None:
    """Replace the table of a card.

    Raises
    ------
    ValueError
        Where the card has no place for it.
    """
    card = path.read_text(encoding="utf-8")
    table = "\n".join(["| what | figure |", "|---|---|", *(f"| {n} | {_cell(f)} |" for n, f in figures.items())])
    block = f"{_BEGIN}\n{table}\n{_END}"
    replaced, count = re.subn(f"{_BEGIN}.*?{_END}", lambda _: block, card, flags=re.DOTALL)
    if count != 1:
        raise ValueError(f"expected one place for figures in {path}, found {count}")
    path.write_text(replaced, encoding="utf-8")


def _cell(figure: Mapping[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {_text(value)}" for name, value in figure.items())


def _text(value: Any) -> str:
    return " to ".join(map(str, value)) if isinstance(value, list) else str(value)
