"""Morphology of axial slices, in millimetres: what OpenCV does with single planes faster than a filter of volumes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Bits = npt.NDArray[np.bool_]
SpacingMm = tuple[float, float, float]


def each(volume: npt.NDArray[Any], change: Callable[[npt.NDArray[Any]], Bits]) -> Bits:
    """A change of every slice."""
    return np.stack([change(plane) for plane in volume])


def smoothed(hu: npt.NDArray[np.int16]) -> npt.NDArray[np.float32]:
    """Hounsfield units with less noise, slice by slice; air of the scanner's margin (padding) counts as air."""
    return np.stack([cv2.GaussianBlur(np.maximum(p, -1024).astype(np.float32), (0, 0), 0.7) for p in hu])


def grown(mask: Bits, by_mm: float, spacing_mm: SpacingMm) -> Bits:
    """Every slice grown by a distance."""
    kernel = _disc(by_mm, spacing_mm)
    return each(mask, lambda plane: cv2.dilate(plane.astype(np.uint8), kernel) > 0)


def shrunk(mask: Bits, by_mm: float, spacing_mm: SpacingMm) -> Bits:
    """Every slice shrunk by a distance; what lies outside of it does not shrink it."""
    kernel = _disc(by_mm, spacing_mm)
    return each(mask, lambda plane: cv2.erode(plane.astype(np.uint8), kernel) > 0)


def opened(plane: npt.NDArray[np.uint8], by_mm: float, spacing_mm: SpacingMm) -> npt.NDArray[np.uint8]:
    """A plane without what is thinner than twice a distance."""
    return np.asarray(cv2.morphologyEx(plane, cv2.MORPH_OPEN, _disc(by_mm, spacing_mm)), np.uint8)


def closed(plane: Bits, by_mm: float, spacing_mm: SpacingMm) -> Bits:
    """A plane of square pixels with every gap closed that is narrower than twice a distance.

    By distances, which cost the same for every radius.
    """
    if not plane.any():
        return plane
    reach = round(by_mm / spacing_mm[1])
    padded = np.pad(plane, reach + 1)
    wide = _distance(~padded) <= reach
    inner = _distance(wide) > reach
    return np.asarray((inner | padded)[reach + 1 : -reach - 1, reach + 1 : -reach - 1])


def _distance(mask: Bits) -> npt.NDArray[np.float32]:
    return np.asarray(cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5), np.float32)


def largest(plane: npt.NDArray[np.uint8]) -> Bits:
    """The largest piece of a plane."""
    _, pieces, stats, _ = cv2.connectedComponentsWithStats(plane, connectivity=4)
    if len(stats) < 2:
        return plane > 0
    return np.asarray(pieces == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA])))


def filled(plane: Bits) -> Bits:
    """A plane with what it encloses."""
    around = np.pad(~plane, 1, constant_values=True).astype(np.uint8)
    _, pieces = cv2.connectedComponents(around, connectivity=4)
    return np.asarray(pieces[1:-1, 1:-1] != pieces[0, 0])


def hull(plane: Bits) -> Bits:
    """The convex hull of a plane."""
    drawn = np.zeros(plane.shape, np.uint8)
    contours, _ = cv2.findContours(plane.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    if contours:
        cv2.fillConvexPoly(drawn, cv2.convexHull(np.concatenate(contours)), 1)
    return drawn > 0


def box(volume: Bits) -> tuple[slice, slice, slice]:
    """The smallest box that holds all that is set; an empty one where nothing is."""
    first, second, third = (_span(np.flatnonzero(volume.any(axes))) for axes in ((1, 2), (0, 2), (0, 1)))
    return first, second, third


def _span(places: npt.NDArray[np.intp]) -> slice:
    return slice(int(places[0]), int(places[-1]) + 1) if places.size else slice(0, 0)


def _disc(by_mm: float, spacing_mm: SpacingMm) -> npt.NDArray[np.uint8]:
    width, height = (2 * round(by_mm / spacing_mm[axis]) + 1 for axis in (2, 1))
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, height)), np.uint8)
