"""Runs the stages of a radiograph in their order, and lets no failure hide the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

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
from edge.stages.stage import Case, Outcome, Stage
from edge.types import Remark, Severity, StageResult, StageStatus

RADIOGRAPH_STAGES: tuple[Stage, ...] = (
    quality.STAGE,
    segmentation.STAGE,
    positioning.STAGE,
    registration.STAGE,
    detection.STAGE,
    classification.STAGE,
    severity.STAGE,
)

Engines = Mapping[str, Engine | ModelError]
"""Engines by model name; a model that must not be used stands there as its error."""


@dataclass(frozen=True, slots=True)
class _Step:
    case: Case
    result: StageResult


def run(
    case: Case,
    engines: Engines,
    stages: tuple[Stage, ...] = RADIOGRAPH_STAGES,
    begin: Callable[[str], None] = lambda step: None,
) -> tuple[Case, list[StageResult]]:
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
        step = _skipped(case, stage) if _is_stopped(results) else _timed(case, stage, engines[stage.model])
        case = step.case
        results.append(step.result)
    return case, results


def _is_stopped(results: list[StageResult]) -> bool:
    refused = any(remark.severity is Severity.STOP for result in results for remark in result.remarks)
    return refused or bool(results and results[0].status is StageStatus.FAILED)


def _skipped(case: Case, stage: Stage) -> _Step:
    return _Step(case, StageResult(stage=stage.name, status=StageStatus.SKIPPED, seconds=0.0))


def _timed(case: Case, stage: Stage, engine: Engine | ModelError) -> _Step:
    started = clock.monotonic()
    try:
        if isinstance(engine, ModelError):
            raise engine
        outcome = stage.read(case, engine)
        status = StageStatus.OK
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


def _warning(error: EdgeError) -> Remark:
    return replace(error.remark(), severity=Severity.WARN)


def _result(
    stage: Stage, status: StageStatus, seconds: float, outcome: Outcome, engine: Engine | ModelError
) -> StageResult:
    card = None if isinstance(engine, ModelError) else engine.card
    return StageResult(
        stage=stage.name,
        status=status,
        seconds=seconds,
        model=stage.model,
        model_version=card.version if card else None,
        model_sha256=card.sha256 if card else None,
        model_precision=card.precision if card else None,
        values=outcome.values,
        remarks=outcome.remarks,
        masks=outcome.masks,
        findings=outcome.findings,
    )
