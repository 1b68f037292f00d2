"""One command for every figure: ``python -m models.evaluation --data DIR``.

Writes ``models/evaluation/report.json`` and the table of figures in each model's card.
With ``--models DIR`` it evaluates the models registered there and writes their report
there, which is how the figures of a model trained without a hospital are made.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from edge.engines.registry import default_folder
from models.evaluation import cards, frontal_gate, lung_field, pneumonia, readings
from models.evaluation.figures import Figures


def evaluate(root: Path, folder: Path | None) -> dict[str, Figures]:
    """Figures by model."""
    engines = readings.engines(folder)
    read = list(readings.read(root, readings.rows(root), engines))
    return {
        "lung_field": lung_field.evaluate(root, engines["lung_field"]),
        "frontal_gate": frontal_gate.evaluate(root, engines["frontal_gate"], read),
        "pneumonia": pneumonia.evaluate(read),
    }


def main() -> None:
    """Evaluate, write the report and, for the shipped models, their cards."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="directory that holds cxr/ and ct/")
    parser.add_argument("--models", type=Path, help="folder of another registry.toml")
    given = parser.parse_args()
    report = evaluate(given.data, given.models)
    target = given.models or default_folder() / "evaluation"
    (target / "report.json").write_text(json.dumps(report, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    if given.models is None:
        for name, figures in report.items():
            cards.write_figures(default_folder() / name / "card.md", figures)


if __name__ == "__main__":
    main()
