"""What the classifier tells apart, how sure it may be of it, and for whom; external hospitals first.

Claims are those of the shipped model through the box's own stages, with the age group
given as a DICOM header gives it. Images that the gate refused are counted apart, by the gate's
figures. Those whose lungs were not found carry no probability, but the box refers them:
they count wherever decisions are counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edge.stages.radiograph.classification import Claim
from edge.types import Decision
from models.evaluation import truth
from models.evaluation.figures import Figures, Flags, Numbers, auc_with_interval, roc, share
from models.evaluation.questions import QUESTIONS, Answered, abnormal, answer, is_covid, is_unseen
from models.evaluation.readings import Reading
from models.evaluation.reliability import (
    area_under_risk,
    calibration_with_interval,
    reliability,
    risk_coverage,
)

_LEAST_OF_A_CLASS = 5
"""Groups with fewer positives or negatives get no AUC: it would be a figure of single patients."""
_COVERAGES = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
_POINTS = 80
_UNSEEN, _EXTERNAL, _INSIDE = "Cohen and Hannover external", "all external", "test images of the training hospitals"


def evaluate(readings: Sequence[Reading], strata: Sequence[Mapping[str, str]]) -> Figures:
    """Every figure of the classifier.

    Parameters
    ----------
    strata : what is known of the patient and view of each reading (``truth.strata``).
    """
    accepted = [r for r in readings if r.accepted]
    read = [r for r in accepted if r.is_claimed]
    known = [stratum for r, stratum in zip(readings, strata, strict=True) if r.is_claimed]
    return {
        **_questions(read),
        **_limits(accepted),
        **_calibration(read),
        **_coverage(read),
        **_abstention(accepted),
        **_by_stratum(read, known),
        **_decisions(accepted),
        "accepted images without lungs, referred": share([not r.is_claimed for r in accepted]),
    }


def curves(readings: Sequence[Reading]) -> dict[str, Any]:
    """Points of the ROC curves of external questions, of reliability and of risk against coverage."""
    pools = _pools([r for r in readings if r.is_claimed])
    asked = {q.name: answer(q, [r for r in readings if r.is_claimed]) for q in QUESTIONS if q.is_external}
    return {
        "roc": {name: _thinned(*roc(a.scores, a.positive)) for name, a in asked.items() if _has_both(a.positive)},
        "reliability": {name: reliability(*_probabilities(pool)) for name, pool in pools.items()},
        "risk_coverage": {name: _thinned(*risk_coverage(*_confidences(pool))) for name, pool in pools.items()},
    }


def _questions(read: Sequence[Reading]) -> Figures:
    figures = {}
    for question in QUESTIONS:
        found, without = answer(question, read), answer(question, read, with_age=False)
        if _has_both(found.positive):
            figures[question.name] = {**_auc(found), "auc_age_unknown": _auc(without)["auc"]}
    return figures


def _auc(answered: Answered) -> dict[str, Any]:
    return auc_with_interval(answered.scores, answered.positive, answered.patients)


def _limits(read: Sequence[Reading]) -> Figures:
    """Sensitivity and specificity at the limit from which the box says "abnormal", by source and pooled."""
    figures: dict[str, Mapping[str, Any]] = {}
    for name, here in {_UNSEEN: [r for r in read if is_unseen(r.row)], **_by_source(read)}.items():
        ill, well = ([r for r in here if truth.is_abnormal(r.row) is flag] for flag in (True, False))
        if ill:
            figures[f"{name}, sensitivity (called abnormal)"] = _called(ill, Decision.ABNORMAL)
            figures[f"{name}, missed (abnormal called normal)"] = _called(ill, Decision.NORMAL)
        if well:
            figures[f"{name}, specificity (normal not called abnormal)"] = _called(well, *_NOT_ABNORMAL)
    covid = [r for r in read if is_unseen(r.row) and r.row.source == "Cohen" and is_covid(r.row)]
    if covid:
        figures["Cohen external, COVID-19, sensitivity (called abnormal)"] = _called(covid, Decision.ABNORMAL)
    return figures


_NOT_ABNORMAL = (Decision.NORMAL, Decision.REFER)


def _called(group: Sequence[Reading], *decisions: Decision) -> dict[str, Any]:
    return share([_claim(r).decision in decisions for r in group])


def _calibration(read: Sequence[Reading]) -> Figures:
    pools = {**_pools(read), **_by_source(read)}
    return {
        f"calibration error, {name}": calibration_with_interval(*_probabilities(pool), _patients(pool))
        for name, pool in pools.items()
    }


def _coverage(read: Sequence[Reading]) -> Figures:
    figures = {}
    for name, here in _by_source(read).items():
        covered = [bool(truth.classes(r.row) & set(_claim(r).possible)) for r in here]
        size = float(np.mean([len(_claim(r).possible) for r in here]))
        figures[f"true class in the prediction set, {name}"] = {**share(covered), "mean_size": round(size, 2)}
    return figures


def _abstention(read: Sequence[Reading]) -> Figures:
    return {f"risk and coverage, {name}": _risk(pool) for name, pool in _pools(read).items()}


def _risk(pool: Sequence[Reading]) -> dict[str, Any]:
    """Errors (normal against abnormal at one half) by coverage, and where the box itself stands."""
    scored = [r for r in pool if r.is_claimed]
    coverage, risk = risk_coverage(*_confidences(scored))
    decided = [r for r in pool if _claim(r).decision is not Decision.REFER]
    wrong = [(_claim(r).decision is Decision.ABNORMAL) != truth.is_abnormal(r.row) for r in decided]
    by_coverage = {f"risk_at_{c:.0%}": round(float(np.interp(c, coverage, risk)), 3) for c in _COVERAGES}
    return {
        "area": round(area_under_risk(*_confidences(scored)), 4),
        **by_coverage,
        "box_answers": round(len(decided) / len(pool), 3),
        "box_risk": round(float(np.mean(wrong)), 3) if decided else None,
        "n": len(pool),
    }


def _by_stratum(read: Sequence[Reading], strata: Sequence[Mapping[str, str]]) -> Figures:
    """AUC, or where one class is missing the sensitivity, of external images by age, sex and view."""
    figures: dict[str, Mapping[str, Any]] = {}
    groups: dict[str, list[Reading]] = {}
    for reading, stratum in zip(read, strata, strict=True):
        for value in stratum.values():
            if reading.row.split == "external":
                groups.setdefault(f"{_family(reading)} external, {value}", []).append(reading)
    for name, here in sorted(groups.items()):
        positive = np.array([truth.is_abnormal(r.row) for r in here])
        if _has_both(positive, _LEAST_OF_A_CLASS):
            scores = np.array([abnormal(_claim(r)) for r in here])
            figures[f"{name}, abnormal against normal"] = auc_with_interval(scores, positive, _patients(here))
        if positive.sum() >= _LEAST_OF_A_CLASS:
            ill = [r for r in here if truth.is_abnormal(r.row)]
            figures[f"{name}, sensitivity"] = _called(ill, Decision.ABNORMAL)
    return figures


def _family(reading: Reading) -> str:
    return "NIH" if reading.row.source == "NIH" else "Cohen and Hannover"


def _decisions(read: Sequence[Reading]) -> Figures:
    """How often images of each source are called what, with the age group and without it."""
    figures = {}
    for name, here in _by_source(read).items():
        for kind, flag in (("abnormal", True), ("normal", False)):
            group = [r for r in here if truth.is_abnormal(r.row) is flag]
            if group:
                figures[f"decisions, {name}, {kind}"] = _shares(group)
    return figures


def _shares(group: Sequence[Reading]) -> dict[str, float | int]:
    known = [_claim(r).decision for r in group]
    unknown = [r.unknown.decision for r in group if r.unknown is not None]
    found: dict[str, float | int] = {d.value: round(known.count(d) / len(known), 3) for d in Decision}
    found |= {f"{d.value}_age_unknown": round(unknown.count(d) / len(unknown), 3) for d in Decision}
    return found | {"n": len(group)}


def _pools(read: Sequence[Reading]) -> dict[str, list[Reading]]:
    pools = {
        _EXTERNAL: [r for r in read if r.row.split == "external"],
        _INSIDE: [r for r in read if r.row.split == "test"],
    }
    return {name: pool for name, pool in pools.items() if pool}


def _by_source(read: Sequence[Reading]) -> dict[str, list[Reading]]:
    """Readings by source, the external ones first."""
    groups: dict[tuple[str, str], list[Reading]] = {}
    for reading in read:
        groups.setdefault((reading.row.split, reading.row.source), []).append(reading)
    return {f"{source} ({split})": groups[split, source] for split, source in sorted(groups)}


def _probabilities(pool: Sequence[Reading]) -> tuple[Numbers, Flags]:
    return np.array([abnormal(_claim(r)) for r in pool]), np.array([truth.is_abnormal(r.row) for r in pool])


def _confidences(pool: Sequence[Reading]) -> tuple[Numbers, Flags]:
    probability, outcome = _probabilities(pool)
    return np.maximum(probability, 1 - probability), (probability >= 0.5) == outcome


def _thinned(x: Numbers, y: Numbers) -> list[list[float]]:
    """So many points of a curve, its ends among them."""
    kept = np.unique(np.linspace(0, len(x) - 1, _POINTS).round().astype(int))
    return [[round(float(v), 4) for v in values[kept]] for values in (x, y)]


def _has_both(positive: Flags, least: int = 1) -> bool:
    return bool(min(positive.sum(), (~positive).sum()) >= least)


def _patients(read: Sequence[Reading]) -> list[str]:
    return [r.row.patient for r in read]


def _claim(reading: Reading) -> Claim:
    assert reading.known is not None  # noqa: S101 (only accepted images come here)
    return reading.known
