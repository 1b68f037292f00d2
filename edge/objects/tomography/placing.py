"""From the slices as they are shown to the slices as they are stored, which objects refer to.

The box turns slices upright and shrinks large ones; it never moves them. So the pixels go back by turns,
mirrors and enlargement alone, which a comparison of the directions tells; no rounding of positions can shift
them. Rejected: resampling in patient coordinates, which a drift of the table in the headers would blur.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from edge.dicom.attributes import stated
from edge.dicom.image import Plane
from edge.dicom.planes import planes
from edge.errors import ObjectError
from edge.objects.tomography.slices import Labels, Meta, Slices

_PARALLEL = 0.95
"""Least cosine between a direction as shown and the same as stored; other directions have about 0."""


@dataclass(frozen=True, slots=True)
class Stored:
    """One slice as it is stored.

    Attributes
    ----------
    number : of the slice as it is shown, from 1.
    source : header of its file.
    frame : of that file, from 0.
    frames : how many that file has; 0 where its kind of object has none.
    """

    number: int
    source: Dataset
    frame: int
    frames: int
    plane: Plane


def stored(slices: Slices) -> list[Stored]:
    """Where each slice lies that was not filled in, from head to feet.

    Raises
    ------
    ObjectError
        ``no_place``: a file is gone, or does not say where its slices lie.
    """
    numbers: defaultdict[str, list[int]] = defaultdict(list)
    for number, uid in enumerate(slices.meta.slice_uids, 1):
        if uid:
            numbers[uid].append(number)
    wanted, found = sum(map(len, numbers.values())), list[Stored]()
    for source in slices.headers():
        uid = stated(source, "SOPInstanceUID")
        if uid in numbers:
            found += _in_file(source, numbers.pop(uid), slices.meta)
        if not numbers:  # files of other series follow
            break
    if len(found) != wanted or not wanted:
        raise ObjectError("no_place")
    return sorted(found, key=lambda place: place.number)


def _in_file(source: Dataset, numbers: Sequence[int], meta: Meta) -> Iterator[Stored]:
    found = planes(source)
    count = len(found) if "NumberOfFrames" in source else 0
    for number, frame in zip(numbers, _frames(found, numbers, meta), strict=False):
        yield Stored(number, source, frame, count, found[frame])


def _frames(found: Sequence[Plane], numbers: Sequence[int], meta: Meta) -> Iterator[int]:
    """The frame of each slice: in their order where all frames are slices, else the nearest one."""
    affine = np.asarray(meta.affine, np.float64)
    normal = np.cross(affine[:3, 1], affine[:3, 2])
    step = float(normal @ affine[:3, 0])
    placed = {frame: plane.position_mm for frame, plane in enumerate(found) if plane.position_mm and plane.orientation}
    if not placed or step == 0:
        return
    depths = {frame: float(normal @ (position - affine[:3, 3])) / step for frame, position in placed.items()}
    if len(depths) == len(numbers):
        yield from sorted(depths, key=lambda frame: depths[frame])
        return
    for number in numbers:
        yield min(depths, key=lambda frame: abs(depths[frame] - (number - 1)))


def as_stored(labels: Labels, meta: Meta, plane: Plane) -> Labels:
    """Labels of a slice as it is shown, on the pixels of the slice as it is stored, shape (rows, columns).

    Raises
    ------
    ObjectError
        ``other_size``: the slice is of another size or lies otherwise than that which was read.
    """
    turn = _turn(np.asarray(meta.affine, np.float64), plane)
    shape = (plane.rows, plane.columns) if turn[0, 0] else (plane.columns, plane.rows)
    upright = _enlarged(labels, shape)
    if turn[0, 0]:
        first, second = turn[0, 0], turn[1, 1]
    else:
        upright, first, second = upright.T, turn[1, 0], turn[0, 1]
    return upright[:: int(first), :: int(second)]


def _turn(affine: npt.NDArray[np.float64], plane: Plane) -> npt.NDArray[np.float64]:
    """Shape (2, 2): the steps along rows and columns as shown of one step along rows and columns as stored."""
    if plane.orientation is None:
        raise ObjectError("no_place")
    along_row, along_column = np.reshape(plane.orientation, (2, 3))
    shown = affine[:3, 1:3] / np.linalg.norm(affine[:3, 1:3], axis=0)
    cosines = shown.T @ np.column_stack([along_column, along_row])
    turn: npt.NDArray[np.float64] = np.sign(cosines) * (np.abs(cosines) > _PARALLEL)
    if not (np.abs(turn).sum(0) == 1).all() or not (np.abs(turn).sum(1) == 1).all():
        raise ObjectError("other_size")
    return turn


def _enlarged(labels: Labels, shape: tuple[int, int]) -> Labels:
    """Rows and columns that were left over when a slice was made smaller have no label."""
    by = (shape[0] // labels.shape[0], shape[1] // labels.shape[1])
    if by[0] != by[1] or by[0] < 1:
        raise ObjectError("other_size")
    if by == (1, 1) and labels.shape == shape:
        return labels
    whole = np.zeros(shape, np.uint8)
    large = labels.repeat(by[0], 0).repeat(by[1], 1)
    if np.any(np.subtract(shape, large.shape) >= by[0]):
        raise ObjectError("other_size")
    whole[: large.shape[0], : large.shape[1]] = large
    return whole
