"""FP32 beside the shipped files: how a file passed the release gate, AUC by question, decisions that flip."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge.engines.engine import ModelCard
from edge.engines.registry import default_folder
from models.evaluation.figures import Figures, auc, share
from models.evaluation.questions import QUESTIONS, answer
from models.evaluation.readings import Reading


def reports(models: Path) -> Path:
    """Where the release gate reports on the models of a folder: on the box's own beside ``calibration.gate``."""
    return models.parent / "calibration" / "reports" if models == default_folder() else models / "reports"


def released(card: ModelCard, models: Path) -> dict[str, str]:
    """The precision of a shipped file and what the release gate (``calibration.gate``) found of this very file.

    Parameters
    ----------
    models : folder of the registry that names it.
    """
    path = reports(models) / f"{card.name}.json"
    report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"sha256": None}
    if report["sha256"] != card.sha256:
        return {"precision": card.precision, "gate": "no report of this file"}
    last = report["attempts"][-1]
    return {
        "precision": card.precision,
        "gate": f"passed: {last['attempt']}" if last["passed"] else "no INT8 file passed",
    }


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
