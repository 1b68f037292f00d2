"""Statistics of an evaluation: AUC, bootstrap intervals over patients, quantiles, proportions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Figures = Mapping[str, Mapping[str, Any]]
Numbers = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

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


def auc(scores: Numbers, positive: Flags, weights: Numbers | None = None) -> float:
    """Area under the ROC curve: the chance that a positive scores above a negative (Mann and Whitney 1947).

    Parameters
    ----------
    weights : how often each case counts, shape (N,); once where absent.

    Returns
    -------
    NaN where one of the two classes has no weight.
    """
    weights = np.ones(len(scores)) if weights is None else weights
    _, rank = np.unique(scores, return_inverse=True)
    found = np.bincount(rank, weights * positive)
    missed = np.bincount(rank, weights * ~positive)
    pairs = found.sum() * missed.sum()
    below = missed.cumsum() - missed / 2  # a tie counts one half
    return float((found * below).sum() / pairs) if pairs else float("nan")


def patient_interval(figure: Callable[[Numbers], float], patients: Sequence[str], seed: int = 0) -> list[float]:
    """95 % percentile bootstrap interval of a figure; whole patients are drawn, with all their images.

    Images of one patient resemble each other. Drawing images one by one would count them as
    independent and make the interval too narrow (Field and Welsh 2007, cluster bootstrap).

    Parameters
    ----------
    figure : takes how often each image counts, shape (N,); NaN where it has no value for a draw.
    patients : of each image.
    """
    rng = np.random.default_rng(seed)
    names, member = np.unique(np.asarray(patients), return_inverse=True)
    n = len(names)
    draws = (np.bincount(rng.integers(0, n, n), minlength=n)[member] for _ in range(_BOOTSTRAPS))
    found = np.array([figure(draw.astype(np.float64)) for draw in draws])
    low, high = np.nanquantile(found, (0.025, 0.975))
    return [round(float(low), 3), round(float(high), 3)]


def auc_with_interval(scores: Numbers, positive: Flags, patients: Sequence[str]) -> dict[str, Any]:
    """AUC with its interval over patients (``patient_interval``)."""
    return {
        "auc": round(auc(scores, positive), 3),
        "interval_95": patient_interval(lambda weights: auc(scores, positive, weights), patients),
        "positive": int(positive.sum()),
        "negative": int((~positive).sum()),
        "patients": len(set(patients)),
    }


def roc(scores: Numbers, positive: Flags) -> tuple[Numbers, Numbers]:
    """The corners of the ROC curve: false and true positive rates, from the strictest limit to the laxest."""
    _, rank = np.unique(-scores, return_inverse=True)
    rates = (np.bincount(rank, flags).cumsum() / flags.sum() for flags in (~positive, positive))
    false, true = (np.concatenate([[0.0], rate]) for rate in rates)
    steps = np.stack([np.diff(false) > 0, np.diff(true) > 0])
    goes_on = (steps[:, 1:] == steps[:, :-1]).all(0) & (steps.sum(0) == 1)[1:]
    kept = np.concatenate([[True], ~goes_on, [True]])
    return false[kept], true[kept]


def share(flags: Sequence[bool]) -> dict[str, Any]:
    """A proportion with its 95 % Wilson score interval (Wilson 1927)."""
    n, k, z = len(flags), sum(flags), 1.96
    p = k / n
    centre, half = p + z * z / (2 * n), z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    low, high = ((centre + sign * half) / (1 + z * z / n) for sign in (-1, 1))
    return {"share": round(p, 4), "n": n, "interval_95": [round(float(low), 3), round(float(high), 3)]}
