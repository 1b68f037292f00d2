"""Whether probabilities mean what they say, and what abstaining buys.

Calibration error: 15 bins of equal width (Guo 2017) of the probability of "abnormal", not
of the confidence in the leading answer. The latter puts 0.1 and 0.9 into one bin, where
an error on one side can hide one on the other; for two answers the figure here is never
the smaller of the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from models.evaluation.figures import Flags, Numbers, patient_interval

BINS = 15


def reliability(probability: Numbers, outcome: Flags) -> list[dict[str, Any]]:
    """Mean probability and observed share of each bin that holds an image."""
    where = _bins(probability)
    return [
        {
            "from": round(b / BINS, 4),
            "n": int((where == b).sum()),
            "predicted": round(float(probability[where == b].mean()), 4),
            "observed": round(float(outcome[where == b].mean()), 4),
        }
        for b in np.unique(where)
    ]


def calibration_error(probability: Numbers, outcome: Flags, weights: Numbers | None = None) -> float:
    """Expected calibration error: the mean over images of |observed - predicted| of their bin (Guo 2017)."""
    weights = np.ones(len(probability)) if weights is None else weights
    gaps = np.bincount(_bins(probability), weights * (outcome - probability), BINS)
    return float(np.abs(gaps).sum() / weights.sum())


def calibration_with_interval(probability: Numbers, outcome: Flags, patients: Sequence[str]) -> dict[str, Any]:
    """Expected calibration error with its interval over patients."""
    return {
        "ece": round(calibration_error(probability, outcome), 3),
        "interval_95": patient_interval(lambda weights: calibration_error(probability, outcome, weights), patients),
        "bins": BINS,
        "n": len(probability),
    }


def risk_coverage(confidence: Numbers, correct: Flags) -> tuple[Numbers, Numbers]:
    """Share of errors among the images answered, the most confident ones first (Geifman and El-Yaniv 2017).

    Images of equal confidence share their errors evenly, so that their order does not matter.

    Returns
    -------
    coverage, risk : both of shape (N,); coverage is 1 / N, 2 / N, ... 1.
    """
    _, rank, counts = np.unique(-confidence, return_inverse=True, return_counts=True)
    errors = (np.bincount(rank, ~correct) / counts)[np.sort(rank)]
    answered = np.arange(1, len(confidence) + 1)
    return answered / len(confidence), errors.cumsum() / answered


def area_under_risk(confidence: Numbers, correct: Flags) -> float:
    """Mean risk over all coverages; the smaller, the better the confidence tells where errors are."""
    return float(risk_coverage(confidence, correct)[1].mean())


def _bins(probability: Numbers) -> npt.NDArray[np.int64]:
    return np.minimum((probability * BINS).astype(np.int64), BINS - 1)
