"""Reads public images with the stages of the box, exactly as shipped, and keeps what they said."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge.config import Settings
from edge.engines.engine import Engine
from edge.pipeline.reading import load_engines
from edge.pipeline.runner import Engines
from edge.stages.radiograph import classification, detection, quality, registration, segmentation, severity
from edge.stages.radiograph.registration import lung_image
from edge.stages.stage import Case, first_case
from edge.types import Finding, Group, Radiograph, Severity
from models.training import data


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What the box says of one image.

    Attributes
    ----------
    accepted : whether the gate let it pass.
    known, unknown : the claim with the age group given, and without it.
    logits : output of the classifier, shape (C,). All None where not accepted, or where no lungs were found.
    findings, severity : of detection and severity; nothing in the same cases.
    size_px : (height, width) of the image.
    """

    row: data.Row
    accepted: bool
    logits: npt.NDArray[np.float32] | None = None
    known: classification.Claim | None = None
    unknown: classification.Claim | None = None
    findings: tuple[Finding, ...] = ()
    severity: Mapping[str, Any] | None = None
    size_px: tuple[int, int] = (0, 0)


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
        return Reading(row=row, accepted=False)
    segmented = segmentation.read(gate.case, by["lung_field"]).case
    aligned = registration.read(segmented, by["lung_field"]).case
    if aligned.alignment is None:
        return Reading(row=row, accepted=True)
    engine = by["pneumonia"]
    logits = engine.run(lung_image(aligned, engine.card.side)[None])[0]
    group = Group.CHILD if row.is_child else Group.ADULT
    detected = detection.read(aligned, by["opacity"])
    return Reading(
        row=row,
        accepted=True,
        logits=logits,
        known=classification.interpret(logits, engine.card, group),
        unknown=classification.interpret(logits, engine.card, Group.UNKNOWN),
        findings=detected.findings,
        severity=severity.read(detected.case, by["opacity"]).values,
        size_px=(case.pixels.shape[0], case.pixels.shape[1]),
    )
