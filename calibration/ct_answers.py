"""What the CT models are asked by the release gate, as ``answers`` asks the others."""

from __future__ import annotations

import numpy as np

from calibration.fit import Origin
from calibration.gate import Answers
from edge.engines.engine import Engine
from edge.stages.numbers import sigmoid
from edge.stages.tomography.covid19 import pooled, prediction_set
from edge.stages.tomography.segmentation import labels_of
from edge.stages.tomography.slices import LEAST_LUNG
from models.evaluation.lung_field import dice
from models.training import ct_lung as lung_recipe
from models.training import lung_pictures, slice_masks

_EVERY_PICTURE = 3


def ct_lung(origin: Origin, engine: Engine) -> Answers:
    """Overlap of the lungs with the masks of validation pictures and of every fourth slice of the series."""
    series = lung_recipe.series_stacks(origin.root, engine.card.side)
    stacks = {name: stack.thinned(4) for name, stack in series.items()}
    images, labels = slice_masks.load(origin.root, engine.card.side, ("val",))
    stacks["pictures"] = lung_recipe.Stack(images[::_EVERY_PICTURE], labels[::_EVERY_PICTURE])
    overlap: dict[str, list[float]] = {}
    decisions: list[bool] = []
    for name, stack in stacks.items():
        found = labels_of(stack.images.astype(np.float32), engine)
        # Of a series the whole volume counts: the first slice of a lung is a few voxels, and overlaps by chance.
        overlap[name] = (
            [dice(found > 0, stack.labels > 0)]
            if name != "pictures"
            else [dice(a > 0, b > 0) for a, b in zip(found, stack.labels, strict=True)]
        )
        decisions += [bool((one > 0).mean() >= LEAST_LUNG) for one in found]
    shown = stacks["pictures"].images.astype(np.float32)
    return Answers(
        dice=overlap,
        decisions=decisions,
        probabilities=np.stack([sigmoid(engine.run(one[None])[0]) for one in shown]).astype(np.float32),
    )


def ct_covid19(origin: Origin, engine: Engine) -> Answers:
    """Probability and prediction set of validation pictures."""
    pictures = [one for one in lung_pictures.load(origin.root, engine.card.side) if one.row.split == "val"]
    said = [pooled(engine.run(one.tile()[None])[:, 0], engine.card) for one in pictures]
    return Answers(
        scores={"covid19": (np.array(said), np.array([one.row.is_covid for one in pictures]))},
        decisions=[prediction_set(p, engine.card) for p in said],
    )
