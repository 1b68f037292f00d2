"""Statistics of an evaluation: AUC, bootstrap intervals, quantiles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Figures = Mapping[str, Mapping[str, Any]]
Numbers = npt.NDArray[np.float64]

_BOOTSTRAPS = 1000


def summary(values: Sequence[float]) -> dict[str, Any]:
    """Count, mean, median and 5th percentile."""
    array = np.asarray(values)
    return {
        "n": len(array),
        "mean": round(float(array.mean()), 4),
        "median": round(float(np.median(array)), 4),
        "p5": round(float(np.quantile(array, 0.05)), 4),
    }


def auc(scores: Numbers, positive: npt.NDArray[np.bool_]) -> float:
    """Area under the ROC curve: the chance that a positive scores above a negative (Mann and Whitney 1947)."""
    order = scores.argsort(kind="stable")
    _, inverse, counts = np.unique(scores[order], return_inverse=True, return_counts=True)
    last = counts.cumsum()
    ranks = np.empty(len(scores))
    ranks[order] = (last - (counts - 1) / 2)[inverse]
    found, missed = positive.sum(), (~positive).sum()
    return float((ranks[positive].sum() - found * (found + 1) / 2) / (found * missed))


def auc_with_interval(scores: Numbers, positive: npt.NDArray[np.bool_], seed: int = 0) -> dict[str, Any]:
    """AUC with the 95 % percentile bootstrap interval, resampling positives and negatives apart."""
    rng = np.random.default_rng(seed)
    yes, no = scores[positive], scores[~positive]
    truth = np.repeat([True, False], [len(yes), len(no)])
    samples = ((rng.choice(yes, len(yes)), rng.choice(no, len(no))) for _ in range(_BOOTSTRAPS))
    drawn = [auc(np.concatenate(sample), truth) for sample in samples]
    low, high = np.quantile(drawn, (0.025, 0.975))
    return {
        "auc": round(auc(scores, positive), 3),
        "interval_95": [round(float(low), 3), round(float(high), 3)],
        "positive": len(yes),
        "negative": len(no),
    }


def share(flags: Sequence[bool]) -> dict[str, Any]:
    """A proportion with its 95 % Wilson score interval (Wilson 1927)."""
    n, k, z = len(flags), sum(flags), 1.96
    p = k / n
    centre, half = p + z * z / (2 * n), z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    low, high = ((centre + sign * half) / (1 + z * z / n) for sign in (-1, 1))
    return {"share": round(p, 4), "n": n, "interval_95": [round(float(low), 3), round(float(high), 3)]}
