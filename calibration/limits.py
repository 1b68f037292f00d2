"""Temperature, decision limits and prediction sets of one head of a classifier, from logits and labels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edge.stages.numbers import softmax

SENSITIVITY = 0.95
"""Share of abnormal validation images that the decision threshold has to find."""
SPECIFICITY = 0.95
COVERAGE = 0.90
"""Share of validation images whose true class a prediction set has to contain."""


def head(logits: npt.NDArray[np.float32], allowed: npt.NDArray[np.bool_]) -> dict[str, float]:
    """``temperature``, ``normal_below``, ``abnormal_from`` and ``set_from`` of a head, normal first.

    Parameters
    ----------
    logits : shape (N, C).
    allowed : bool, same shape: the classes that the label of each image allows.
    """
    temperature = min(np.geomspace(0.5, 6, 60), key=lambda t: _entropy(logits, allowed, t))
    p = np.stack([softmax(row, temperature) for row in logits])
    normal = allowed[:, 0]
    abnormal = 1 - p[:, 0]
    finds = float(np.quantile(abnormal[~normal], 1 - SENSITIVITY))
    clears = float(np.quantile(abnormal[normal], SPECIFICITY))
    true = np.where(allowed, p, 0).max(1)
    return {
        "temperature": round(float(temperature), 3),
        "normal_below": round(min(finds, clears), 4),
        "abnormal_from": round(max(finds, clears), 4),
        "set_from": round(float(np.quantile(true, 1 - COVERAGE)), 4),
    }


def _entropy(logits: npt.NDArray[np.float32], allowed: npt.NDArray[np.bool_], temperature: float) -> float:
    p = np.stack([softmax(row, temperature) for row in logits])
    return float(-np.log(np.where(allowed, p, 0).sum(1) + 1e-9).mean())
