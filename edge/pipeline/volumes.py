"""Slices of one series as the volume that the stages see.

Fine pixels cost time and measure nothing better: what is measured are volumes of millilitres, and the
network sees 256 x 256. Slices are never merged, so that slice and image stay one thing. Rejected: a
resampling to cubes, which would blur the edge of every vessel of a series of thick slices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from edge.dicom.image import ParsedSlices
from edge.dicom.series import Arrangement
from edge.types import Volume

Plane = npt.NDArray[np.int16]
_LEAST_PIXEL_MM = 1.1


@dataclass(frozen=True, slots=True)
class Assembled:
    """A series in its own matrix, and as the stages see it.

    Attributes
    ----------
    planes : int16, shape (H, W) each, upright, from head to feet; missing ones filled in.
    slice_uids : SOP Instance UID of each; empty for one that was filled in.
    affine, spacing_mm : of the planes, as in ``Volume``.
    volume : the same with larger pixels: each stands for ``shrunk`` x ``shrunk`` of a plane's.
    """

    planes: tuple[Plane, ...]
    slice_uids: tuple[str, ...]
    affine: npt.NDArray[np.float64]
    spacing_mm: tuple[float, float, float]
    volume: Volume
    shrunk: int


def assemble(arrangement: Arrangement, found: Sequence[ParsedSlices]) -> Assembled:
    """Put the slices of a series in their places.

    Parameters
    ----------
    found : all that the arrangement was made of, in the same order.
    """
    planes, uids = _filled(arrangement, found)
    shrunk = max(1, int(np.ceil(_LEAST_PIXEL_MM / arrangement.spacing_mm[1])))
    hu = np.stack([_smaller(plane, shrunk) for plane in planes])
    between, row, column = arrangement.spacing_mm
    volume = Volume(
        hu=hu,
        affine=of_larger_pixels(arrangement.affine, shrunk),
        spacing_mm=(between, row * shrunk, column * shrunk),
        slice_uids=uids,
    )
    return Assembled(planes, uids, arrangement.affine, arrangement.spacing_mm, volume, shrunk)


def _filled(arrangement: Arrangement, found: Sequence[ParsedSlices]) -> tuple[tuple[Plane, ...], tuple[str, ...]]:
    missing = dict(arrangement.gaps)
    planes: list[Plane] = []
    uids: list[str] = []
    for number, place in enumerate(arrangement.places):
        planes.append(np.ascontiguousarray(arrangement.upright(found[place.header].hu[place.frame])))
        uids.append(place.sop_instance_uid)
        if number in missing:
            after = arrangement.places[number + 1]
            following = arrangement.upright(found[after.header].hu[after.frame])
            planes += _between(planes[-1], following, missing[number])
            uids += [""] * missing[number]
    return tuple(planes), tuple(uids)


def _between(before: Plane, after: Plane, count: int) -> list[Plane]:
    """Planes that go over from one to the other in equal steps."""
    shares = (number / (count + 1) for number in range(1, count + 1))
    return [np.asarray(cv2.addWeighted(before, 1 - share, after, share, 0), np.int16) for share in shares]


def _smaller(plane: Plane, shrunk: int) -> Plane:
    """The means of squares of pixels; rows and columns left over at the end are left out."""
    if shrunk == 1:
        return plane
    rows, columns = (size // shrunk for size in plane.shape)
    whole = plane[: rows * shrunk, : columns * shrunk]
    return np.asarray(cv2.resize(whole, (columns, rows), interpolation=cv2.INTER_AREA), np.int16)


def of_larger_pixels(affine: npt.NDArray[np.float64], shrunk: int) -> npt.NDArray[np.float64]:
    """The affine of slices whose pixels each stand for a square of so many.

    The middle of the first larger pixel lies in the middle of those that it stands for.
    """
    larger = affine.copy()
    larger[:3, 1:3] *= shrunk
    larger[:3, 3] += affine[:3, 1:3].sum(1) * (shrunk - 1) / 2
    return larger
