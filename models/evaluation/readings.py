"""Reads public images with the stages of the box, exactly as shipped, and keeps what they said."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge.config import Settings
from edge.engines.engine import Engine
from edge.pipeline.reading import load_engines
from edge.pipeline.runner import Engines
from edge.stages.radiograph import classification, quality, segmentation
from edge.stages.stage import Case, first_case
from edge.types import Group, Radiograph, Severity
from models.training import data


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What the box says of one image.

    Attributes
    ----------
    accepted : whether the gate let it pass.
    known, unknown : the claim with the age group given, and without it; None where not accepted.
    logits : of the classifier, shape (10,); None where not accepted.
    """

    row: data.Row
    accepted: bool
    lungs_found: bool
    logits: npt.NDArray[np.float32] | None
    known: classification.Claim | None
    unknown: classification.Claim | None


def engines(folder: Path | None = None, settings: Settings | None = None) -> dict[str, Engine]:
    """Every shipped engine, or those registered in another folder.

    Raises
    ------
    ModelError
        Where one of them must not be used.
    """
    loaded: Engines = load_engines(settings or Settings(), folder)
    for engine in loaded.values():
        if isinstance(engine, Exception):
            raise engine
    return {name: engine for name, engine in loaded.items() if not isinstance(engine, Exception)}


def rows(root: Path) -> list[data.Row]:
    """Test and external images, without the patients whose images served any training."""
    used = data.lesion_patients(root) | data.gate_patients(root)
    wanted = (r for r in data.manifest(root) if r.split in ("test", "external") and not r.is_lateral)
    return [r for r in wanted if r.patient not in used]


def read(root: Path, wanted: Iterable[data.Row], by: dict[str, Engine]) -> Iterator[Reading]:
    """Read images one by one."""
    for row in wanted:
        case = first_case(Radiograph(pixels=data.to_unit(data.pixels(root, row))))
        yield _reading(row, case, by)


def _reading(row: data.Row, case: Case, by: dict[str, Engine]) -> Reading:
    gate = quality.read(case, by["frontal_gate"])
    if any(remark.severity is Severity.STOP for remark in gate.remarks):
        return Reading(row=row, accepted=False, lungs_found=False, logits=None, known=None, unknown=None)
    segmented = segmentation.read(gate.case, by["lung_field"]).case
    engine = by["pneumonia"]
    logits = engine.run(classification.lung_image(segmented, engine.card)[None])[0]
    found = segmented.lungs is not None
    group = Group.CHILD if row.is_child else Group.ADULT
    return Reading(
        row=row,
        accepted=True,
        lungs_found=found,
        logits=logits,
        known=classification.interpret(logits, engine.card, group, lungs_found=found),
        unknown=classification.interpret(logits, engine.card, Group.UNKNOWN, lungs_found=found),
    )
