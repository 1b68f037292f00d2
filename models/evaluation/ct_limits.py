"""Calibration and limits of the CT classifier from what it says of sources that it has not seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edge.stages.numbers import sigmoid
from models.evaluation.figures import Flags, Numbers
from models.training.logistic import balanced, logistic

COVERAGE = 0.95
"""Share of the pictures of either class, in the worst source, whose set has to hold the truth.

More than for radiographs: the limits of two sources were seen to fail on the third."""


@dataclass(frozen=True, slots=True)
class Unseen:
    """Logits of the pictures of a source, and the truth, both of shape (N,)."""

    logits: Numbers
    is_covid: Flags


def limits(found: Mapping[str, Unseen]) -> dict[str, float]:
    """``slope``, ``intercept``, ``covid19_from`` and ``not_covid19_up_to``, from sources that were not seen.

    Platt's calibration of all logits, every source and class counting as much; then the limits that keep ``COVERAGE``
    of either class in the worst source (class-conditional conformal prediction, Vovk 2013, source by source).
    """
    logits, is_covid = (np.concatenate([getattr(one, name) for one in found.values()]) for name in Unseen.__slots__)
    sources = [name for name, one in found.items() for _ in one.logits]
    weights = balanced(sources, is_covid)
    slopes, intercept = logistic(logits[:, None], is_covid, weights, ridge=0.0)
    p = {name: sigmoid(one.logits * slopes[0] + intercept) for name, one in found.items()}
    low = min(float(np.quantile(p[name][one.is_covid], 1 - COVERAGE)) for name, one in found.items())
    high = max(float(np.quantile(p[name][~one.is_covid], COVERAGE)) for name, one in found.items())
    # Of classes that lie apart either limit would do; so far apart, no set may be empty.
    return {
        "slope": round(float(slopes[0]), 4),
        "intercept": round(intercept, 4),
        "covid19_from": round(min(low, high), 4),
        "not_covid19_up_to": round(max(low, high), 4),
    }
