"""Contours of a result as SVG paths in the coordinates of the picture that is shown.

A contour point is the (row, column) of a pixel in an image of ``image_size_px``; the
picture on the page may be smaller. A pixel's middle lies half a pixel from its corner.
Rejected: contours burnt into the picture, which could not be taken off it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from edge.types import N_

NAMES: Mapping[str, str] = MappingProxyType(
    {
        "right_lung": N_("Right lung"),
        "left_lung": N_("Left lung"),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """One organ's contours: its code, its name to be translated, and the ``d`` of an SVG path."""

    organ: str
    name: str
    path: str


def outlines(segmentation: Mapping[str, Any] | None, width_px: int, height_px: int) -> tuple[Outline, ...]:
    """Outlines to draw over a picture of this size; none without a segmentation that is believed.

    Parameters
    ----------
    segmentation : that part of ``chest-edge/result/1``, or None.
    width_px, height_px : size of the picture that is shown.
    """
    if not segmentation or not segmentation.get("plausible", True):
        return ()
    rows, columns = segmentation["image_size_px"]
    scale = (height_px / rows, width_px / columns)
    contours = segmentation["contours"]
    return tuple(
        Outline(organ=organ, name=name, path=" ".join(_path(points, scale) for points in contours[organ]))
        for organ, name in NAMES.items()
        if contours.get(organ)
    )


def _path(points: Sequence[Sequence[float]], scale: tuple[float, float]) -> str:
    places = (f"{(column + 0.5) * scale[1]:.1f} {(row + 0.5) * scale[0]:.1f}" for row, column in points)
    return "M" + "L".join(places) + "Z"
