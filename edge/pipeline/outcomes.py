"""What the stages of a reading come to, whatever was read: its state, and the reasons for it."""

from __future__ import annotations

from dataclasses import replace

from edge.stages.radiograph import classification as of_radiographs
from edge.stages.tomography import classification as of_tomographs
from edge.types import N_, Decision, Remark, Severity, StageResult, StageStatus, State

UNREADABLE_IMAGES = Remark(
    code="unreadable_images",
    text=N_("%(count)s images of this study could not be read."),
    severity=Severity.WARN,
)

_VITAL = ("quality", "classification")
"""Stages without which there is no result."""
_REFERRALS = of_radiographs.REFERRALS | of_tomographs.REFERRALS


def state_of(stages: tuple[StageResult, ...]) -> State:
    """How a reading ended, by its stages."""
    if any(remark.severity is Severity.STOP for stage in stages for remark in stage.remarks):
        return State.NO_RESULT
    vital = [stage.status for stage in stages if stage.stage in _VITAL]
    return State.FAILED if StageStatus.FAILED in vital else State.DONE


def reasons(stages: tuple[StageResult, ...], of_study: tuple[Remark, ...] = ()) -> tuple[Remark, ...]:
    """Why there is no result, or why the box refers; nothing where it makes a claim. Each code once.

    Parameters
    ----------
    of_study : remarks that no stage made.
    """
    remarks = [*of_study, *(remark for stage in stages for remark in stage.remarks)]
    failed = [stage for stage in stages if stage.status is StageStatus.FAILED]
    stops = [remark for remark in remarks if remark.severity is Severity.STOP]
    vital = [remark for stage in failed for remark in stage.remarks if stage.stage in _VITAL]
    refers = any(stage.values.get("decision") == Decision.REFER.value for stage in stages)
    failures = [remark for stage in failed for remark in stage.remarks]
    referrals = [remark for remark in remarks if remark.code in _REFERRALS]
    found = stops or vital or (failures + referrals if refers else [])
    return tuple({remark.code: remark for remark in found}.values())


def unreadable_images(count: int) -> tuple[Remark, ...]:
    """What is said of a study of which so many images could not be read."""
    return (replace(UNREADABLE_IMAGES, values={"count": str(count)}),) if count else ()
