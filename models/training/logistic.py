"""Logistic regression by Newton's method, with weights of examples: small enough to need no library at test time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.evaluation.figures import Flags, Numbers

_STEPS = 30


def logistic(x: Numbers, positive: Flags, weights: Numbers, ridge: float) -> tuple[Numbers, float]:
    """Coefficients, shape (C,), and intercept for examples of shape (N, C).

    Minimises the weighted cross-entropy plus ``ridge`` / 2 times the sum of squared coefficients.
    """
    design = np.concatenate([x, np.ones((len(x), 1))], 1)
    penalty = np.full(design.shape[1], ridge)
    penalty[-1] = 0
    found = np.zeros(design.shape[1])
    for _ in range(_STEPS):
        p = 1 / (1 + np.exp(-design @ found))
        gradient = design.T @ (weights * (p - positive)) + penalty * found
        curvature = (design * (weights * p * (1 - p))[:, None]).T @ design + np.diag(penalty)
        found = found - np.linalg.solve(curvature + 1e-9 * np.eye(len(found)), gradient)
    return found[:-1], float(found[-1])


def balanced(sources: Sequence[str], is_covid: Flags) -> Numbers:
    """Weights of pictures, 1 on average, that add up to the same for every source and label."""
    groups = [f"{source} {label}" for source, label in zip(sources, is_covid, strict=True)]
    _, member, count = np.unique(groups, return_inverse=True, return_counts=True)
    weights = 1 / count[member]
    return np.asarray(weights / weights.mean())
