"""How the planes of one CT series lie in the patient: their order, what is missing, and the way to millimetres.

Slices are ordered by their position projected on their normal (PS3.3 section C.7.6.2.1.1), never by number or
by time: units count from the feet as from the head. Rejected: SimpleITK's series reader, which names the files
it wants to open again and takes uneven positions with a warning.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edge.dicom.image import Plane
from edge.errors import SeriesError

Vector = npt.NDArray[np.float64]

MIN_SLICES = 10
"""Fewer are no series of a chest, even where slices of 10 mm lie 20 mm apart."""
MAX_AXIAL_DEG = 30.0
"""A gantry tilts by so much."""

SAME_PLACE_MM = 0.05
_UNEVEN_SHARE = 0.1
_UNEVEN_MM = 0.1
_FILLED_MM = 10.0
_FEW, _FEW_SHARE = 2, 0.05
_ASIDE_MM = 3.0
_MAX_SHEAR_DEG = 45.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """How a stored plane is laid so that rows run to the back and columns to the left.

    Attributes
    ----------
    is_turned : rows and columns change places, before they are mirrored.
    mirrors_rows, mirrors_columns : the last row or column becomes the first.
    """

    is_turned: bool
    mirrors_rows: bool
    mirrors_columns: bool

    def upright(self, plane: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """A view of the plane laid so, shape (..., H, W)."""
        laid = np.swapaxes(plane, -1, -2) if self.is_turned else plane
        return laid[..., :: -1 if self.mirrors_rows else 1, :: -1 if self.mirrors_columns else 1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where slices lie that are already in order.

    Attributes
    ----------
    slots : of each slice, its number on the even grid that counts those missing too; the first is 0.
    affine : shape (4, 4): takes (slot, row, column, 1) of the upright matrix to LPS millimetres.
    spacing_mm : between slots along the normal, rows and columns of the upright matrix.
    shear_deg : between the normal and the way from slice to slice, which a tilted gantry parts.
    uneven : how many steps are longer or shorter than others.
    """

    slots: tuple[int, ...]
    affine: Vector
    spacing_mm: tuple[float, float, float]
    shape: tuple[int, int]
    turn: Turn
    shear_deg: float
    uneven: int


def is_axial(plane: Plane) -> bool:
    """Whether the plane lies across the body."""
    return bool(abs(_normal(plane)[2]) >= np.cos(np.radians(MAX_AXIAL_DEG)))


def depths_mm(planes: Sequence[Plane]) -> Vector:
    """How far each plane lies from the head along the normal of the first, up to a constant."""
    down = _down(planes[0])
    return np.array([np.dot(_position(plane), down) for plane in planes])


def layout(planes: Sequence[Plane]) -> Layout:
    """Where planes of one direction and size lie, which come from head to feet, no two at one place.

    Raises
    ------
    SeriesError
        ``too_few_slices``, ``slices_missing`` or ``uneven_slices``.
    """
    if len(planes) < MIN_SLICES:
        raise SeriesError("too_few_slices", count=len(planes), limit=MIN_SLICES)
    slots, uneven = _slots(np.diff(depths_mm(planes)))
    positions = np.array([_position(plane) for plane in planes])
    step, start = np.polyfit(slots, positions, 1)
    down = _down(planes[0])
    shear_deg = _shear_deg(step, down)
    aside = positions - start - np.outer(slots, step)
    aside -= np.outer(aside @ down, down)
    if shear_deg > _MAX_SHEAR_DEG or np.linalg.norm(aside, axis=1).max() > _ASIDE_MM:
        raise SeriesError("uneven_slices")
    turn, affine, spacing_mm, shape = _upright(planes[0], step, start)
    return Layout(
        slots=tuple(slots.tolist()),
        affine=affine,
        spacing_mm=(float(step @ down), *spacing_mm),
        shape=shape,
        turn=turn,
        shear_deg=shear_deg,
        uneven=uneven,
    )


def _slots(steps_mm: Vector) -> tuple[npt.NDArray[np.int64], int]:
    """The number of each slice on the grid of the usual step, and how many steps do not fit it."""
    usual_mm = float(np.median(steps_mm))
    strides = np.maximum(1, np.rint(steps_mm / usual_mm)).astype(np.int64)
    uneven = np.abs(steps_mm - strides * usual_mm) > max(_UNEVEN_SHARE * usual_mm, _UNEVEN_MM)
    missing = strides - 1
    few = max(_FEW, int(_FEW_SHARE * len(steps_mm)))
    if uneven.sum() > few:
        raise SeriesError("uneven_slices")
    if missing.sum() > few or ((missing > 1) & (missing * usual_mm > _FILLED_MM)).any():
        raise SeriesError("slices_missing", count=int(missing.sum()))
    return np.concatenate([[0], np.cumsum(strides)]), int(uneven.sum())


def _shear_deg(step: Vector, down: Vector) -> float:
    return float(np.degrees(np.arccos(np.clip(step @ down / np.linalg.norm(step), -1, 1))))


def _upright(plane: Plane, step: Vector, start: Vector) -> tuple[Turn, Vector, tuple[float, float], tuple[int, int]]:
    along_row, along_column = _cosines(plane)
    assert plane.spacing_mm is not None  # noqa: S101
    down_mm, across_mm = plane.spacing_mm
    row, column, shape, spacing_mm = (
        along_column * down_mm,
        along_row * across_mm,
        (plane.rows, plane.columns),
        (down_mm, across_mm),
    )
    is_turned = bool(abs(row[0]) > abs(column[0]))
    if is_turned:
        row, column, shape, spacing_mm = column, row, shape[::-1], spacing_mm[::-1]
    turn = Turn(is_turned=is_turned, mirrors_rows=bool(row[1] < 0), mirrors_columns=bool(column[0] < 0))
    affine = np.eye(4)
    affine[:3, 3] = start + turn.mirrors_rows * row * (shape[0] - 1) + turn.mirrors_columns * column * (shape[1] - 1)
    affine[:3, 0] = step
    affine[:3, 1] = -row if turn.mirrors_rows else row
    affine[:3, 2] = -column if turn.mirrors_columns else column
    return turn, affine, spacing_mm, shape


def _cosines(plane: Plane) -> tuple[Vector, Vector]:
    assert plane.orientation is not None  # noqa: S101
    along = np.array(plane.orientation, dtype=float).reshape(2, 3)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    return along[0], along[1]


def _normal(plane: Plane) -> Vector:
    normal = np.cross(*_cosines(plane))
    return normal / np.linalg.norm(normal)


def _down(plane: Plane) -> Vector:
    """The normal that points to the feet; LPS counts towards the head."""
    normal = _normal(plane)
    return -normal if normal[2] > 0 else normal


def _position(plane: Plane) -> Vector:
    assert plane.position_mm is not None  # noqa: S101
    return np.array(plane.position_mm, dtype=float)
