"""Measures of the outlines of lungs and heart, and of the greys inside them.

All of them are shares and ratios, and all but the height of the lungs for their width stay
the same when an image is squashed.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from edge.stages.radiograph.case import Case
from edge.stages.radiograph.classification import ADULT_FROM_YEARS
from edge.stages.radiograph.geometry import Box, Labels, Pixels, mask_box
from edge.stages.radiograph.segmentation import LEFT, RIGHT

Measures = dict[str, float | None]
"""Measures by name; None where one has no meaning."""
Mask = npt.NDArray[np.bool_]

BLACK_BELOW = 0.1
"""Grey value, of the range from 0 to 1, below which a pixel counts as nearly black."""

_REACH = 0.012
"""How near a lung has to come to an edge to reach it, as a share of the longer side: a cell of the network's output."""
_FRAME_SPREAD = 0.02
"""How much the greys of a row or column of a collimation frame may differ, as a share of those of the image."""
_UPPER = slice(15, 45)
"""Rows of the upper lungs, in percent of the height that both lungs share: below the apices and above the heart."""
_FEWEST_ROWS = 8
_TILES = 6
_SIDE_REACH = 0.3
"""How far from the midline the sides are compared, as a share of the width of the thorax."""
_MOST_SCALED = 3.0
SIDE_FEATURES = _TILES**2 + 2
"""How many numbers compare left and right."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured of a case.

    Attributes
    ----------
    values : measures by name.
    sides : float64, shape (``SIDE_FEATURES``,): what differs between left and right, see ``side_features``;
        None where the lungs do not lie beside each other.
    """

    values: Measures
    sides: npt.NDArray[np.float64] | None


def measure(case: Case) -> Measured:
    """Every measure of a case; nothing without lungs."""
    if case.lungs is None:
        return Measured({}, None)
    labels = case.lungs.labels
    pixels = np.asarray(cv2.resize(case.pixels, labels.shape[::-1], interpolation=cv2.INTER_AREA), np.float32)
    upper = upper_lungs(labels)
    heart = heart_position(labels, case.heart, upper)
    values = {
        **at_edges(labels, exposed_field(pixels)),
        **heart,
        "width_difference": upper.width_difference if upper else None,
        **lung_greys(pixels, labels, case.heart),
        "height_to_width": _height_to_width(case, labels, upper),
    }
    return Measured(values, side_features(pixels, labels, upper, heart) if upper else None)


def exposed_field(pixels: Pixels) -> Box:
    """The image without the uniform frame that collimation or padding left around it.

    Parameters
    ----------
    pixels : float32, shape (H, W)

    Returns
    -------
    (row0, col0, row1, col1), half open; the whole image where all of it is uniform.
    """
    rows, columns = (np.flatnonzero(_spread(lines) > _FRAME_SPREAD * _range(pixels)) for lines in (pixels, pixels.T))
    if rows.size == 0 or columns.size == 0:
        return 0, 0, pixels.shape[0], pixels.shape[1]
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def _range(pixels: Pixels) -> float:
    low, high = np.percentile(pixels, (1, 99))
    return float(high - low)


def _spread(lines: Pixels) -> npt.NDArray[np.float64]:
    """How far the greys of each line differ, a small mark left out."""
    low, high = np.percentile(lines, (2, 98), axis=1)
    return np.asarray(high - low)


def at_edges(labels: Labels, field: Box) -> Measures:
    """How much of each lung lies on the edge of the exposed field.

    ``apex_at_edge`` is the larger share of a lung's width at the upper edge. Of each lung,
    ``side_at_edge`` is the share of its height at the outer edge above its lowest third, and
    ``angle_at_edge`` the larger of its share there below, and of its width at the lower edge.
    """
    inside = labels[field[0] : field[2], field[1] : field[3]]
    reach = max(2, round(_REACH * max(inside.shape)))
    right = _contact(inside == RIGHT, reach)
    left = _contact((inside == LEFT)[:, ::-1], reach)
    return {
        "apex_at_edge": max(right[0], left[0]),
        "right_side_at_edge": right[1],
        "left_side_at_edge": left[1],
        "right_angle_at_edge": right[2],
        "left_angle_at_edge": left[2],
    }


def _contact(lung: Mask, reach: int) -> tuple[float, float, float]:
    """Contact of apex, side and angle of a lung whose outer edge is the first column."""
    box = mask_box(lung.astype(np.uint8))
    if box is None:
        return 0.0, 0.0, 0.0
    height, width = box[2] - box[0], box[3] - box[1]
    lowest_third = box[0] + 2 * height // 3
    outer = np.asarray(lung[:, :reach].any(axis=1))
    apex, base = (float(lung[rows].any(0).sum() / width) for rows in (slice(0, reach), slice(-reach, None)))
    side, low_side = (float(part.sum() / height) for part in (outer[:lowest_third], outer[lowest_third:]))
    return apex, side, max(base, low_side)


@dataclass(frozen=True, slots=True)
class UpperLungs:
    """The upper lungs in columns of the labels.

    Attributes
    ----------
    rows : first row in which both lungs lie, and the row after the last.
    midline : middle between the lungs.
    thorax : greatest width over both lungs.
    width_difference : (right - left) / (right + left) of their mean widths.
    """

    rows: tuple[int, int]
    midline: float
    thorax: float
    width_difference: float


def upper_lungs(labels: Labels) -> UpperLungs | None:
    """Midline and widths of the upper lungs; None where the two hardly lie beside each other."""
    right, left = labels == RIGHT, labels == LEFT
    rows = np.flatnonzero(right.any(1) & left.any(1))
    if rows.size < _FEWEST_ROWS:
        return None
    (right_outer, right_inner), (left_inner, left_outer) = _sides(right[rows]), _sides(left[rows])
    part = slice(rows.size * _UPPER.start // 100, rows.size * _UPPER.stop // 100)
    right_width, left_width = (right_inner - right_outer)[part].mean(), (left_outer - left_inner)[part].mean()
    return UpperLungs(
        rows=(int(rows[0]), int(rows[-1]) + 1),
        midline=float((right_inner + left_inner)[part].mean() / 2),
        thorax=float((left_outer - right_outer).max() + 1),
        width_difference=float((right_width - left_width) / (right_width + left_width + 1e-9)),
    )


def _sides(lung: Mask) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """First and last column of a lung in each row."""
    return lung.argmax(1), lung.shape[1] - 1 - lung[:, ::-1].argmax(1)


def heart_position(labels: Labels, heart: Labels | None, upper: UpperLungs | None) -> Measures:
    """Where the heart lies: both measures are positive where it lies on the left and turn their sign in a mirror.

    ``heart_offset`` is the distance of its centre from the midline, as a share of the width of
    the thorax, ``heart_overlap`` the share of the left lung less that of the right behind it.
    """
    if heart is None or upper is None or not heart.any():
        return {"heart_offset": None, "heart_overlap": None}
    centre = float(np.nonzero(heart)[1].mean())
    hidden = [float((heart[labels == lung] > 0).mean()) for lung in (RIGHT, LEFT)]
    return {"heart_offset": (centre - upper.midline) / upper.thorax, "heart_overlap": hidden[1] - hidden[0]}


def side_features(pixels: Pixels, labels: Labels, upper: UpperLungs, heart: Measures) -> npt.NDArray[np.float64] | None:
    """What differs between the left and the right side; every number turns its sign in a mirror.

    The first ``_TILES`` squared are differences of greys, left less right, around the midline
    from the apices to the bases, in standard deviations of the greys of the lungs: the aortic
    arch, the heart and the trachea lie there. The last two are those of ``heart_position``,
    0 where no heart was outlined.

    Returns
    -------
    float64, shape (``SIDE_FEATURES``,); None where the lungs lie too near an edge of the image.
    """
    middle, reach = round(upper.midline + 0.5), round(_SIDE_REACH * upper.thorax)  # the edge between two columns
    if reach < _TILES or middle < reach or middle + reach > pixels.shape[1]:
        return None
    inside = pixels[labels > 0]
    scaled = np.clip((pixels[slice(*upper.rows)] - inside.mean()) / (inside.std() + 1e-3), -_MOST_SCALED, _MOST_SCALED)
    halves = scaled[:, middle : middle + reach], scaled[:, middle - reach : middle][:, ::-1]
    left, right = (cv2.resize(half.copy(), (_TILES, _TILES), interpolation=cv2.INTER_AREA) for half in halves)
    return np.array([*(left - right).ravel(), heart["heart_offset"] or 0, heart["heart_overlap"] or 0], np.float64)


def lung_greys(pixels: Pixels, labels: Labels, heart: Labels | None) -> Measures:
    """``lung_grey``: median grey of the lungs beside the heart; ``black_share``: how much of them is nearly black."""
    lungs = labels > 0 if heart is None else (labels > 0) & (heart == 0)
    inside = pixels[lungs]
    if inside.size == 0:
        return {"lung_grey": None, "black_share": None}
    return {"lung_grey": float(np.median(inside)), "black_share": float((inside < BLACK_BELOW).mean())}


def _height_to_width(case: Case, labels: Labels, upper: UpperLungs | None) -> float | None:
    """Height of the lungs to width of the thorax, of an adult whose image has a known scale."""
    age_years, spacing_mm = case.radiograph.patient_age_years, case.radiograph.pixel_spacing_mm
    if upper is None or spacing_mm is None or age_years is None or age_years < ADULT_FROM_YEARS:
        return None
    row_mm, column_mm = spacing_mm[::-1] if case.turned_deg % 180 else spacing_mm
    height_mm, width_mm = case.pixels.shape[0] * row_mm, case.pixels.shape[1] * column_mm
    row_to_column = (height_mm / labels.shape[0]) / (width_mm / labels.shape[1])
    heights = [int((labels == lung).any(1).sum()) for lung in (RIGHT, LEFT)]
    return float(row_to_column * sum(heights) / 2 / upper.thorax)
