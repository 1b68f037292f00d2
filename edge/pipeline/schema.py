"""The result of a study as JSON: ``chest-edge/result/1``.

Later versions of the box only add keys. A part that does not exist is null. Texts are in
English with their values filled in; ``message`` and ``values`` let a page translate them.
"""

from __future__ import annotations

from typing import Any

from edge.types import Remark, StageResult, StageStatus, State, StudyResult

SCHEMA = "chest-edge/result/1"
DISCLAIMER = "Research use, not a medical device."
_PARTS = ("segmentation", "positioning", "registration", "detection", "classification", "severity")


def to_json(result: StudyResult) -> dict[str, Any]:
    """The documented JSON object of a result."""
    stages = {stage.stage: stage for stage in result.stages if stage.status is StageStatus.OK}
    is_refused = result.state is State.NO_RESULT
    return {
        "schema": SCHEMA,
        "disclaimer": DISCLAIMER,
        "source": list(result.source),
        "study_instance_uid": result.study_instance_uid,
        "modality": result.modality,
        "state": result.state.value,
        "reasons": [remark.as_json() for remark in result.reasons],
        "quality": [remark.as_json() for remark in _all_remarks(result)],
        "series": None if result.series is None else dict(result.series),
        "gate": _values(stages.get("quality")),
        **{name: None if is_refused else _values(stages.get(name)) for name in _PARTS},
        "findings": [] if is_refused else _findings(stages.get("detection")),
        "stages": [_stage(stage) for stage in result.stages],
        "software_version": result.software_version,
        "completed_at": result.completed_at.isoformat(timespec="seconds"),
    }


def _all_remarks(result: StudyResult) -> tuple[Remark, ...]:
    return (*(remark for stage in result.stages for remark in stage.remarks), *result.remarks)


def _values(stage: StageResult | None) -> dict[str, Any] | None:
    return None if stage is None or not stage.values else dict(stage.values)


def _findings(detection: StageResult | None) -> list[dict[str, Any]]:
    return [] if detection is None else [finding.as_json() for finding in detection.findings]


def _stage(stage: StageResult) -> dict[str, Any]:
    return {
        "name": stage.stage,
        "status": stage.status.value,
        "seconds": round(stage.seconds, 4),
        "model": stage.model,
        "model_version": stage.model_version,
        "model_sha256": stage.model_sha256,
        "model_precision": stage.model_precision,
    }
