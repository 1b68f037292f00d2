"""What the gate accepts and refuses, on images that it was not trained on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edge.engines.engine import Engine
from edge.stages.radiograph import quality
from edge.stages.radiograph.case import Case, first_case
from edge.stages.radiograph.geometry import Pixels
from edge.stages.stage import Outcome
from edge.types import Radiograph, Severity
from models.evaluation.figures import Figures, share
from models.evaluation.readings import Reading
from models.training import data, outsiders

_TURNED_IMAGES = 150


def evaluate(root: Path, engine: Engine, readings: Sequence[Reading]) -> Figures:
    """Acceptance by source, refusals by kind, and how often turns and inversion are set right."""
    by_source: dict[str, list[bool]] = {}
    for reading in readings:
        where = f"{reading.row.source} ({reading.row.split})"
        by_source.setdefault(where, []).append(reading.accepted)
    external = [r.accepted for r in readings if r.row.split == "external"]
    figures = {f"frontal accepted, {name}": share(flags) for name, flags in sorted(by_source.items())}
    figures["frontal accepted, all external"] = share(external)
    for name, images in _outsiders(root).items():
        figures[f"refused, {name}"] = share([_is_refused(_ask(data.to_unit(image), engine)) for image in images])
    return {**figures, **_corrections(root, engine, readings)}


def _outsiders(root: Path) -> dict[str, list[data.Grey]]:
    return {
        "lateral views, held-out patients": outsiders.gate_figures(root, "lateral", held_out=True),
        "CT figures, held-out patients": outsiders.gate_figures(root, "ct_figure", held_out=True),
        "CT slices, held-out patients": outsiders.ct_slices(root, "test", most=300),
        "photographs not trained on": outsiders.photographs(held_out=True),
    }


def _corrections(root: Path, engine: Engine, readings: Sequence[Reading]) -> Figures:
    external = [r.row for r in readings if r.row.split == "external"]
    chosen = external[:: max(1, len(external) // _TURNED_IMAGES)]
    images = [data.to_unit(data.pixels(root, row)) for row in chosen]
    upright = [_ask(image, engine) for image in images]
    turned = [(k, _ask(np.rot90(image, k).copy(), engine)) for image in images for k in (1, 2, 3)]
    inverted = [_ask(1 - image, engine) for image in images]
    return {
        "upright external left as it lies": share([not _codes(o) for o in upright]),
        "turned external set upright": share([o.case.turned_deg == 90 * k and not _is_refused(o) for k, o in turned]),
        "inverted external set right": share(["inverted" in _codes(o) for o in inverted]),
    }


def _ask(pixels: Pixels, engine: Engine) -> Outcome[Case]:
    return quality.read(first_case(Radiograph(pixels=pixels)), engine)


def _is_refused(outcome: Outcome[Case]) -> bool:
    return any(remark.severity is Severity.STOP for remark in outcome.remarks)


def _codes(outcome: Outcome[Case]) -> set[str]:
    return {remark.code for remark in outcome.remarks}
