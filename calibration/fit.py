"""Thresholds and temperatures of a quantized model, fitted on validation images alone.

Splits are by patient; no test image and no external hospital is looked at here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from calibration import atlas, positioning
from calibration import limits as limits_of
from edge.engines.engine import Engine, ModelCard
from edge.engines.registry import load
from edge.stages.numbers import softmax
from edge.stages.radiograph import detection, severity
from edge.stages.radiograph.classification import answer, embedding
from edge.stages.radiograph.geometry import squash_labels, tile
from models.evaluation import ct_limits, ct_sources
from models.evaluation.opacity import FOLDS_FILE
from models.training import data, lungs, opacity, pneumonia

Numbers = npt.NDArray[np.float64]

_FALSE_MARKS = 0.5
"""Marks that a normal image of the worst source may carry on average."""
_CLEAR = 0.90
"""Share of the normal images of the worst source whose lungs count as clear."""
_LEAST_IMAGES = 30
_NEAR = 0.99


@dataclass(frozen=True, slots=True)
class Origin:
    """What a model comes from.

    Attributes
    ----------
    root : directory of the data.
    folder : where the model is shipped to.
    left_out : sources that it was not trained on, and so is not calibrated on either.
    """

    root: Path
    folder: Path
    left_out: tuple[str, ...] = ()


def lung_field(origin: Origin, card: ModelCard) -> dict[str, Any]:
    """Plausibility limits of the lungs, wider than anything seen in training masks, the atlas, and positioning."""
    plausible = {"least_area": 0.02, "most_area": 0.75, "most_ratio": 4.0}
    engine = load(replace(card, thresholds=plausible), threads=2)
    return {**plausible, **atlas.build(origin.root, engine), **positioning.limits(origin.root, engine)}


def frontal_gate(origin: Origin, card: ModelCard) -> dict[str, Any]:
    """The limit that 99.5 % of validation radiographs of the worst source pass, at least one half."""
    engine = load(card, threads=2)
    rows = [r for r in data.manifest(origin.root) if r.split == "val" and not r.is_lateral]
    frontal: dict[str, list[float]] = {}
    for row in rows:
        shown = tile(data.to_unit(data.pixels(origin.root, row)), card.side)
        frontal.setdefault(row.source, []).append(float(softmax(engine.run(shown[None])[0, :3])[0]))
    passed = min(float(np.quantile(values, 0.005)) for values in frontal.values())
    return {"frontal": round(float(np.clip(passed, 0.5, 0.9)), 3), "turned": 0.9, "inverted": 0.9}


def opacity_limits(origin: Origin, card: ModelCard) -> dict[str, Any]:
    """Weights of the scores from the folds, and limits that normal images of the worst source keep to."""
    limits = {"opaque_from": 0.5, "consolidated_from": 0.5, "least_percent": 1.5, "marked_from": 0.0}
    limits |= json.loads((origin.folder / "opacity" / FOLDS_FILE).read_text(encoding="utf-8"))["weights"]
    engine = load(card, threads=2)
    seen: dict[str, list[_Normal]] = {}
    for source, picture in opacity.unused_normals(origin.root):
        seen.setdefault(source, []).append(_normal(picture, engine, limits))
    large = [found for found in seen.values() if len(found) >= _LEAST_IMAGES]
    # Of NIH's "no finding", mined from reports, a part is opaque to a reader too: it would hide mild disease.
    scores = [normal.brixia for source, found in seen.items() if source != "NIH" for normal in found]
    return limits | {
        "marked_from": round(max(_marked_from(found) for found in large), 4),
        "clear_below_percent": round(max(_quantile([n.percent for n in found], _CLEAR) for found in large), 1),
        "none_below": round(_quantile(scores, limits_of.SPECIFICITY), 1),
    }


@dataclass(frozen=True, slots=True)
class _Normal:
    """What the detection says of a normal image: the peaks of its marks, the opaque percent, the Brixia score."""

    peaks: list[float]
    percent: float
    brixia: float


def _normal(picture: lungs.Picture, engine: Engine, limits: dict[str, Any]) -> _Normal:
    maps = opacity_maps(engine, picture)
    zones = squash_labels(picture.alignment.zones, maps.shape[-1])
    marks = detection.marked(maps, picture.alignment, picture.pixels.shape, limits)
    scores = severity.scored(severity.features(maps, zones), limits)["zones"]
    percent = detection.measured(maps, zones, limits)["percent"]["both"]
    return _Normal([mark.peak for mark in marks], percent, sum(scores.values()))


def _marked_from(found: list[_Normal]) -> float:
    """The limit that leaves ``_FALSE_MARKS`` marks a normal image."""
    peaks = sorted((peak for normal in found for peak in normal.peaks), reverse=True)
    allowed = int(_FALSE_MARKS * len(found))
    return peaks[allowed] if len(peaks) > allowed else 0.5


def _quantile(values: list[float], share: float) -> float:
    return float(np.quantile(values, share))


def opacity_maps(engine: Engine, picture: lungs.Picture) -> detection.Maps:
    """What the engine of the detection makes of a picture, probabilities, shape (3, S, S)."""
    return detection.answer(picture.tile(engine.card.side), engine)


def pneumonia_outputs(engine: Engine, samples: Iterable[pneumonia.Sample]) -> npt.NDArray[np.float32]:
    """Output of the classifier for samples, shape (N, C)."""
    side = engine.card.side
    tiles = (s.picture.tile(side) for s in samples)
    return np.stack([answer(shown, engine) for shown in tiles])


def pneumonia_thresholds(origin: Origin, card: ModelCard) -> dict[str, Any]:
    """Temperature, decision limits and conformal quantile of each head, and the greatest distance."""
    samples = pneumonia.load(origin.root, ("val",), origin.left_out)
    outputs = pneumonia_outputs(load(card, threads=2), samples)
    split = len(pneumonia.CHILD)
    found: dict[str, Any] = {"most_distance": _most_distance(outputs, samples, card)}
    for group, classes, part in (
        ("child", pneumonia.CHILD, slice(0, split)),
        ("adult", pneumonia.ADULT, slice(split, split + len(pneumonia.ADULT))),
    ):
        kept = [i for i, s in enumerate(samples) if s.group == group]
        allowed = np.array([_allowed(samples[i], group, classes) for i in kept])
        found |= {f"{group}_{k}": v for k, v in limits_of.head(outputs[kept, part], allowed).items()}
    return found


def _most_distance(outputs: npt.NDArray[np.float32], samples: Sequence[pneumonia.Sample], card: ModelCard) -> float:
    """The distance that ``_NEAR`` of the validation images of the farthest source stay below."""
    distances = np.array([np.square(embedding(row, card.outputs)).mean() for row in outputs])
    sources = np.array([s.row.source for s in samples])
    return round(max(float(np.quantile(distances[sources == name], _NEAR)) for name in np.unique(sources)), 3)


def _allowed(sample: pneumonia.Sample, head: str, classes: tuple[str, ...]) -> list[bool]:
    names = pneumonia.allowed_classes(sample.group, sample.row.label, head)
    return [name in names for name in classes]


def ct_lung(_origin: Origin, _card: ModelCard) -> dict[str, Any]:
    """Limits of plausible lungs, wider than those of any adult: each lung, and the larger by the smaller one."""
    return {"least_lung_ml": 250.0, "most_lung_ml": 6000.0, "most_ratio": 5.0}


def ct_covid19(origin: Origin, _card: ModelCard) -> dict[str, Any]:
    """Calibration and limits from sources that the network had not seen; the weights alone differ between the files."""
    return dict(ct_limits.limits(ct_sources.unseen(ct_sources.shared(origin.root))))
