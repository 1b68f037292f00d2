"""One command for every figure: ``python -m models.evaluation --data DIR``.

Writes ``models/evaluation/report.json`` and ``curves.json``, the table of figures in each
model's card, the plots in ``docs/figures`` and the section of figures in the README.
With ``--models DIR`` it evaluates the models registered there and writes their report there.
Models that were trained without a hospital are measured by ``models.evaluation.without``.
``--exact DIR`` adds the networks in FP32, from ``DIR/<name>.onnx`` as ``calibration.ship``
leaves them. ``--every N`` reads one image of N and writes to ``build/evaluation`` alone.

Needs the ``train`` extra: torch, scikit-learn and matplotlib.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.engines.engine import Engine
from edge.engines.registry import default_folder
from models.evaluation import (
    cards,
    cost,
    frontal_gate,
    goals,
    lung_field,
    opacity,
    plots,
    pneumonia,
    positioning,
    precision,
    readings,
    readme,
    shortcuts,
    truth,
    without,
)
from models.evaluation.figures import Figures
from models.evaluation.readings import Reading

_SAMPLE_FOLDER = Path("build/evaluation")


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What every measuring module draws from: the data, the engines, and all images as they were read."""

    root: Path
    engines: Mapping[str, Engine]
    readings: Sequence[Reading]


def _pneumonia(e: Evaluated) -> Figures:
    strata = truth.strata(e.root, [r.row for r in e.readings])
    return {**pneumonia.evaluate(e.readings, strata), **shortcuts.evaluate(e.root, e.engines, e.readings)}


def _lung_field(e: Evaluated) -> Figures:
    engine = e.engines["lung_field"]
    return {**lung_field.evaluate(e.root, engine), **positioning.evaluate(e.root, engine)}


MEASURES: Mapping[str, Callable[[Evaluated], Figures]] = {
    "pneumonia": _pneumonia,
    "frontal_gate": lambda e: frontal_gate.evaluate(e.root, e.engines["frontal_gate"], e.readings),
    "lung_field": _lung_field,
    "opacity": lambda e: opacity.evaluate(e.root, e.engines["opacity"], e.readings),
    "cost": lambda e: cost.evaluate(e.engines),
}
"""What measures each part of the report; a model's own part becomes the table in its card."""


def evaluate(root: Path, folder: Path | None, every: int, exact: Path | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """The report by part, and the curves."""
    engines = readings.engines(folder)
    rows = readings.rows(root)[::every]
    read = list(readings.read(root, rows, engines))
    report: dict[str, Any] = {name: measure(Evaluated(root, engines, read)) for name, measure in MEASURES.items()}
    if exact is not None:
        again = list(readings.read(root, rows, readings.exact(engines, exact)))
        report["fp32"] = precision.evaluate(read, again)
    report["precision"] = {
        name: precision.released(engine.card, folder or default_folder()) for name, engine in sorted(engines.items())
    }
    return report, pneumonia.curves(read)


def write(report: dict[str, Any], curves: Mapping[str, Any], folder: Path) -> None:
    """Write report and curves."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(report, indent=1, allow_nan=False)
    (folder / "report.json").write_text(text + "\n", encoding="utf-8")
    (folder / "curves.json").write_text(json.dumps(curves, allow_nan=False) + "\n", encoding="utf-8")


def publish(report: Mapping[str, Any], curves: Mapping[str, Any], models: Path) -> None:
    """Write the cards, the plots and the README's section of the shipped models."""
    for name in report["precision"]:
        if name in report:
            cards.write_figures(models / name / "card.md", report[name])
    plots.draw(curves, models.parent / "docs" / "figures")
    lines = readme.section(report["goals"], report["precision"], report.get("fp32", {}))
    cards.write_block(models.parent / "README.md", "evaluation", lines)


def main() -> None:
    """Evaluate, write the report and, for the shipped models, all that shows it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="directory that holds cxr/ and ct/")
    parser.add_argument("--models", type=Path, help="folder of another registry.toml")
    parser.add_argument("--exact", type=Path, help="folder of the same models in FP32")
    parser.add_argument("--every", type=int, default=1, help="read one image of so many, and publish nothing")
    given = parser.parse_args()
    report, curves = evaluate(given.data, given.models, given.every, given.exact)
    home = default_folder() / "evaluation"
    report["goals"] = goals.table({**report, **without.kept()})
    write(report, curves, _SAMPLE_FOLDER if given.every > 1 else given.models or home)
    if given.models is None and given.every == 1:
        publish(report, curves, default_folder())


if __name__ == "__main__":
    main()
