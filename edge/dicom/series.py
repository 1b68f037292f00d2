"""A study's CT headers to one arrangement of slices: which series is read, in which order, and what is left out.

Pure geometry on headers; no pixel is needed. The series is chosen as a person at a workstation would: axial slices of
the chest as the unit made them, those that cover most, of these the thinnest, of these the softest kernel. Rejected:
taking the series with most images, which is the one of bones where a unit makes several.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.uid import SecondaryCaptureImageStorage

from edge.dicom.geometry import Layout, Turn, is_axial, layout
from edge.dicom.image import Header, Plane
from edge.dicom.stacks import Candidate, Stack, between, stacks
from edge.errors import SeriesError
from edge.types import Remark, Severity

_SCOUTS = frozenset({"LOCALIZER", "SCOUT", "TOPOGRAM"})
# Values that are no measure of the tissue at one place any more.
_PROJECTIONS = frozenset(
    {
        "MIP",
        "MINIP",
        "MNIP",
        "MAXIMUM",
        "MINIMUM",
        "MAX_IP",
        "MIN_IP",
        "PROJECTION IMAGE",
        "SUBTRACTION",
        "STD_DEVIATION",
    }
    | {"3D", "VRT", "VR", "SSD", "CURVED", "SCREEN SAVE", "VOLUME RENDERING", "ENDOSCOPY"}
)
_NUMBERED_KERNEL = re.compile(r"[A-Z]+(\d\d)")
_SHARP_FROM, _BONE_FROM = 50, 65
_SHARP_KERNELS = frozenset({"LUNG", "BONE", "BONEPLUS", "EDGE", "ULTRA", "DETAIL", "L", "D", "E", "YC", "YD", "YE"})
_MOST_COVERAGE = 0.9
_TILTED_DEG = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Which image a slice is: frame ``frame`` of the header at index ``header``."""

    header: int
    frame: int
    sop_instance_uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """Images of the study that are not read, and why. ``code`` and ``text`` are those of ``SeriesError``."""

    code: str
    images: int
    series_instance_uid: str | None = None
    values: Mapping[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """English, its ``%(name)s`` places not filled in; for translation."""
        return SeriesError.texts[self.code]

    def as_json(self) -> dict[str, Any]:
        """As it stands in a result."""
        filled = self.text % self.values
        values = {"values": dict(self.values), "images": self.images}
        return {"code": self.code, "text": filled, "message": self.text} | values


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrangement:
    """The slices that are read, from head to feet, and how they lie once upright.

    Attributes
    ----------
    places : one a slice.
    slots : of each slice, its number on the even grid that counts missing slices too; the first is 0.
    turn : how each stored plane is laid.
    affine : float64, shape (4, 4): takes (slot, row, column, 1) of the upright matrix to LPS millimetres. With a
        tilted gantry its first column is not along the normal.
    spacing_mm : between slots along the normal, rows and columns of the upright matrix.
    shape : (slices, rows, columns), upright.
    thickness_mm : of the slices; None where no header tells.
    is_scaled : whether every header says how values become Hounsfield units.
    gaps : (index after which slices are missing, how many); small enough to be filled.
    """

    series_instance_uid: str | None
    places: tuple[Place, ...]
    slots: tuple[int, ...]
    turn: Turn
    affine: npt.NDArray[np.float64]
    spacing_mm: tuple[float, float, float]
    shape: tuple[int, int, int]
    thickness_mm: float | None
    kernel: str
    has_contrast: bool
    is_scaled: bool
    gaps: tuple[tuple[int, int], ...]
    remarks: tuple[Remark, ...]
    left_out: tuple[LeftOut, ...]

    def upright(self, plane: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """A stored plane, or several of shape (..., H, W), with rows to the back and columns to the left; a view."""
        return self.turn.upright(plane)


_Left = Counter[tuple[str, str | None, tuple[tuple[str, str], ...]]]


def arrange(headers: Sequence[Header]) -> Arrangement:
    """Choose and order the slices of one study.

    Parameters
    ----------
    headers : of all its objects, in any order; those that are no CT too, so that they are listed.

    Raises
    ------
    SeriesError
        Where nothing can be read; ``left_out`` tells what there was.
    """
    left: _Left = Counter()
    images = list(_candidates(headers, left))
    failures: list[SeriesError] = []
    ranked = _ranked(stacks(images))
    for number, stack in enumerate(ranked):
        try:
            found = layout(stack.planes)
        except SeriesError as error:
            failures.append(error)
            _leave(left, error.code, stack, error.values)
            continue
        for other in ranked[number + 1 :]:
            _leave(left, _why_not(other, stack), other)
        lost = sum(between(stack, other) for other in ranked if _why_not(other, stack) == "mixed_series")
        return _arrangement(stack, found, left, lost)
    raise _nothing(failures, left)


def _candidates(headers: Sequence[Header], left: _Left) -> Iterable[Candidate]:
    for index, header in enumerate(headers):
        if not header.planes:
            left["other_modality", header.series_instance_uid, ()] += 1
        for frame, plane in enumerate(header.planes):
            code = _unfit(header, plane)
            if code is not None:
                left[code, header.series_instance_uid, ()] += 1
                continue
            yield Candidate(
                header=index,
                frame=frame,
                plane=plane,
                instance_number=header.instance_number or 0,
                sop_instance_uid=header.sop_instance_uid or "",
                series_instance_uid=header.series_instance_uid,
            )


def _unfit(header: Header, plane: Plane) -> str | None:
    """Why an image cannot be a slice, whatever the others are."""
    types = {*plane.image_type}
    if types & _SCOUTS:
        return "scout"
    if header.sop_class_uid == SecondaryCaptureImageStorage or types & _PROJECTIONS or plane.is_picture:
        return "no_measurement"
    if None in {plane.position_mm, plane.orientation, plane.spacing_mm} or not plane.rows * plane.columns > 0:
        return "no_position"
    return None if is_axial(plane) else "not_axial"


def _ranked(stacks: list[Stack]) -> list[Stack]:
    """The best first."""
    most: dict[tuple[bool, bool], float] = defaultdict(float)
    for stack in stacks:
        kind = (stack.is_elsewhere, stack.is_derived)
        most[kind] = max(most[kind], stack.coverage_mm)

    def rank(stack: Stack) -> tuple[object, ...]:
        plane, kind = stack.first.plane, (stack.is_elsewhere, stack.is_derived)
        is_short = stack.coverage_mm < _MOST_COVERAGE * most[kind]
        thickness = round(plane.thickness_mm or 0, 1)
        order = (plane.series_number or 0, stack.first.series_instance_uid or "", -len(stack.images))
        acquisition = plane.acquisition_number or 0
        return (*kind, is_short, round(stack.step_mm, 1), thickness, sharpness(plane.kernel), *order, acquisition)

    return sorted(stacks, key=rank)


def sharpness(kernel: str) -> int:
    """0 for a soft kernel and one of no known name, 1 for one of the lung, 2 for one of bone.

    Siemens numbers its kernels from smooth to sharp, Canon those of the lung from FC50 and of bone from FC30;
    the names of GE and Philips are in the tables.
    """
    name = kernel.upper().split("\\")[0].strip()
    if name.startswith("FC"):
        return {"3": 2, "5": 1, "8": 1}.get(name[2:3], 0)
    numbered = _NUMBERED_KERNEL.match(name)
    if numbered:
        return (int(numbered[1]) >= _SHARP_FROM) + (int(numbered[1]) >= _BONE_FROM)
    if name.startswith("BONE"):
        return 2
    return int(name in _SHARP_KERNELS)


def _why_not(stack: Stack, chosen: Stack) -> str:
    if stack.first.series_instance_uid == chosen.first.series_instance_uid:
        return "other_acquisition" if stack.kind == chosen.kind else "mixed_series"
    return "reformat" if stack.is_derived and not chosen.is_derived else "other_series"


def _leave(left: _Left, code: str, stack: Stack, values: Mapping[str, str] | None = None) -> None:
    place = (code, stack.first.series_instance_uid, tuple(sorted((values or {}).items())))
    left[place] += len(stack.images) + stack.doubles


def _listed(left: _Left) -> tuple[LeftOut, ...]:
    return tuple(
        LeftOut(code=code, images=images, series_instance_uid=uid, values=dict(values))
        for (code, uid, values), images in left.items()
    )


def _nothing(failures: list[SeriesError], left: _Left) -> SeriesError:
    codes = {code for code, _, _ in left}
    if failures:
        error = failures[0]
    elif "no_position" in codes:
        error = SeriesError("no_geometry")
    elif codes & {"not_axial", "no_measurement"}:
        error = SeriesError("only_reformats")
    else:
        error = SeriesError("only_scout" if "scout" in codes else "no_slices")
    error.left_out = _listed(left)
    return error


def _arrangement(stack: Stack, found: Layout, left: _Left, between: int) -> Arrangement:
    if stack.doubles:
        left["duplicate_slices", stack.first.series_instance_uid, ()] += stack.doubles
    planes = stack.planes
    thicknesses = [plane.thickness_mm for plane in planes if plane.thickness_mm is not None]
    strides = np.diff(found.slots)
    gaps = tuple((int(index), int(strides[index]) - 1) for index in np.flatnonzero(strides > 1))
    return Arrangement(
        series_instance_uid=stack.first.series_instance_uid,
        places=tuple(
            Place(header=image.header, frame=image.frame, sop_instance_uid=image.sop_instance_uid)
            for image in stack.images
        ),
        slots=found.slots,
        turn=found.turn,
        affine=found.affine,
        spacing_mm=found.spacing_mm,
        shape=(len(planes), *found.shape),
        thickness_mm=float(np.median(thicknesses)) if thicknesses else None,
        kernel=stack.first.plane.kernel,
        has_contrast=any(plane.has_contrast for plane in planes),
        is_scaled=all(plane.is_scaled for plane in planes),
        gaps=gaps,
        remarks=tuple(_remarks(stack, found, gaps, between)),
        left_out=_listed(left),
    )


def _remarks(stack: Stack, found: Layout, gaps: tuple[tuple[int, int], ...], between: int) -> Iterable[Remark]:
    if between:
        yield _remark("mixed_between", Severity.WARN, count=between)
    if gaps:
        yield _remark("small_gaps", Severity.WARN, count=sum(missing for _, missing in gaps))
    if found.uneven:
        yield _remark("uneven_steps", Severity.WARN, count=found.uneven)
    if stack.doubles:
        yield _remark("duplicate_slices", Severity.INFO)
    if found.shear_deg > _TILTED_DEG:
        yield _remark("gantry_tilt", Severity.INFO, degrees=round(found.shear_deg))
    if not all(plane.is_scaled for plane in stack.planes):
        yield _remark("not_scaled", Severity.WARN)


def _remark(code: str, severity: Severity, **values: object) -> Remark:
    texts = {name: str(value) for name, value in values.items()}
    return Remark(code=code, text=SeriesError.texts[code], severity=severity, values=texts)
