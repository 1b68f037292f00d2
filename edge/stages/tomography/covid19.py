"""Whether the lungs on a CT look like COVID-19, and when that cannot be told.

Up to nine slices are classified and their logits averaged. What comes out is a prediction set: it holds every answer
that cannot be ruled out with the limits of the model, found on sources that its network had not seen (conformal
prediction, Vovk 2005; the worst source decides). Mostly it holds both answers: the network does not tell COVID-19
from other diseases of the lung well enough, and its card says so.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edge.engines.engine import Engine, ModelCard
from edge.stages.numbers import sigmoid
from edge.stages.tomography.slices import LEAST_LUNG, lung_crop, to_unit

Labels = npt.NDArray[np.uint8]
_MOST_SLICES = 9
_BATCH = 3
_MIDDLE = (0.15, 0.85)
"""Which slices with lungs are the middle: near apex and diaphragm little lung is seen, and that partly."""


def probability(volume_hu: npt.NDArray[np.int16], labels: Labels, engine: Engine) -> float | None:
    """Calibrated probability of a COVID-19 pattern where half of the patients have one.

    Parameters
    ----------
    volume_hu : int16, shape (D, H, W), axial slices from head to feet.
    labels : uint8, same shape: 1 right lung, 2 left lung.

    Returns
    -------
    None where no slice shows enough lung.

    Raises
    ------
    ModelError
        Where the runtime fails.
    """
    chosen = slices_to_read(labels)
    if not chosen:
        return None
    side = engine.card.side
    crops = [lung_crop(to_unit(volume_hu[i]), labels[i], side) for i in chosen]
    batches = (np.stack(crops[i : i + _BATCH]) for i in range(0, len(crops), _BATCH))
    return pooled(np.concatenate([engine.run(batch)[:, 0] for batch in batches]), engine.card)


def slices_to_read(labels: Labels) -> list[int]:
    """Up to nine slices with enough lung, spread over the middle of the lungs."""
    areas = (labels > 0).mean((1, 2))
    shown = np.flatnonzero(areas >= LEAST_LUNG)
    if not shown.size:
        return []
    first, last = np.quantile(np.arange(len(shown)), _MIDDLE)
    middle = shown[int(first) : int(np.ceil(last)) + 1]
    spread = np.linspace(0, len(middle) - 1, min(_MOST_SLICES, len(middle)))
    return [int(middle[i]) for i in np.rint(spread).astype(int)]


def pooled(logits: npt.NDArray[np.float32], card: ModelCard) -> float:
    """The probability that the logits of slices of one patient, shape (N,), stand for (Platt 1999)."""
    limits = card.thresholds
    scaled = limits["slope"] * float(logits.mean()) + limits["intercept"]
    return float(sigmoid(np.float32(scaled)))


def prediction_set(probability: float, card: ModelCard) -> tuple[str, ...]:
    """Every answer that cannot be ruled out: "covid19", "not_covid19" or both, which means that it cannot be told."""
    limits = card.thresholds
    allowed = {
        "covid19": probability >= limits["covid19_from"],
        "not_covid19": probability <= limits["not_covid19_up_to"],
    }
    return tuple(name for name, possible in allowed.items() if possible)
