"""Reads public images with the stages of the box, exactly as shipped, and keeps what they said."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge.config import Settings
from edge.engines import registry
from edge.engines.engine import Engine
from edge.pipeline.reading import load_engines
from edge.pipeline.runner import RADIOGRAPH_STAGES, Engines, run
from edge.stages.radiograph import classification, severity
from edge.stages.radiograph.case import Case, first_case
from edge.stages.radiograph.geometry import Pixels
from edge.stages.radiograph.registration import lung_image
from edge.types import Finding, Group, Radiograph, Severity, StageResult, StageStatus
from models.training import data

_BEFORE = RADIOGRAPH_STAGES[: RADIOGRAPH_STAGES.index(classification.STAGE)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What the box says of one image.

    Attributes
    ----------
    accepted : whether the gate let it pass.
    known, unknown : the claim with the age group given, and without it; None where not accepted.
    logits : output of the classifier, shape (C,); None also where no lungs were found: the box then refers.
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

    @property
    def is_claimed(self) -> bool:
        """Whether the classifier spoke: the gate let the image pass, and lungs were found."""
        return self.logits is not None


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


def exact(by: Mapping[str, Engine], folder: Path) -> dict[str, Engine]:
    """The same engines, in FP32 where ``folder`` holds ``<name>.onnx``, as ``calibration.ship`` leaves it.

    Limits stay those of the shipped model, so that a decision that flips flips by its precision alone.
    """
    return {name: _exact(engine, folder / f"{name}.onnx") for name, engine in by.items()}


def _exact(engine: Engine, path: Path) -> Engine:
    if not path.exists():
        return engine
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    card = replace(engine.card, path=path, sha256=sha256, precision="fp32")
    return registry.load(card, Settings().engine.threads)


def rows(root: Path) -> list[data.Row]:
    """Test and external images, without patients of cohen.zip whose images served any training.

    Sixteen images of unseen_hospitals.zip (``data.lesion_twins``) taught the opacity model and no other;
    they stay, since of unseen patients nothing that this model says is measured here.
    """
    used = data.lesion_patients(root) | data.gate_patients(root) | data.severity_patients(root)
    wanted = (r for r in data.manifest(root) if r.split in ("test", "external") and not r.is_lateral)
    return [r for r in wanted if r.patient not in used]


def read(root: Path, wanted: Iterable[data.Row], by: Mapping[str, Engine]) -> Iterator[Reading]:
    """Read images one by one."""
    for row in wanted:
        yield _reading(row, data.to_unit(data.pixels(root, row)), by)


def seen(pixels: Pixels, by: Mapping[str, Engine]) -> Case | None:
    """An image as the stages before classification leave it, or None where the gate refuses it.

    Raises
    ------
    RuntimeError
        Where a stage failed: figures of a reading that broke would be wrong.
    """
    looked = _looked_at(pixels, by)
    return None if looked is None else looked[0]


def _looked_at(pixels: Pixels, by: Mapping[str, Engine]) -> tuple[Case, Sequence[StageResult]] | None:
    case, results = run(first_case(Radiograph(pixels=pixels)), by, _BEFORE)
    failed = [result.stage for result in results if result.status is StageStatus.FAILED]
    if failed:
        raise RuntimeError(f"expected every stage to succeed, failed: {failed}")
    stops = (remark for result in results for remark in result.remarks if remark.severity is Severity.STOP)
    return None if any(stops) else (case, results)


def _reading(row: data.Row, pixels: Pixels, by: Mapping[str, Engine]) -> Reading:
    looked = _looked_at(pixels, by)
    if looked is None:
        return Reading(row=row, accepted=False)
    if looked[0].alignment is None:
        return Reading(row=row, accepted=True, known=classification.NO_CLAIM, unknown=classification.NO_CLAIM)
    case, results = looked
    engine = by["pneumonia"]
    logits = classification.answer(lung_image(case, engine.card.side), engine)
    return Reading(
        row=row,
        accepted=True,
        logits=logits,
        known=classification.interpret(logits, engine.card, group(row), is_opaque=case.is_opaque),
        unknown=classification.interpret(logits, engine.card, Group.UNKNOWN, is_opaque=case.is_opaque),
        findings=tuple(one for result in results for one in result.findings if isinstance(one, Finding)),
        severity=severity.read(case, by["opacity"]).values,
        size_px=(pixels.shape[0], pixels.shape[1]),
    )


def group(row: data.Row) -> Group:
    """The age group that the source states."""
    return Group.CHILD if row.is_child else Group.ADULT
