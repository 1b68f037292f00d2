"""Does the classifier look at the disease, or at where an image comes from?

Two probes. First the shipped classifier reads images whose lungs were filled in: the
outline of the lungs stays, all that could be diseased is gone, and whatever still tells
COVID-19 from normal is a shortcut (DeGrave 2021, Maguolo 2021). Then a logistic
regression is taught to name the hospital from the classifier's own features, once on all
images and once on normal adults, where no disease can give the hospital away.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edge.engines.engine import Engine, ModelCard
from edge.stages.radiograph import classification
from edge.stages.radiograph.case import Case
from edge.stages.radiograph.geometry import WORKING_SIDE, Labels, Pixels, lung_hulls, squash_labels
from edge.stages.radiograph.registration import lung_image
from edge.types import Group
from models.evaluation.figures import Figures, auc_with_interval
from models.evaluation.questions import covid19, is_covid
from models.evaluation.readings import Reading, seen
from models.evaluation.truth import is_abnormal
from models.training import data

_FOLDS = 5
_INPAINT_REACH_PX = 5
_NOISE_BLUR = 0.04
"""Deviation of the blur of the noise, as a share of the image's side: as coarse as lung structure."""
_LEAST_OF_A_HOSPITAL = 15


def evaluate(root: Path, by: Mapping[str, Engine], readings: Sequence[Reading]) -> Figures:
    """Both probes."""
    rows = [r.row for r in readings if r.is_claimed and r.row.source in ("CRD-COVID", "CRD-RSNA")]
    return {**filled_figures(root, rows, by), **hospital_figures(readings, by["pneumonia"].card)}


def filled_figures(root: Path, rows: Sequence[data.Row], by: Mapping[str, Engine]) -> Figures:
    """AUC of COVID-19 against normal across sources, with the lungs filled in three ways."""
    read = [(row, seen(data.to_unit(data.pixels(root, row)), by)) for row in rows]
    kept = [(row, case) for row, case in read if case is not None and case.alignment is not None]
    positive = np.array([is_covid(row) for row, _ in kept])
    if len(np.unique(positive)) < 2:
        return {}
    patients = [row.patient for row, _ in kept]
    scores = [filled_scores(case, by["pneumonia"]) for _, case in kept]
    figures = {name: auc_with_interval(np.array([s[name] for s in scores]), positive, patients) for name in FILLS}
    worst = max(figures.values(), key=lambda figure: _from_chance(figure["auc"]))
    named = {f"lungs filled with {n}, COVID-19 against normal across sources": f for n, f in figures.items()}
    return {**named, WORST_FILL: {"auc_or_its_opposite": round(0.5 + _from_chance(worst["auc"]), 3), "n": len(kept)}}


WORST_FILL = "lungs filled in, the farthest from chance"


def _from_chance(auc: float) -> float:
    """An AUC of 0.2 gives the source away as much as one of 0.8."""
    return abs(auc - 0.5)


def filled_scores(case: Case, engine: Engine) -> dict[str, float]:
    """Probability of COVID-19 by fill, in the lungs that were found before anything was filled."""
    hulls = hulls_of(case)
    filled = {name: replace(case, pixels=fill(case.pixels, hulls)) for name, fill in FILLS.items()}
    return {name: _covid19(shown, engine) for name, shown in filled.items()}


def _covid19(case: Case, engine: Engine) -> float:
    logits = classification.answer(lung_image(case, engine.card.side), engine)
    return covid19(classification.interpret(logits, engine.card, Group.ADULT))


def hulls_of(case: Case) -> Labels:
    """The hull of each lung as wide as the classifier sees it, on the pixels of the case.

    Raises
    ------
    ValueError
        For a case without lungs.
    """
    if case.lungs is None:
        raise ValueError("expected a case with lungs, got one without")
    lungs = squash_labels(case.lungs.labels, WORKING_SIDE)
    hulls = lung_hulls(lungs)
    # A pixel that the classifier only sees mixed with its neighbours is filled as well.
    wider = cv2.dilate(hulls, np.ones((3, 3), np.uint8)).astype(np.float32)
    return np.asarray(cv2.resize(wider, case.pixels.shape[::-1], interpolation=cv2.INTER_LINEAR) > 0, np.uint8)


def fill_surroundings(pixels: Pixels, hulls: Labels) -> Pixels:
    """The lungs painted over from their surroundings (Telea 2004)."""
    grey = np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8)
    return data.to_unit(np.asarray(cv2.inpaint(grey, hulls, _INPAINT_REACH_PX, cv2.INPAINT_TELEA), np.uint8))


def fill_grey(pixels: Pixels, hulls: Labels) -> Pixels:
    """The lungs as one flat grey, the mean of the rest of the image."""
    return np.where(hulls > 0, pixels[hulls == 0].mean(), pixels).astype(np.float32)


def fill_noise(pixels: Pixels, hulls: Labels) -> Pixels:
    """The lungs as blurred noise, always the same, with mean and deviation of the rest of the image."""
    noise = np.random.default_rng(0).normal(size=pixels.shape).astype(np.float32)
    noise = np.asarray(cv2.GaussianBlur(noise, (0, 0), _NOISE_BLUR * max(pixels.shape)), np.float32)
    rest = pixels[hulls == 0]
    scaled = rest.mean() + rest.std() * (noise - noise.mean()) / noise.std()
    return np.where(hulls > 0, np.clip(scaled, 0, 1), pixels).astype(np.float32)


FILLS: Mapping[str, Callable[[Pixels, Labels], Pixels]] = {
    "their surroundings": fill_surroundings,
    "flat grey": fill_grey,
    "blurred noise": fill_noise,
}


def hospital_figures(readings: Sequence[Reading], card: ModelCard) -> Figures:
    """How well a linear probe names the source, beside chance: one over the number of sources."""
    read = [r for r in readings if r.is_claimed]
    normal = [r for r in read if not r.row.is_child and not is_abnormal(r.row)]
    groups = {"all images": _of_large_sources(read), "normal adults": _of_large_sources(normal)}
    return {
        f"hospital named by a linear probe, {name}": _probe(here, card)
        for name, here in groups.items()
        if len({r.row.source for r in here}) > 1
    }


def features(reading: Reading, card: ModelCard) -> npt.NDArray[np.float32]:
    """The embedding of an image."""
    assert reading.logits is not None  # noqa: S101 (only accepted images come here)
    return classification.embedding(reading.logits, card.outputs)


def _of_large_sources(read: Sequence[Reading]) -> list[Reading]:
    sources = [r.row.source for r in read]
    return [r for r in read if sources.count(r.row.source) >= _LEAST_OF_A_HOSPITAL]


def _probe(read: Sequence[Reading], card: ModelCard) -> dict[str, Any]:
    """Balanced accuracy of five folds over patients."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.model_selection import GroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    known = np.stack([features(r, card) for r in read])
    hospital = np.array([r.row.source for r in read])
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000, class_weight="balanced"))
    patients = [r.row.patient for r in read]
    named = cross_val_predict(probe, known, hospital, groups=patients, cv=GroupKFold(_FOLDS))
    sources = len(set(hospital))
    return {
        "balanced_accuracy": round(float(balanced_accuracy_score(hospital, named)), 3),
        "chance": round(1 / sources, 3),
        "sources": sources,
        "n": len(read),
    }
