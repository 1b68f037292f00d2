"""The reading of one study: which image is read, by which stages, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edge import __version__, clock
from edge.config import Settings
from edge.dicom.image import ParsedImage
from edge.engines import registry
from edge.errors import ModelError, UnreadableError
from edge.pipeline.runner import RADIOGRAPH_STAGES, Engines, models_of, run
from edge.stages.radiograph import classification, quality, segmentation, severity
from edge.stages.radiograph.case import Case, first_case
from edge.stages.radiograph.classification import REFERRALS
from edge.stages.stage import Stage
from edge.types import N_, Decision, Remark, Severity, StageResult, StageStatus, State, StudyResult

__all__ = ["Engines", "Known", "SourceImage", "load_engines", "read_study"]

NO_DICOM_HEADER = Remark(
    code="no_dicom_header",
    text=N_("A picture without a DICOM header: age, view and scale are unknown."),
    severity=Severity.WARN,
)
NO_PIXEL_SPACING = Remark(
    code="no_pixel_spacing",
    text=N_("The header gives no usable pixel spacing; no lengths in millimetres are given."),
)
FURTHER_IMAGES = Remark(
    code="further_images",
    text=N_("The study holds %(count)s images; the newest frontal one was read."),
)
AGE_STATED = Remark(
    code="age_stated",
    text=N_("The header gives no age; %(years)s years was entered on the page."),
)
UNREADABLE_IMAGES = Remark(
    code="unreadable_images",
    text=N_("%(count)s images of this study could not be read."),
    severity=Severity.WARN,
)
CT_NOT_READ = Remark(
    code="ct_not_read",
    text=N_("CT is kept, but the box does not read CT yet."),
    severity=Severity.STOP,
)

_COMPARED = (segmentation.STAGE, severity.STAGE)
"""Stages whose model may not have changed since a prior: its error would be taken for a change."""
_VITAL = (quality.STAGE.name, classification.STAGE.name)
"""Stages without which there is no result."""
_CT = "CT"
_MOST_CANDIDATES = 8
"""Images of a study that are held at once and shown to the gate; a radiograph study has one to four."""
_VIEW_SIDE_PX = 1600


@dataclass(frozen=True, slots=True)
class SourceImage:
    """One image of a study, or the reason why it could not be read."""

    source: str
    outcome: ParsedImage | UnreadableError


@dataclass(frozen=True, slots=True)
class _Found:
    """What a study holds: ``newest`` are its newest readable images by source, newest first, and CT last."""

    sources: tuple[str, ...]
    newest: list[tuple[str, ParsedImage]]
    readable: int
    errors: tuple[UnreadableError, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the box knows of the patient beside the images.

    Attributes
    ----------
    stated_age_years : the age that a person stated; that of a header goes before it.
    prior : what ``Case.prior`` describes, for the severity of the change.
    """

    stated_age_years: float | None = None
    prior: Mapping[str, Any] | None = None

    def comparable(self, engines: Engines) -> Known:
        """The same, with the prior only where it was read by the very models that read now."""
        models = (self.prior or {}).get("models", {})
        return (
            self
            if all(_sha256(engines, stage) == models.get(stage.name) for stage in _COMPARED)
            else replace(self, prior=None)
        )

    def case(self, image: ParsedImage) -> Case:
        radiograph = image.radiograph
        if radiograph.patient_age_years is None:
            radiograph = replace(radiograph, patient_age_years=self.stated_age_years)
        return replace(first_case(radiograph), prior=self.prior)


@dataclass(frozen=True, slots=True)
class _Reading:
    source: str
    image: ParsedImage
    case: Case
    stages: tuple[StageResult, ...]


def load_engines(settings: Settings, folder: Path | None = None) -> Engines:
    """Load every model that the stages need; one that must not be used stands there as its error.

    Parameters
    ----------
    folder : where ``registry.toml`` lies; None for the models that came with the box.
    """
    return {name: _engine(name, settings, folder) for name in models_of(RADIOGRAPH_STAGES)}


def _engine(name: str, settings: Settings, folder: Path | None) -> registry.Engine | ModelError:
    try:
        return registry.load(registry.card(name, folder), settings.engine.threads)
    except ModelError as error:
        return error


def _sha256(engines: Engines, stage: Stage[Case]) -> str | None:
    engine = engines[stage.model] if stage.model else None
    return None if engine is None or isinstance(engine, ModelError) else engine.card.sha256


def read_study(
    images: Iterable[SourceImage],
    engines: Engines,
    study_key: str,
    known: Known = Known(),  # noqa: B008 (frozen)
    begin: Callable[[str], None] = lambda step: None,
) -> StudyResult:
    """Read the newest frontal radiograph of a study.

    Parameters
    ----------
    images : every image of the study, in any order; at least one. They are taken one by one, so
        that a series of a thousand slices needs the memory of a few.
    study_key : the box's own key of the study.
    begin : told the name of each step before it is taken.

    Raises
    ------
    MemoryError
        Where a step found none.
    """
    found = _sorted_out(images)
    if not found.newest:
        return _unreadable(found.sources, found.errors[0], study_key)
    if found.newest[0][1].modality == _CT:
        return _kept(found, study_key)
    reading = _first_accepted(found.newest, engines, known.comparable(engines), begin)
    stages = reading.stages
    return StudyResult(
        study_key=study_key,
        source=(reading.source, *(source for source in found.sources if source != reading.source)),
        study_instance_uid=reading.image.study_instance_uid,
        modality=reading.image.modality,
        state=_state(stages),
        reasons=_reasons(stages),
        stages=stages,
        software_version=__version__,
        completed_at=clock.utc(),
        remarks=_study_remarks(reading, found.readable, len(found.errors)),
        view_pixels=_view(reading.case.pixels),
    )


def _sorted_out(images: Iterable[SourceImage]) -> _Found:
    sources: list[str] = []
    newest: list[tuple[str, ParsedImage]] = []
    errors: list[UnreadableError] = []
    for image in images:
        sources.append(image.source)
        if isinstance(image.outcome, UnreadableError):
            errors.append(image.outcome)
        else:
            newest.append((image.source, image.outcome))
            newest = sorted(newest, key=lambda pair: _age_order(pair[1]), reverse=True)[:_MOST_CANDIDATES]
    return _Found(tuple(sources), newest, readable=len(sources) - len(errors), errors=tuple(errors))


def _age_order(image: ParsedImage) -> tuple[bool, datetime, int]:
    return image.modality != _CT, image.acquired_at or datetime.min, image.instance_number or 0  # noqa: DTZ901 (DICOM times have no zone)


def _first_accepted(
    images: list[tuple[str, ParsedImage]], engines: Engines, known: Known, begin: Callable[[str], None]
) -> _Reading:
    """The reading of the first image that the gate lets pass, else that of the newest one."""
    refused: _Reading | None = None
    for source, image in images:
        case, stages = run(known.case(image), engines, RADIOGRAPH_STAGES, begin)
        reading = _Reading(source, image, case, tuple(stages))
        if not any(remark.severity is Severity.STOP for remark in stages[0].remarks):
            return reading
        refused = refused or reading
    assert refused is not None  # noqa: S101 (there is at least one image)
    return refused


def _study_remarks(reading: _Reading, readable: int, unreadable: int) -> tuple[Remark, ...]:
    remarks = []
    if reading.image.is_picture:
        remarks.append(NO_DICOM_HEADER)
    elif reading.image.radiograph.pixel_spacing_mm is None:
        remarks.append(NO_PIXEL_SPACING)
    stated_age_years = reading.case.radiograph.patient_age_years
    if reading.image.radiograph.patient_age_years is None and stated_age_years is not None:
        remarks.append(replace(AGE_STATED, values={"years": f"{stated_age_years:g}"}))
    if readable > 1 and _state(reading.stages) is not State.NO_RESULT:
        remarks.append(replace(FURTHER_IMAGES, values={"count": str(readable)}))
    if unreadable:
        remarks.append(replace(UNREADABLE_IMAGES, values={"count": str(unreadable)}))
    return tuple(remarks)


def _state(stages: tuple[StageResult, ...]) -> State:
    if any(remark.severity is Severity.STOP for stage in stages for remark in stage.remarks):
        return State.NO_RESULT
    vital = [stage.status for stage in stages if stage.stage in _VITAL]
    return State.FAILED if StageStatus.FAILED in vital else State.DONE


def _reasons(stages: tuple[StageResult, ...]) -> tuple[Remark, ...]:
    """Why there is no result, or why the box refers; nothing where it makes a claim. Each code once."""
    remarks = [remark for stage in stages for remark in stage.remarks]
    failed = [stage for stage in stages if stage.status is StageStatus.FAILED]
    stops = [remark for remark in remarks if remark.severity is Severity.STOP]
    vital = [remark for stage in failed for remark in stage.remarks if stage.stage in _VITAL]
    refers = any(stage.values.get("decision") == Decision.REFER.value for stage in stages)
    failures = [remark for stage in failed for remark in stage.remarks]
    referrals = [remark for remark in remarks if remark.code in REFERRALS]
    found = stops or vital or (failures + referrals if refers else [])
    return tuple({remark.code: remark for remark in found}.values())


def _kept(found: _Found, study_key: str) -> StudyResult:
    """A study of CT slices alone. No gate is asked: one would take a scout view for a radiograph."""
    source, image = found.newest[0]
    unread = (replace(UNREADABLE_IMAGES, values={"count": str(len(found.errors))}),) if found.errors else ()
    return StudyResult(
        study_key=study_key,
        source=(source, *(other for other in found.sources if other != source)),
        study_instance_uid=image.study_instance_uid,
        modality=image.modality,
        state=State.NO_RESULT,
        reasons=(CT_NOT_READ,),
        stages=(),
        software_version=__version__,
        completed_at=clock.utc(),
        remarks=(CT_NOT_READ, *unread),
        view_pixels=_view(image.radiograph.pixels),
    )


def _unreadable(sources: tuple[str, ...], error: UnreadableError, study_key: str) -> StudyResult:
    header = getattr(error, "header", None)
    return StudyResult(
        study_key=study_key,
        source=sources,
        study_instance_uid=header.study_instance_uid if header else None,
        modality=header.modality if header else None,
        state=State.QUARANTINED,
        reasons=(error.remark(),),
        stages=(),
        software_version=__version__,
        completed_at=clock.utc(),
    )


def _view(pixels: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    shrink = min(1.0, _VIEW_SIDE_PX / max(pixels.shape))
    size = (max(1, round(pixels.shape[1] * shrink)), max(1, round(pixels.shape[0] * shrink)))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return np.rint(np.clip(small, 0, 1) * 255).astype(np.uint8)
