"""Values that the rooms of the box hand to each other.

All of them are frozen; masks and pixels are numpy arrays that nobody writes to.
Coordinates are (row, column), boxes are half open (row0, col0, row1, col1).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, IntEnum
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt


def N_(text: str) -> str:  # noqa: N802
    """Mark a text for translation where it is written; the page translates it where it is shown."""
    return text


SpacingMm = tuple[float, float]
BoxPx = tuple[int, int, int, int]


class State(str, Enum):
    """Where a study stands on its way through the box."""

    RECEIVED = "received"
    PARSED = "parsed"
    READY = "ready"
    RUNNING = "running"
    DONE = "done"
    NO_RESULT = "no_result"
    FAILED = "failed"
    QUARANTINED = "quarantined"


class Severity(str, Enum):
    """How far a quality remark goes: ``stop`` forbids any probability."""

    STOP = "stop"
    WARN = "warn"
    INFO = "info"


class StageStatus(str, Enum):
    """How a stage ended."""

    OK = "ok"
    SKIPPED = "skipped"
    FAILED = "failed"


class Group(str, Enum):
    """Which head of the classifier speaks."""

    ADULT = "adult"
    CHILD = "child"
    UNKNOWN = "unknown"


class Decision(str, Enum):
    """What the box proposes. ``refer`` is an abstention: no claim, a person reads the image."""

    NORMAL = "normal"
    ABNORMAL = "abnormal"
    REFER = "refer"


class Zone(str, Enum):
    """A third of a lung by height, seen from the patient (Borghesi 2020, "Brixia": A to F)."""

    RIGHT_UPPER = "right_upper"
    RIGHT_MIDDLE = "right_middle"
    RIGHT_LOWER = "right_lower"
    LEFT_UPPER = "left_upper"
    LEFT_MIDDLE = "left_middle"
    LEFT_LOWER = "left_lower"


class Grade(str, Enum):
    """Severity of the whole in one word."""

    NONE = "none"
    MILD = "mild"
    MODERATE = "moderate"
    SEVERE = "severe"


class Kind(str, Enum):
    """A DICOM object that a result leaves the box as; the value is its name in settings and of its file."""

    SECONDARY_CAPTURE = "sc"
    STRUCTURED_REPORT = "sr"
    SEGMENTATION = "seg"
    PRESENTATION_STATE = "gsps"
    PDF = "pdf"


class Tissue(IntEnum):
    """What a voxel of a chest CT is, in label images; odd numbers are of the right lung, 0 is what lies outside."""

    RIGHT_LUNG = 1
    LEFT_LUNG = 2
    RIGHT_GROUND_GLASS = 3
    LEFT_GROUND_GLASS = 4
    RIGHT_CONSOLIDATION = 5
    LEFT_CONSOLIDATION = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One received DICOM object, stored undecoded."""

    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    study_instance_uid: str
    transfer_syntax_uid: str
    path: Path
    sha256: str
    size_bytes: int
    calling_ae_title: str
    received_at: datetime
    clock_trusted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Radiograph:
    """One projection radiograph, ready for the stages.

    Attributes
    ----------
    pixels : float32, shape (H, W), in [0, 1]; bone is bright (MONOCHROME2 sense).
    pixel_spacing_mm : (row, column) spacing, or None where the header gives none that is positive.
    view : DICOM ViewPosition such as ``PA``, or None.
    patient_age_years : age from the header, or None.
    """

    pixels: npt.NDArray[np.float32]
    pixel_spacing_mm: SpacingMm | None = None
    view: str | None = None
    patient_age_years: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """One CT series as a box of voxels, ready for the stages.

    Attributes
    ----------
    hu : int16, shape (D, H, W), Hounsfield units; rows run to the patient's back, columns to the left. As the box
        assembles a series, the first slice is that nearest to the head.
    affine : float64, shape (4, 4): takes (slice, row, column, 1) to LPS millimetres (PS3.3 section C.7.6.2.1.1).
    spacing_mm : between slices, rows and columns.
    slice_uids : SOP Instance UID of each slice, or of none.
    """

    hu: npt.NDArray[np.int16]
    affine: npt.NDArray[np.float64]
    spacing_mm: tuple[float, float, float]
    slice_uids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tomogram:
    """A CT series with its reading, as the page shows it slice by slice and as objects refer to it.

    Attributes
    ----------
    planes : int16, shape (H, W) each, Hounsfield units: the slices in their own matrix, upright, from head to feet.
    affine : float64, shape (4, 4): takes (slice, row, column, 1) of them to LPS millimetres.
    spacing_mm : between slices, rows and columns.
    slice_uids : SOP Instance UID of each slice; empty for one that was filled in.
    tissue : uint8, shape (D, h, w): values of ``Tissue``; each of its pixels stands for ``shrunk`` x ``shrunk`` of
        a plane's, and what is left over at the end of a plane has none. None where nothing was found.
    tissue_affine : as ``affine``, for ``tissue``.
    """

    planes: tuple[npt.NDArray[np.int16], ...]
    affine: npt.NDArray[np.float64]
    spacing_mm: tuple[float, float, float]
    slice_uids: tuple[str, ...]
    tissue: npt.NDArray[np.uint8] | None
    tissue_affine: npt.NDArray[np.float64]
    shrunk: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Mask:
    """Label image of the same shape as its image; 0 is background.

    Attributes
    ----------
    labels : uint8, shape (H, W), or (D, H, W) of a volume
    names : what each nonzero label means, such as ``{1: "right lung", 2: "left lung"}``.
    """

    labels: npt.NDArray[np.uint8]
    names: Mapping[int, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """A coded statement with its words in English.

    ``text`` is the message identifier that the page translates; ``values`` fills its
    ``%(name)s`` places. ``advice`` is what to do for a better image, a message identifier too.
    """

    code: str
    text: str
    severity: Severity = Severity.INFO
    values: Mapping[str, str] = field(default_factory=dict)
    advice: str | None = None

    def as_json(self) -> dict[str, Any]:
        """As it stands in a result and in the store: English with its values filled in, and what to translate."""
        return {
            "code": self.code,
            "severity": self.severity.value,
            "text": self.text % self.values,
            "message": self.text,
            "values": dict(self.values),
            "advice": self.advice,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One marked place of the upright image.

    Attributes
    ----------
    code : ``ground_glass_opacity`` or ``consolidation``.
    confidence, peak : mean and greatest of the network's answer inside the contour, 0 to 1; no
        calibrated probabilities.
    contour : (row, column) points of a closed line, in pixels of the upright image.
    laterality : ``right`` or ``left``, of the patient.
    lung_percent : the share of that lung, 0 to 100.
    """

    code: str
    confidence: float
    peak: float
    box_px: BoxPx
    contour: tuple[tuple[float, float], ...]
    laterality: str
    zone: Zone
    lung_percent: float

    def as_json(self) -> dict[str, Any]:
        """As it stands in a result."""
        return {
            "code": self.code,
            "confidence": round(self.confidence, 4),
            "box_px": list(self.box_px),
            "contour": [list(point) for point in self.contour],
            "laterality": self.laterality,
            "zone": self.zone.value,
            "lung_percent": round(self.lung_percent, 1),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesion:
    """One connected opacity of a chest CT.

    Attributes
    ----------
    code : ``ground_glass_opacity`` or ``consolidation``.
    laterality : ``right`` or ``left``, of the patient.
    zone : where most of it lies.
    lung_percent : the share of that lung, 0 to 100.
    mean_hu : its mean density.
    slice_number : where it is largest; slices count from 1 at the head.
    slices : its first and last slice.
    """

    code: str
    laterality: str
    zone: Zone
    volume_ml: float
    lung_percent: float
    mean_hu: float
    slice_number: int
    slices: tuple[int, int]

    def as_json(self) -> dict[str, Any]:
        """As it stands in a result."""
        return {
            "code": self.code,
            "laterality": self.laterality,
            "zone": self.zone.value,
            "volume_ml": round(self.volume_ml, 2),
            "lung_percent": round(self.lung_percent, 2),
            "mean_hu": round(self.mean_hu),
            "slice": self.slice_number,
            "slices": list(self.slices),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class StageResult:
    """What one stage found, how long it took, and with which model.

    Attributes
    ----------
    model_precision : ``int8``, or ``fp32`` where the quantized model did not agree with the exact one.
    values : the stage's part of ``chest-edge/result/1``, JSON-ready.
    findings : what it marked, largest first.
    masks : label images by name, in the coordinates of the source image.
    """

    stage: str
    status: StageStatus
    seconds: float
    model: str | None = None
    model_version: str | None = None
    model_sha256: str | None = None
    model_precision: str | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    remarks: tuple[Remark, ...] = ()
    masks: Mapping[str, Mask] = field(default_factory=dict)
    findings: tuple[Finding | Lesion, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyResult:
    """The reading of one study, whole or refused.

    Attributes
    ----------
    study_key : own random 128-bit key as 32 hexadecimal digits; never a DICOM identifier.
    source : paths of its files; the image that the result is about comes first.
    remarks : on the study as a whole; each stage has its own.
    view_pixels : uint8, shape (h, w): the image as the stages saw it, for display; None without one.
    series : of a CT, the series that was read: ``series`` in ``chest-edge/result/1``.
    tomogram : of a CT that was read.
    """

    study_key: str
    source: tuple[str, ...]
    study_instance_uid: str | None
    modality: str | None
    state: State
    reasons: tuple[Remark, ...]
    stages: tuple[StageResult, ...]
    software_version: str
    completed_at: datetime
    remarks: tuple[Remark, ...] = ()
    view_pixels: npt.NDArray[np.uint8] | None = None
    series: Mapping[str, Any] | None = None
    tomogram: Tomogram | None = None
