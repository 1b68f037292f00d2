"""FP32 beside the shipped files on the same images: AUC by question, and decisions that flip."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.evaluation.figures import Figures, auc, share
from models.evaluation.questions import QUESTIONS, answer
from models.evaluation.readings import Reading


def evaluate(shipped: Sequence[Reading], exact: Sequence[Reading]) -> Figures:
    """Compare two readings of the same images, image by image.

    Raises
    ------
    ValueError
        Where they are not of the same images.
    """
    if [r.row for r in shipped] != [r.row for r in exact]:
        raise ValueError("expected two readings of the same images, got different ones")
    both = [pair for pair in zip(shipped, exact, strict=True) if all(r.is_claimed for r in pair)]
    figures = {}
    for question in QUESTIONS:
        ours, theirs = (answer(question, [pair[i] for pair in both]) for i in (0, 1))
        if len(np.unique(ours.positive)) == 2:
            values = (auc(ours.scores, ours.positive), auc(theirs.scores, theirs.positive))
            figures[question.name] = {"shipped": round(values[0], 4), "fp32": round(values[1], 4)}
    return {**figures, **{f"decisions flipped, {split}": share(_flips(both, split)) for split in _splits(both)}}


def _splits(both: Sequence[tuple[Reading, Reading]]) -> list[str]:
    return sorted({ours.row.split for ours, _ in both})


def _flips(both: Sequence[tuple[Reading, Reading]], split: str) -> list[bool]:
    pairs = [(a.known, b.known) for a, b in both if a.row.split == split]
    return [a.decision is not b.decision for a, b in pairs if a is not None and b is not None]
