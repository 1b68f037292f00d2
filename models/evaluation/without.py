"""Figures of a model that was trained without a source: what to expect of a hospital it has not seen.

The model was shipped into a folder of its own (``calibration.ship --models DIR --leave-out``);
the other models are the box's own. The figures are kept beside the report, and goals read them.

    python -m models.evaluation.without pneumonia NIH CRD-RSNA --models DIR --data ../shared/data
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from pathlib import Path

from edge.engines import registry
from edge.engines.engine import Engine
from models.evaluation import lung_field, pneumonia, readings, truth
from models.evaluation.figures import Figures

Engines = Mapping[str, Engine]
_FOLDER = Path(__file__).parent / "without"


def kept() -> dict[str, Figures]:
    """The figures that are kept, by model and sources: ``pneumonia_without_NIH_CRD-RSNA``."""
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(_FOLDER.glob("*.json"))}


def _pneumonia(root: Path, engines: Engines) -> Figures:
    read = list(readings.read(root, readings.rows(root), engines))
    return pneumonia.evaluate(read, truth.strata(root, [r.row for r in read]))


MEASURES: Mapping[str, Callable[[Path, Engines], Figures]] = {
    "pneumonia": _pneumonia,
    "lung_field": lambda root, engines: lung_field.evaluate(root, engines["lung_field"]),
}


def main() -> None:
    """Measure one model and keep its figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=sorted(MEASURES))
    parser.add_argument("sources", nargs="+", help="what it was not trained on")
    parser.add_argument("--models", type=Path, required=True, help="folder of its registry.toml")
    parser.add_argument("--data", type=Path, required=True, help="directory that holds cxr/ and ct/")
    given = parser.parse_args()
    engine = registry.load(registry.card(given.name, given.models), threads=2)
    figures = MEASURES[given.name](given.data, readings.engines() | {given.name: engine})
    _FOLDER.mkdir(exist_ok=True)
    path = _FOLDER / f"{given.name}_without_{'_'.join(given.sources)}.json"
    path.write_text(json.dumps(figures, indent=1, allow_nan=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
