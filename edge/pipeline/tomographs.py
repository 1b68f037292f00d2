"""The reading of a chest CT: one series of a study as a volume, the stages over it, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from edge import __version__, clock
from edge.dicom.image import Header, ParsedSlices
from edge.dicom.series import Arrangement, LeftOut, arrange
from edge.errors import SeriesError
from edge.pipeline.outcomes import VITAL_FOR_CT, reasons, state_of, unreadable_images
from edge.pipeline.runner import TOMOGRAPH_STAGES, Engines, run
from edge.pipeline.stacks import windowed
from edge.pipeline.volumes import Assembled, assemble
from edge.stages.tomography.scan import Acquisition, PriorScan, Scan
from edge.store.stack import Layer, key_slices
from edge.types import StageResult, State, StudyResult, Tomogram

_NO_SERIES: Mapping[str, Any] = MappingProxyType(
    dict.fromkeys(("series_instance_uid", "slices", "spacing_mm", "thickness_mm", "kernel", "image_size_px"))
    | {"key_slices": []}
)
ASSEMBLING = "assembling"
"""What is done before the stages, as ``begin`` is told it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """All CT images of a study.

    Attributes
    ----------
    sources : of every file that could be read, in the order of ``slices``.
    others : images that are no CT, to be listed as left out.
    unread : every other file.
    unreadable : how many files could not be read at all.
    is_too_large : whether there were more than can be held, so that ``slices`` are only some of them.
    """

    sources: tuple[str, ...]
    slices: tuple[ParsedSlices, ...]
    others: tuple[Header, ...]
    unread: tuple[str, ...]
    unreadable: int
    is_too_large: bool = False


def read_tomograph(
    examination: Examination,
    engines: Engines,
    study_key: str,
    prior: PriorScan | None,
    begin: Callable[[str], None],
) -> StudyResult:
    """Read the series of a study that shows the lungs best.

    Raises
    ------
    MemoryError
        Where a step found none.
    """
    begin(ASSEMBLING)
    try:
        arrangement = _arranged(examination)
    except SeriesError as error:
        return _refused(examination, study_key, error)
    made = assemble(arrangement, examination.slices)
    scan = Scan(volume=made.volume, acquisition=_acquisition(arrangement, made), prior=prior)
    scan, stages = run(scan, engines, TOMOGRAPH_STAGES, begin)
    return _result(examination, arrangement, made, (scan, tuple(stages)), study_key)


def _arranged(examination: Examination) -> Arrangement:
    if examination.is_too_large:
        raise SeriesError("too_many_slices")
    return arrange([*examination.slices, *examination.others])


def _acquisition(arrangement: Arrangement, made: Assembled) -> Acquisition:
    return Acquisition(
        slice_count=len(arrangement.places),
        spacing_mm=arrangement.spacing_mm,
        thickness_mm=arrangement.thickness_mm,
        kernel=arrangement.kernel,
        has_contrast=arrangement.has_contrast,
        gaps_mm=tuple(arrangement.spacing_mm[0] * (count + 1) for _, count in arrangement.gaps),
        is_scaled=arrangement.is_scaled,
    )


def _result(
    examination: Examination,
    arrangement: Arrangement,
    made: Assembled,
    reading: tuple[Scan, tuple[StageResult, ...]],
    study_key: str,
) -> StudyResult:
    scan, stages = reading
    first = examination.slices[arrangement.places[0].header]
    series = _described(first, arrangement, made, stages)
    used = dict.fromkeys(examination.sources[place.header] for place in arrangement.places)
    return StudyResult(
        study_key=study_key,
        source=tuple(dict.fromkeys([*used, *examination.sources, *examination.unread])),
        study_instance_uid=first.study_instance_uid,
        modality=first.modality,
        state=state_of(stages, VITAL_FOR_CT),
        reasons=reasons(stages, VITAL_FOR_CT),
        stages=stages,
        software_version=__version__,
        completed_at=clock.utc(),
        remarks=(*arrangement.remarks, *unreadable_images(examination.unreadable)),
        view_pixels=windowed(made.planes[_shown_first(series) - 1], Layer.LUNG),
        series=series,
        tomogram=_tomogram(made, scan),
    )


def _described(
    first: ParsedSlices, arrangement: Arrangement, made: Assembled, stages: Sequence[StageResult]
) -> dict[str, Any]:
    described = {
        "series_instance_uid": first.series_instance_uid,
        "slices": len(made.planes),
        "spacing_mm": [round(step, 4) for step in arrangement.spacing_mm],
        "thickness_mm": arrangement.thickness_mm,
        "kernel": arrangement.kernel or None,
        "image_size_px": list(made.planes[0].shape),
        "left_out": [one.as_json() for one in arrangement.left_out],
    }
    found = [finding.as_json() for stage in stages for finding in stage.findings]
    return {**described, "key_slices": key_slices({"series": described, "findings": found})}


def _shown_first(series: Mapping[str, Any]) -> int:
    """The slice that stands for the whole in small: that in the middle of those that tell most."""
    shown: list[int] = series["key_slices"]
    return shown[len(shown) // 2] if shown else 1


def _tomogram(made: Assembled, scan: Scan) -> Tomogram:
    return Tomogram(
        planes=made.planes,
        affine=made.affine,
        spacing_mm=made.spacing_mm,
        slice_uids=made.slice_uids,
        tissue=_tissue(scan),
        tissue_affine=made.volume.affine,
        shrunk=made.shrunk,
    )


def _tissue(scan: Scan) -> npt.NDArray[np.uint8] | None:
    if scan.tissue is not None:
        return scan.tissue
    return scan.lungs.labels if scan.lungs is not None else None


def _refused(examination: Examination, study_key: str, error: SeriesError) -> StudyResult:
    """A study without a series that shows the chest: kept, with a picture of its middle image."""
    shown = [image for image in examination.slices if image.hu.size] or examination.slices
    middle = shown[len(shown) // 2]
    return StudyResult(
        study_key=study_key,
        source=(*examination.sources, *examination.unread),
        study_instance_uid=middle.study_instance_uid,
        modality=middle.modality,
        state=State.NO_RESULT,
        reasons=(error.remark(),),
        stages=(),
        software_version=__version__,
        completed_at=clock.utc(),
        remarks=(error.remark(), *unreadable_images(examination.unreadable)),
        view_pixels=windowed(middle.hu[len(middle.hu) // 2], Layer.LUNG) if middle.hu.size else None,
        series={**_NO_SERIES, "left_out": [one.as_json() for one in error.left_out if isinstance(one, LeftOut)]},
    )
