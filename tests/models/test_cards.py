"""The tables of figures in the model cards."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.engines import registry
from models.evaluation.cards import write_figures

CARD = "# A model\n\nWords before.\n\n<!-- figures -->\nold\n<!-- end of figures -->\n\nWords after.\n"
FIGURES = {
    "lung Dice, Cohen (external)": {"n": 12, "mean": 0.951},
    "accepted": {"share": 0.99, "interval_95": [0.97, 0.998]},
}


def test_the_table_is_replaced_and_the_words_stay(tmp_path: Path) -> None:
    path = tmp_path / "card.md"
    path.write_text(CARD, encoding="utf-8")
    write_figures(path, FIGURES)
    assert path.read_text(encoding="utf-8") == (
        "# A model\n\nWords before.\n\n<!-- figures -->\n"
        "| what | figure |\n|---|---|\n"
        "| lung Dice, Cohen (external) | n 12, mean 0.951 |\n"
        "| accepted | share 0.99, interval 95 0.97 to 0.998 |\n"
        "<!-- end of figures -->\n\nWords after.\n"
    )


def test_writing_twice_is_writing_once(tmp_path: Path) -> None:
    path = tmp_path / "card.md"
    path.write_text(CARD, encoding="utf-8")
    write_figures(path, FIGURES)
    once = path.read_text(encoding="utf-8")
    write_figures(path, FIGURES)
    assert path.read_text(encoding="utf-8") == once


def test_a_backslash_in_a_figure_is_written_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "card.md"
    path.write_text(CARD, encoding="utf-8")
    write_figures(path, {r"a\1b": {"n": 1}})
    assert r"| a\1b | n 1 |" in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("text", ["no place at all", CARD + CARD.replace("Words", "More"), "<!-- figures --> open"])
def test_a_card_without_exactly_one_place_is_left_alone(tmp_path: Path, text: str) -> None:
    path = tmp_path / "card.md"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match="expected one place"):
        write_figures(path, FIGURES)
    assert path.read_text(encoding="utf-8") == text


@pytest.mark.parametrize("name", sorted(registry.cards()))
def test_every_shipped_card_has_its_place_for_figures(tmp_path: Path, name: str) -> None:
    copy = tmp_path / "card.md"
    copy.write_text((registry.card(name).path.parent / "card.md").read_text(encoding="utf-8"), encoding="utf-8")
    write_figures(copy, FIGURES)
    assert "| accepted |" in copy.read_text(encoding="utf-8")
