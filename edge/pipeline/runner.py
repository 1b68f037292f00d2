"""Runs the stages of an image in their order, and lets no failure hide the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Generic

import cv2

from edge import clock, log
from edge.engines.engine import Engine
from edge.errors import EdgeError, ModelError, ReadingError
from edge.stages.radiograph import (
    classification,
    detection,
    positioning,
    quality,
    registration,
    segmentation,
    severity,
)
from edge.stages.radiograph.case import Case
from edge.stages.stage import C, Outcome, Stage
from edge.stages.tomography import classification as ct_classification
from edge.stages.tomography import detection as ct_detection
from edge.stages.tomography import positioning as ct_positioning
from edge.stages.tomography import quality as ct_quality
from edge.stages.tomography import registration as ct_registration
from edge.stages.tomography import segmentation as ct_segmentation
from edge.stages.tomography import severity as ct_severity
from edge.stages.tomography.scan import Scan
from edge.types import Remark, Severity, StageResult, StageStatus

RADIOGRAPH_STAGES: tuple[Stage[Case], ...] = (
    quality.STAGE,
    segmentation.STAGE,
    positioning.STAGE,
    registration.STAGE,
    detection.STAGE,
    classification.STAGE,
    severity.STAGE,
)

TOMOGRAPH_STAGES: tuple[Stage[Scan], ...] = (
    ct_quality.STAGE,
    ct_segmentation.STAGE,
    ct_positioning.STAGE,
    ct_registration.STAGE,
    ct_detection.STAGE,
    ct_classification.STAGE,
    ct_severity.STAGE,
)

Engines = Mapping[str, Engine | ModelError]
"""Engines by model name; a model that must not be used stands there as its error."""


def models_of(stages: tuple[Stage[C], ...]) -> set[str]:
    """The networks that these stages may run."""
    return {stage.model for stage in stages if stage.model}


@dataclass(frozen=True, slots=True)
class _Step(Generic[C]):
    case: C
    result: StageResult


def run(
    case: C,
    engines: Engines,
    stages: tuple[Stage[C], ...],
    begin: Callable[[str], None] = lambda step: None,
) -> tuple[C, list[StageResult]]:
    """Run stages one after the other.

    After a remark that stops the reading, or where the first stage (the gate) failed, the
    others are skipped: nothing may be claimed of an image that was not accepted.

    Parameters
    ----------
    begin : told the name of each stage before it runs.

    Returns
    -------
    The case as the last stage left it, and one result a stage.

    Raises
    ------
    MemoryError
        Where a stage found none: the process is in no state for the others.
    """
    results: list[StageResult] = []
    for stage in stages:
        begin(stage.name)
        step = _skipped(case, stage) if _is_stopped(results) else _timed(case, stage, _engine(stage, engines))
        case = step.case
        results.append(step.result)
    return case, results


def _engine(stage: Stage[C], engines: Engines) -> Engine | ModelError | None:
    """The network of a stage; None where it reads without one."""
    engine = engines[stage.model] if stage.model else None
    return None if isinstance(engine, ModelError) and stage.unaided else engine


def _is_stopped(results: list[StageResult]) -> bool:
    refused = any(remark.severity is Severity.STOP for result in results for remark in result.remarks)
    return refused or bool(results and results[0].status is StageStatus.FAILED)


def _skipped(case: C, stage: Stage[C]) -> _Step[C]:
    return _Step(case, StageResult(stage=stage.name, status=StageStatus.SKIPPED, seconds=0.0))


def _timed(case: C, stage: Stage[C], engine: Engine | ModelError | None) -> _Step[C]:
    started = clock.monotonic()
    try:
        outcome = _read(case, stage, engine)
        status = StageStatus.SKIPPED if outcome.is_skipped else StageStatus.OK
    except MemoryError:
        raise
    except EdgeError as error:
        outcome, status = Outcome(case=case, remarks=(_warning(error),)), StageStatus.FAILED
    except Exception as error:  # whatever a stage meets, the others still run
        if isinstance(error, cv2.error) and error.code == cv2.Error.StsNoMem:
            raise MemoryError from error
        log.event("stage_failed", stage=stage.name, error_type=type(error).__name__, where=log.where(error))
        outcome, status = Outcome(case=case, remarks=(_warning(ReadingError("stage_failed")),)), StageStatus.FAILED
    return _Step(outcome.case, _result(stage, status, clock.monotonic() - started, outcome, engine))


def _read(case: C, stage: Stage[C], engine: Engine | ModelError | None) -> Outcome[C]:
    if isinstance(engine, ModelError):
        raise engine
    if engine is not None and stage.read is not None:
        return stage.read(case, engine)
    assert stage.unaided is not None  # noqa: S101 (a stage has one or the other)
    return stage.unaided(case)


def _warning(error: EdgeError) -> Remark:
    return replace(error.remark(), severity=Severity.WARN)


def _result(
    stage: Stage[C], status: StageStatus, seconds: float, outcome: Outcome[C], engine: Engine | ModelError | None
) -> StageResult:
    card = None if isinstance(engine, ModelError) or engine is None else engine.card
    return StageResult(
        stage=stage.name,
        status=status,
        seconds=seconds,
        model=stage.model if engine is not None else None,
        model_version=card.version if card else None,
        model_sha256=card.sha256 if card else None,
        model_precision=card.precision if card else None,
        values=outcome.values,
        remarks=outcome.remarks,
        masks=outcome.masks,
        findings=outcome.findings,
    )
