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
from edge.dicom.image import ParsedImage, ParsedSlices
from edge.engines import registry
from edge.errors import ModelError, UnreadableError
from edge.pipeline.outcomes import reasons, state_of, unreadable_images
from edge.pipeline.runner import RADIOGRAPH_STAGES, TOMOGRAPH_STAGES, Engines, models_of, run
from edge.pipeline.tomographs import Examination, read_tomograph
from edge.stages.radiograph import segmentation, severity
from edge.stages.radiograph.case import Case, first_case
from edge.stages.stage import C, Stage
from edge.stages.tomography.detection import METHOD
from edge.stages.tomography.scan import PriorScan
from edge.types import N_, Remark, Severity, StageResult, State, StudyResult

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
CT_NOT_READ = Remark(
    code="ct_not_read",
    text=N_("The study also holds a CT of %(count)s images, which was not read: its radiograph was."),
    severity=Severity.WARN,
    advice=N_("Send the CT as a study of its own."),
)
AGE_STATED = Remark(
    code="age_stated",
    text=N_("The header gives no age; %(years)s years was entered on the page."),
)
_COMPARED = (segmentation.STAGE, severity.STAGE)
"""Stages whose model may not have changed since a prior: its error would be taken for a change."""
_MOST_CANDIDATES = 8
"""Images of a study that are held at once and shown to the gate; a radiograph study has one to four."""
MOST_CT_BYTES = 1 << 30
"""Of the slices of a study, which are all held at once: 2,000 of 512 x 512."""
_VIEW_SIDE_PX = 1600


@dataclass(frozen=True, slots=True)
class SourceImage:
    """One image of a study, or the reason why it could not be read."""

    source: str
    outcome: ParsedImage | ParsedSlices | UnreadableError


@dataclass(frozen=True, slots=True)
class _Found:
    """What a study holds: ``newest`` are its newest readable radiographs by source, newest first; ``slices`` all CT."""

    sources: tuple[str, ...]
    newest: list[tuple[str, ParsedImage]]
    slices: list[tuple[str, ParsedSlices]]
    errors: tuple[UnreadableError, ...]
    radiographs: int
    is_too_large: bool

    @property
    def ct_images(self) -> int:
        return len(self.sources) - len(self.errors) - self.radiographs

    @property
    def examination(self) -> Examination:
        """Its CT images."""
        sources = tuple(source for source, _ in self.slices)
        return Examination(
            sources=sources,
            slices=tuple(image for _, image in self.slices),
            others=tuple(image for _, image in self.newest),
            unread=tuple(source for source in self.sources if source not in sources),
            unreadable=len(self.errors),
            is_too_large=self.is_too_large,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the box knows of the patient beside the images.

    Attributes
    ----------
    stated_age_years : the age that a person stated; that of a header goes before it.
    prior : what ``Case.prior`` describes, for the severity of the change.
    prior_scan_of : the slices of a prior that is a CT, or None where the box has them no more.
    """

    stated_age_years: float | None = None
    prior: Mapping[str, Any] | None = None
    prior_scan_of: Callable[[Mapping[str, Any]], PriorScan | None] = lambda prior: None

    def comparable(self, engines: Engines) -> Known:
        """The same, with the prior only where it was read by the very models that read now."""
        return self if _reads_alike(self.prior, engines, _COMPARED) else replace(self, prior=None)

    def prior_scan(self, engines: Engines) -> PriorScan | None:
        """The prior of a CT, where it was read in the very way of now and the box still has it."""
        if self.prior is None or self.prior.get("method") != METHOD:
            return None
        if not _reads_alike(self.prior, engines, TOMOGRAPH_STAGES):
            return None
        return self.prior_scan_of(self.prior)

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
    needed = models_of(RADIOGRAPH_STAGES) | models_of(TOMOGRAPH_STAGES)
    return {name: _engine(name, settings, folder) for name in needed}


def _engine(name: str, settings: Settings, folder: Path | None) -> registry.Engine | ModelError:
    try:
        return registry.load(registry.card(name, folder), settings.engine.threads)
    except ModelError as error:
        return error


def _reads_alike(prior: Mapping[str, Any] | None, engines: Engines, stages: Iterable[Stage[C]]) -> bool:
    """Whether the models of these stages are those that read a prior."""
    models = (prior or {}).get("models", {})
    return all(_sha256(engines, stage) == models.get(stage.name) for stage in stages)


def _sha256(engines: Engines, stage: Stage[C]) -> str | None:
    engine = engines[stage.model] if stage.model else None
    return None if engine is None or isinstance(engine, ModelError) else engine.card.sha256


def read_study(
    images: Iterable[SourceImage],
    engines: Engines,
    study_key: str,
    known: Known = Known(),  # noqa: B008 (frozen)
    begin: Callable[[str], None] = lambda step: None,
) -> StudyResult:
    """Read the newest frontal radiograph of a study, or its CT where no radiograph of it gives a result.

    Parameters
    ----------
    images : every image of the study, in any order; at least one. They are taken one by one, so
        that many radiographs need the memory of a few; the slices of a CT are all held.
    study_key : the box's own key of the study.
    begin : told the name of each step before it is taken.

    Raises
    ------
    MemoryError
        Where a step found none.
    """
    found = _sorted_out(images)
    if not found.newest and not found.slices:
        return _unreadable(found.sources, found.errors[0], study_key)
    reading = _first_accepted(found.newest, engines, known.comparable(engines), begin) if found.newest else None
    if reading is None or (found.slices and state_of(reading.stages) is State.NO_RESULT):
        return read_tomograph(found.examination, engines, study_key, known.prior_scan(engines), begin)
    return _result(reading, found, study_key)


def _result(reading: _Reading, found: _Found, study_key: str) -> StudyResult:
    stages = reading.stages
    return StudyResult(
        study_key=study_key,
        source=(reading.source, *(source for source in found.sources if source != reading.source)),
        study_instance_uid=reading.image.study_instance_uid,
        modality=reading.image.modality,
        state=state_of(stages),
        reasons=reasons(stages),
        stages=stages,
        software_version=__version__,
        completed_at=clock.utc(),
        remarks=_study_remarks(reading, found),
        view_pixels=_view(reading.case.pixels),
    )


def _sorted_out(images: Iterable[SourceImage]) -> _Found:
    sources: list[str] = []
    newest: list[tuple[str, ParsedImage]] = []
    slices: list[tuple[str, ParsedSlices]] = []
    errors: list[UnreadableError] = []
    radiographs = held_bytes = 0
    for image in images:
        sources.append(image.source)
        if isinstance(image.outcome, UnreadableError):
            errors.append(image.outcome)
        elif isinstance(image.outcome, ParsedSlices):
            held_bytes += image.outcome.hu.nbytes
            slices.append((image.source, image.outcome))
            if held_bytes > MOST_CT_BYTES:
                del slices[1:]
        else:
            radiographs += 1
            newest.append((image.source, image.outcome))
            newest = sorted(newest, key=lambda pair: _age_order(pair[1]), reverse=True)[:_MOST_CANDIDATES]
    return _Found(tuple(sources), newest, slices, tuple(errors), radiographs, is_too_large=held_bytes > MOST_CT_BYTES)


def _age_order(image: ParsedImage) -> tuple[datetime, int]:
    return image.acquired_at or datetime.min, image.instance_number or 0  # noqa: DTZ901 (DICOM times have no zone)


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


def _study_remarks(reading: _Reading, found: _Found) -> tuple[Remark, ...]:
    remarks = []
    if reading.image.is_picture:
        remarks.append(NO_DICOM_HEADER)
    elif reading.image.radiograph.pixel_spacing_mm is None:
        remarks.append(NO_PIXEL_SPACING)
    stated_age_years = reading.case.radiograph.patient_age_years
    if reading.image.radiograph.patient_age_years is None and stated_age_years is not None:
        remarks.append(replace(AGE_STATED, values={"years": f"{stated_age_years:g}"}))
    if found.radiographs > 1 and state_of(reading.stages) is not State.NO_RESULT:
        remarks.append(replace(FURTHER_IMAGES, values={"count": str(found.radiographs)}))
    if found.slices:
        remarks.append(replace(CT_NOT_READ, values={"count": str(found.ct_images)}))
    return (*remarks, *unreadable_images(len(found.errors)))


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
