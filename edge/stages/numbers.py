"""The few formulas that more than one stage needs."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float32]


def softmax(logits: Numbers, temperature: float = 1.0) -> npt.NDArray[np.float64]:
    """Probabilities of exclusive classes; shape (C,) in and out."""
    scaled = np.asarray(logits, np.float64) / temperature
    powers = np.exp(scaled - scaled.max())
    return np.asarray(powers / powers.sum())


def sigmoid(logits: Numbers | np.float32) -> npt.NDArray[np.float64]:
    """Probabilities of independent answers, of any shape."""
    return np.asarray(1 / (1 + np.exp(-np.asarray(logits, np.float64))))
