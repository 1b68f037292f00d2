"""Thresholds and temperatures of a quantized model, fitted on validation images alone.

Splits are by patient; no test image and no external hospital is looked at here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from calibration import positioning
from edge.engines.engine import Engine, ModelCard
from edge.engines.registry import load
from edge.stages.numbers import softmax
from edge.stages.radiograph.geometry import WORKING_SIDE, lung_tile, tile
from models.training import data, pneumonia

Numbers = npt.NDArray[np.float64]

_SENSITIVITY = 0.95
"""Share of abnormal validation images that the decision threshold has to find."""
_SPECIFICITY = 0.95
_COVERAGE = 0.90
"""Share of validation images whose true class a prediction set has to contain."""


def lung_field(root: Path, card: ModelCard) -> dict[str, Any]:
    """Plausibility limits of the lungs, wider than anything seen in training masks, and those of positioning."""
    plausible = {"least_area": 0.02, "most_area": 0.75, "most_ratio": 4.0}
    engine = load(replace(card, thresholds=plausible), threads=2)
    return {**plausible, **positioning.limits(root, engine)}


def frontal_gate(root: Path, card: ModelCard) -> dict[str, Any]:
    """The limit that 99.5 % of validation radiographs of the worst source pass, at least one half."""
    engine = load(card, threads=2)
    rows = [r for r in data.manifest(root) if r.split == "val" and not r.is_lateral]
    frontal: dict[str, list[float]] = {}
    for row in rows:
        shown = tile(data.to_unit(data.pixels(root, row)), card.side)
        frontal.setdefault(row.source, []).append(float(softmax(engine.run(shown[None])[0, :3])[0]))
    passed = min(float(np.quantile(values, 0.005)) for values in frontal.values())
    return {"frontal": round(float(np.clip(passed, 0.5, 0.9)), 3), "turned": 0.9, "inverted": 0.9}


def pneumonia_logits(engine: Engine, samples: Iterable[pneumonia.Sample]) -> npt.NDArray[np.float32]:
    """Output of the classifier for samples, shape (N, 10)."""
    side = engine.card.side
    tiles = (lung_tile(data.to_unit(s.pixels), s.lungs, side) for s in samples)
    return np.stack([engine.run(shown[None])[0] for shown in tiles])


def pneumonia_thresholds(root: Path, card: ModelCard) -> dict[str, Any]:
    """Temperature, decision limits and conformal quantile of each head."""
    samples = pneumonia.load(root, ("val",))
    logits = pneumonia_logits(load(card, threads=2), samples)
    split = len(pneumonia.CHILD)
    found: dict[str, Any] = {"working_side": WORKING_SIDE}
    for group, classes, part in (
        ("child", pneumonia.CHILD, slice(0, split)),
        ("adult", pneumonia.ADULT, slice(split, -1)),
    ):
        kept = [i for i, s in enumerate(samples) if s.group == group]
        allowed = np.array([_allowed(samples[i], group, classes) for i in kept])
        found |= {f"{group}_{k}": v for k, v in _head(logits[kept, part], allowed).items()}
    return found


def _allowed(sample: pneumonia.Sample, group: str, classes: tuple[str, ...]) -> list[bool]:
    names = pneumonia.allowed_classes(sample, group)
    return [name in names for name in classes]


def _head(logits: npt.NDArray[np.float32], allowed: npt.NDArray[np.bool_]) -> dict[str, float]:
    temperature = min(np.geomspace(0.5, 6, 60), key=lambda t: _entropy(logits, allowed, t))
    p = np.stack([softmax(row, temperature) for row in logits])
    normal = allowed[:, 0]
    abnormal = 1 - p[:, 0]
    finds = float(np.quantile(abnormal[~normal], 1 - _SENSITIVITY))
    clears = float(np.quantile(abnormal[normal], _SPECIFICITY))
    true = np.where(allowed, p, 0).max(1)
    return {
        "temperature": round(float(temperature), 3),
        "normal_below": round(min(finds, clears), 4),
        "abnormal_from": round(max(finds, clears), 4),
        "set_from": round(float(np.quantile(true, 1 - _COVERAGE)), 4),
    }


def _entropy(logits: npt.NDArray[np.float32], allowed: npt.NDArray[np.bool_], temperature: float) -> float:
    p = np.stack([softmax(row, temperature) for row in logits])
    return float(-np.log(np.where(allowed, p, 0).sum(1) + 1e-9).mean())
