"""The README's section of figures: what it says of each goal, and that writing it leaves the words around it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from models.evaluation import plots, precision
from models.evaluation.cards import write_block
from models.evaluation.readme import section
from tests.support import engines

GOALS = [
    {"figure": "abnormal, unseen", "found": 0.649, "interval_95": [0.46, 0.87], "goal": ">= 0.9", "met": False},
    {"figure": "accepted", "found": 1.0, "interval_95": None, "goal": ">= 0.99", "met": True},
    {"figure": "extent", "found": None, "interval_95": None, "goal": "<= 1.1", "met": False},
]
RELEASED = {"lung_field": {"precision": "fp32", "gate": "no INT8 file passed"}}
README = "# Box\n\nWords.\n\n<!-- evaluation -->\nold\n<!-- end of evaluation -->\n\nMore <!-- figures --> words.\n"


def test_each_goal_has_a_row_with_its_figure_and_whether_it_is_met() -> None:
    lines = section(GOALS, RELEASED, {})
    assert lines[2:5] == [
        "| abnormal, unseen | 0.649 | 0.46 to 0.87 | >= 0.9 | **not met** |",
        "| accepted | 1.0 |  | >= 0.99 | met |",
        "| extent | not measured |  | <= 1.1 | **not met** |",
    ]
    assert "1 of 3 goals are met." in lines[6]


def test_a_model_that_ships_in_fp32_is_said() -> None:
    assert "| `lung_field` | FP32 | no INT8 file passed |" in section(GOALS, RELEASED, {})


def test_fp32_beside_the_shipped_files_stands_only_where_it_was_measured() -> None:
    assert not any("same images" in line for line in section(GOALS, RELEASED, {}))
    lines = section(GOALS, RELEASED, {"tuberculosis": {"shipped": 0.86, "fp32": 0.87}})
    assert lines[-1] == "| tuberculosis | shipped 0.86, fp32 0.87 |"


def test_every_plot_is_shown() -> None:
    text = "\n".join(section(GOALS, RELEASED, {}))
    assert all(f"](docs/figures/{file})" in text for file in plots.FILES.values())


def test_the_section_is_replaced_and_the_words_stay(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text(README, encoding="utf-8")
    for _ in range(2):
        write_block(path, "evaluation", ["new"])
    assert path.read_text(encoding="utf-8") == README.replace("old", "new")


@pytest.mark.parametrize(
    ("attempts", "sha256", "gate"),
    [
        ([{"attempt": "a", "passed": False}, {"attempt": "b", "passed": True}], "ab" * 32, "passed: b"),
        ([{"attempt": "a", "passed": False}], "ab" * 32, "no INT8 file passed"),
        ([{"attempt": "a", "passed": True}], "cd" * 32, "no report of this file"),
    ],
    ids=["passed", "failed", "of another file"],
)
def test_the_gate_speaks_for_the_very_file(
    tmp_path: Path, attempts: list[dict[str, object]], sha256: str, gate: str
) -> None:
    folder = tmp_path / "reports"
    folder.mkdir()
    report = {"sha256": sha256, "attempts": attempts}
    (folder / "lung_field.json").write_text(json.dumps(report), encoding="utf-8")
    assert precision.released(engines.card("lung_field"), tmp_path) == {"precision": "int8", "gate": gate}


def test_a_model_without_a_report_is_not_said_to_have_passed(tmp_path: Path) -> None:
    assert precision.released(engines.card("lung_field"), tmp_path)["gate"] == "no report of this file"


CURVES = {
    "roc": {"tuberculosis": [[0.0, 0.1, 1.0], [0.0, 0.8, 1.0]]},
    "reliability": {"external": [{"from": 0.0, "n": 3, "predicted": 0.03, "observed": 0.3}]},
    "risk_coverage": {"external": [[0.5, 1.0], [0.1, 0.2]]},
}


def test_plots_are_small_and_the_same_each_time(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    hashes = []
    for folder in (tmp_path / "one", tmp_path / "two"):
        plots.draw(CURVES, folder)
        files = [folder / name for name in plots.FILES.values()]
        assert all(100 < file.stat().st_size < 60_000 for file in files)
        hashes.append([hashlib.sha256(file.read_bytes()).hexdigest() for file in files])
    assert hashes[0] == hashes[1]
