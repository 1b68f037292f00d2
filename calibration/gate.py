"""The release gate: an INT8 file ships only where it says what the FP32 network says.

Both files are run as the box runs them (``edge.engines.registry.load``, which rewrites
INT8 files for the processor and falls back to plain kernels), on the same validation
images, with the same limits. A file that fails is quantized again, more gently, by
``ATTEMPTS`` in order; a model whose every attempt fails ships as FP32.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from models.evaluation.figures import Flags, Numbers, auc

MOST_AUC_FALL = 0.005
"""Of any class."""
MOST_FLIPPED = 0.01
"""Share of decisions."""
MOST_DICE_FALL = 0.005
"""Of any mean."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One way to quantize.

    Attributes
    ----------
    corrected : biases make up for the shifts of rounding (``calibration.correction``).
    ends_exact : the first convolution and the last layer stay in FP32.
    harmful_exact : so many of the layers whose quantization costs most stay in FP32.
    """

    name: str
    corrected: bool = False
    ends_exact: bool = False
    harmful_exact: int = 0


ATTEMPTS = (
    Attempt("every layer in INT8"),
    Attempt("every layer in INT8, biases corrected", corrected=True),
    Attempt("first and last layer in FP32, biases corrected", corrected=True, ends_exact=True),
    Attempt("the same and the 8 most harmful layers", corrected=True, ends_exact=True, harmful_exact=8),
    Attempt("the same and the 20 most harmful layers", corrected=True, ends_exact=True, harmful_exact=20),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What an engine says of validation images.

    Attributes
    ----------
    scores : by class, a score and whether it is that class, of each image whose label tells.
    decisions : one of each image, compared for equality.
    dice : by kind of outline, the overlap with the truth of each image.
    probabilities : float32, any shape: what a segmentation says of each pixel.
    """

    scores: Mapping[str, tuple[Numbers, Flags]] = field(default_factory=dict)
    decisions: Sequence[Hashable] = ()
    dice: Mapping[str, Sequence[float]] = field(default_factory=dict)
    probabilities: npt.NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a file may ship, and all that was compared."""

    passed: bool
    measures: Mapping[str, Any]


def compare(exact: Answers, int8: Answers, most_dice_fall: float = MOST_DICE_FALL) -> Verdict:
    """Hold the answers of an INT8 file against those of the FP32 network."""
    falls = {name: _fall(auc(*exact.scores[name]), auc(*int8.scores[name])) for name in exact.scores}
    dice = {name: _fall(np.mean(exact.dice[name]), np.mean(int8.dice[name])) for name in exact.dice}
    flipped = _share_flipped(exact.decisions, int8.decisions)
    passed = (
        all(found["fall"] <= MOST_AUC_FALL for found in falls.values())
        and all(found["fall"] <= most_dice_fall for found in dice.values())
        and flipped <= MOST_FLIPPED
    )
    measures = {"auc": falls, "dice": dice, "decisions": len(exact.decisions), "flipped": round(flipped, 4)}
    return Verdict(passed, measures | _difference(exact, int8))


def _fall(exact: float | np.floating[Any], int8: float | np.floating[Any]) -> dict[str, float]:
    return {"fp32": round(float(exact), 4), "int8": round(float(int8), 4), "fall": round(float(exact - int8), 5)}


def _share_flipped(exact: Sequence[Hashable], int8: Sequence[Hashable]) -> float:
    return float(np.mean([a != b for a, b in zip(exact, int8, strict=True)])) if exact else 0.0


def _difference(exact: Answers, int8: Answers) -> dict[str, float]:
    if exact.probabilities is None or int8.probabilities is None:
        return {}
    return {"mean_absolute_difference": round(float(np.abs(exact.probabilities - int8.probabilities).mean()), 5)}
