"""Contours, lines and boxes of a result as SVG in the coordinates of the picture that is shown.

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
        "heart": N_("Heart"),
    }
)
LINES: Mapping[str, str] = MappingProxyType(
    {
        "heart_line": N_("Width of the heart"),
        "thorax_line": N_("Width of the thorax"),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """An organ's contours or a line across it: code, name to be translated, and the ``d`` of an SVG path."""

    organ: str
    name: str
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A finding over the picture: its number in the list, the ``d`` of its contour, and its box.

    Attributes
    ----------
    box : x, y, width and height in pixels of the picture.
    """

    number: int
    code: str
    path: str
    box: tuple[float, float, float, float]


def outlines(segmentation: Mapping[str, Any] | None, width_px: int, height_px: int) -> tuple[Outline, ...]:
    """Outlines to draw over a picture of this size; none without a segmentation that is believed.

    Parameters
    ----------
    segmentation : that part of ``chest-edge/result/1``, or None.
    width_px, height_px : size of the picture that is shown.
    """
    if not segmentation or not segmentation.get("plausible", True):
        return ()
    scale = _scale(segmentation, width_px, height_px)
    contours = segmentation["contours"]
    return tuple(
        Outline(organ=organ, name=name, path=" ".join(_path(points, scale) + "Z" for points in contours[organ]))
        for organ, name in NAMES.items()
        if contours.get(organ)
    )


def lines(segmentation: Mapping[str, Any] | None, width_px: int, height_px: int) -> tuple[Outline, ...]:
    """The two widths of the cardiothoracic ratio over a picture of this size; none without a ratio."""
    measured = (segmentation or {}).get("cardiothoracic")
    if not segmentation or not measured:
        return ()
    scale = _scale(segmentation, width_px, height_px)
    return tuple(Outline(organ=line, name=name, path=_path(measured[line], scale)) for line, name in LINES.items())


def marks(
    findings: Sequence[Mapping[str, Any]] | None,
    segmentation: Mapping[str, Any] | None,
    width_px: int,
    height_px: int,
) -> tuple[Mark, ...]:
    """Findings to draw over a picture of this size, numbered in their order.

    Parameters
    ----------
    findings, segmentation : those parts of ``chest-edge/result/1``; the latter tells the size of the image.
    """
    if not findings or not segmentation:
        return ()
    scale = _scale(segmentation, width_px, height_px)
    return tuple(
        Mark(
            number=number,
            code=finding["code"],
            path=_path(finding["contour"], scale) + "Z",
            box=_box(finding["box_px"], scale),
        )
        for number, finding in enumerate(findings, 1)
    )


def points(path: str) -> list[list[tuple[float, float]]]:
    """The lines of such a path as (x, y) points, for whatever draws no SVG."""
    pieces = (piece.strip("Z ").split("L") for piece in path.split("M")[1:])
    return [[(float(x), float(y)) for x, y in (place.split() for place in piece)] for piece in pieces]


def _scale(segmentation: Mapping[str, Any], width_px: int, height_px: int) -> tuple[float, float]:
    rows, columns = segmentation["image_size_px"]
    return height_px / rows, width_px / columns


def _path(points: Sequence[Sequence[float]], scale: tuple[float, float]) -> str:
    places = (f"{(column + 0.5) * scale[1]:.1f} {(row + 0.5) * scale[0]:.1f}" for row, column in points)
    return "M" + "L".join(places)


def _box(box_px: Sequence[float], scale: tuple[float, float]) -> tuple[float, float, float, float]:
    """Half open rows and columns are the corners of pixels already."""
    row0, column0, row1, column1 = box_px
    corners = (column0 * scale[1], row0 * scale[0], (column1 - column0) * scale[1], (row1 - row0) * scale[0])
    x, y, width, height = (round(value, 1) for value in corners)
    return x, y, width, height
