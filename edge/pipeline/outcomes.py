"""What the stages of a reading come to, whatever was read: its state, and the reasons for it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from edge.stages.radiograph import classification as of_radiographs
from edge.stages.tomography import classification as of_tomographs
from edge.types import N_, Decision, Remark, Severity, StageResult, StageStatus, State

UNREADABLE_IMAGES = Remark(
    code="unreadable_images",
    text=N_("%(count)s images of this study could not be read."),
    severity=Severity.WARN,
)

VITAL = frozenset({"quality", "classification"})
"""Stages without which there is no result of a radiograph, whose network reads the image itself."""
VITAL_FOR_CT = VITAL | {"segmentation", "positioning", "detection"}
"""Those of a CT, whose decision is made of what was measured."""
_REFERRALS = of_radiographs.REFERRALS | of_tomographs.REFERRALS


def state_of(stages: tuple[StageResult, ...], vital: Collection[str] = VITAL) -> State:
    """How a reading ended, by its stages."""
    if any(remark.severity is Severity.STOP for stage in stages for remark in stage.remarks):
        return State.NO_RESULT
    return State.FAILED if _broken(stages, vital) else State.DONE


def reasons(
    stages: tuple[StageResult, ...], vital: Collection[str] = VITAL, of_study: tuple[Remark, ...] = ()
) -> tuple[Remark, ...]:
    """Why there is no result, or why the box refers; nothing where it makes a claim. Each code once.

    Parameters
    ----------
    of_study : remarks that no stage made.
    """
    remarks = [*of_study, *(remark for stage in stages for remark in stage.remarks)]
    stops = [remark for remark in remarks if remark.severity is Severity.STOP]
    broken = [remark for stage in _broken(stages, vital) for remark in stage.remarks]
    refers = any(stage.values.get("decision") == Decision.REFER.value for stage in stages)
    failures = [remark for stage in _failed(stages) for remark in stage.remarks]
    referrals = [remark for remark in remarks if remark.code in _REFERRALS]
    found = stops or broken or (failures + referrals if refers else [])
    return tuple({remark.code: remark for remark in found}.values())


def _failed(stages: tuple[StageResult, ...]) -> list[StageResult]:
    return [stage for stage in stages if stage.status is StageStatus.FAILED]


def _broken(stages: tuple[StageResult, ...], vital: Collection[str]) -> list[StageResult]:
    """The failed stages that leave no result: vital ones, and where nothing was decided whichever failed."""
    is_decided = any("decision" in stage.values for stage in stages)
    return [stage for stage in _failed(stages) if stage.stage in vital or not is_decided]


def unreadable_images(count: int) -> tuple[Remark, ...]:
    """What is said of a study of which so many images could not be read."""
    return (replace(UNREADABLE_IMAGES, values={"count": str(count)}),) if count else ()
