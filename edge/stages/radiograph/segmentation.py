"""Segmentation: right and left lung field, heart, and the cardiothoracic ratio.

The network knows two definitions of a lung: the *field*, which leaves out what lies
behind the heart, and the *full* lung, which includes it. The field is shown and
measured; the full lung is what the later stages look at, since disease behind the heart
counts too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edge.engines.engine import Engine
from edge.stages.radiograph.case import Case
from edge.stages.radiograph.geometry import Labels, tile
from edge.stages.stage import Outcome, Stage
from edge.types import N_, Mask, Remark, Severity

Line = tuple[int, int, int]

RIGHT, LEFT, HIDDEN = 1, 2, 3
NAMES = {RIGHT: "right lung", LEFT: "left lung", HIDDEN: "lung hidden by heart or diaphragm"}
_LONGEST_SIDE_PX = 512
_CONTOUR_TOLERANCE_PX = 0.7

IMPLAUSIBLE_LUNGS = Remark(
    code="implausible_lungs",
    text=N_("The lungs could not be outlined reliably; no claim is made. Check position and exposure."),
    severity=Severity.WARN,
    advice=N_("Check that the whole chest is on the image and well exposed, and repeat."),
)

AP_VIEW = Remark(
    code="ap_view",
    text=N_("A view from front to back (AP): the heart looks wider than it is, and so does its ratio to the thorax."),
)


def read(case: Case, engine: Engine) -> Outcome[Case]:
    """Outline lungs and heart; implausible ones are said and not handed on."""
    logits = engine.run(tile(case.pixels, engine.card.side)[None])[0]  # (5, S / 2, S / 2)
    right, left, heart, full_right, full_left = outlines(logits, _size(case.pixels.shape))
    full = full_right * np.uint8(RIGHT) + full_left * np.uint8(LEFT) * (1 - full_right)
    fault = _implausible(full, engine.card.thresholds)
    if fault:
        values = {**_values({"right_lung": right, "left_lung": left}, case), "cardiothoracic": None}
        return Outcome(case=case, values={**values, "plausible": False, "fault": fault}, remarks=(IMPLAUSIBLE_LUNGS,))
    organs, found_heart = {"right_lung": right, "left_lung": left}, None
    if heart_is_plausible(heart, full):
        organs["heart"] = found_heart = heart
    shown = np.where(right > 0, RIGHT, np.where(left > 0, LEFT, HIDDEN * (full > 0))).astype(np.uint8)
    whole = np.asarray(cv2.resize(shown, case.pixels.shape[::-1], interpolation=cv2.INTER_NEAREST), np.uint8)
    lungs = Mask(labels=full, names={RIGHT: "right lung", LEFT: "left lung"})
    # A lung that is cut off at its side makes the thorax too narrow.
    is_whole = not full[:, [0, -1]].any()
    cardiothoracic = _cardiothoracic(found_heart, full, case) if found_heart is not None and is_whole else None
    return Outcome(
        case=replace(case, lungs=lungs, heart=found_heart),
        values={**_values(organs, case), "plausible": True, "cardiothoracic": cardiothoracic},
        remarks=(AP_VIEW,) if cardiothoracic and case.radiograph.view == "AP" else (),
        masks={"lungs": Mask(labels=case.to_source(whole), names=NAMES)},
    )


def _size(shape: tuple[int, ...]) -> tuple[int, int]:
    """Height and width of the working image: as the source, or smaller."""
    shrink = min(1.0, _LONGEST_SIDE_PX / max(shape))
    return max(1, round(shape[0] * shrink)), max(1, round(shape[1] * shrink))


def outlines(logits: npt.NDArray[np.float32], size: tuple[int, int]) -> list[Labels]:
    """One clean mask of zeros and ones, shape ``size``, for each plane of logits.

    Parameters
    ----------
    logits : float32, shape (N, S / 2, S / 2)
    size : (height, width)
    """
    grown = (cv2.resize(plane, size[::-1], interpolation=cv2.INTER_LINEAR) for plane in logits)
    return [_largest_part((plane > 0).astype(np.uint8)) for plane in grown]


def _largest_part(mask: Labels) -> Labels:
    count, parts, stats, _ = cv2.connectedComponentsWithStats(mask)
    if count < 2:
        return mask
    largest = (parts == 1 + stats[1:, cv2.CC_STAT_AREA].argmax()).astype(np.uint8)
    contours, _ = cv2.findContours(largest, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return np.asarray(cv2.drawContours(largest, contours, -1, 1, cv2.FILLED), np.uint8)


def _implausible(full: Labels, limits: Mapping[str, Any]) -> str | None:
    """What is wrong with the lungs, or None.

    Limits are shares of the image (area), and a ratio of the larger to the smaller lung.
    """
    right, left = (float((full == label).mean()) for label in (RIGHT, LEFT))
    if min(right, left) < limits["least_area"]:
        return "a lung is missing or too small"
    if right + left > limits["most_area"]:
        return "the lungs are too large"
    if max(right, left) > limits["most_ratio"] * min(right, left):
        return "one lung is much larger than the other"
    columns = [np.flatnonzero((full == label).any(0)).mean() for label in (RIGHT, LEFT)]
    return "the lungs are not side by side" if columns[0] >= columns[1] else None


_LEAST_HEART, _MOST_HEART = 0.1, 1.2
"""Limits of the heart's area, as a share of that of both lungs."""


def heart_is_plausible(heart: Labels, lungs: Labels) -> bool:
    """Whether an outline may be a heart: of likely size, and its middle between the outer edges of the lungs."""
    if not heart.any():
        return False
    size = heart.sum() / (lungs > 0).sum()
    columns, thorax = np.flatnonzero(heart.any(0)), np.flatnonzero(lungs.any(0))
    return bool(_LEAST_HEART <= size <= _MOST_HEART and thorax[0] < columns.mean() < thorax[-1])


def widest(mask: Labels) -> Line:
    """The row in which a mask reaches widest, and its first and last column there: (row, column0, column1)."""
    rows = np.flatnonzero(mask.any(1))
    spans = [(np.flatnonzero(mask[row])[[0, -1]], row) for row in rows]
    (first, last), row = max(spans, key=lambda span: int(span[0][1] - span[0][0]))
    return int(row), int(first), int(last)


def widths(heart: Labels, lungs: Labels) -> tuple[Line, Line]:
    """Transverse diameters of heart and thorax, each as (row, column0, column1) of their first and last pixel.

    The heart's runs from its rightmost to its leftmost point, whatever their height; the
    thorax's is the greatest distance between the outer edges of the lungs in one row
    (Danzer 1919).
    """
    columns = np.flatnonzero(heart.any(0))
    return (widest(heart)[0], int(columns[0]), int(columns[-1])), widest((lungs > 0).astype(np.uint8))


def cardiothoracic_ratio(heart: Labels, lungs: Labels) -> float:
    """Width of the heart over that of the thorax; both masks not empty, of one shape."""
    (_, heart0, heart1), (_, thorax0, thorax1) = widths(heart, lungs)
    return (heart1 + 1 - heart0) / (thorax1 + 1 - thorax0)


def _cardiothoracic(heart: Labels, lungs: Labels, case: Case) -> dict[str, object]:
    scale = (case.pixels.shape[0] / lungs.shape[0], case.pixels.shape[1] / lungs.shape[1])
    lines = (
        [_scaled(row, first - 0.5, scale), _scaled(row, last + 0.5, scale)] for row, first, last in widths(heart, lungs)
    )
    ratio = round(cardiothoracic_ratio(heart, lungs), 3)
    return {"ratio": ratio, **dict(zip(("heart_line", "thorax_line"), lines, strict=True))}


def _values(lungs: Mapping[str, Labels], case: Case) -> dict[str, object]:
    height, width = case.pixels.shape
    return {
        "image_size_px": [height, width],
        "turned_deg": case.turned_deg,
        "contours": {name: _contours(lung, case.pixels.shape) for name, lung in lungs.items()},
        "area_share": {name: round(float(lung.mean()), 4) for name, lung in lungs.items()},
    }


def _contours(mask: Labels, size: tuple[int, ...]) -> list[list[list[float]]]:
    """Outlines as (row, column) points in pixels of the upright image, whose height and width are ``size``."""
    scale = (size[0] / mask.shape[0], size[1] / mask.shape[1])
    found, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    lines = (cv2.approxPolyDP(line, _CONTOUR_TOLERANCE_PX, closed=True)[:, 0] for line in found)
    return [[_scaled(y, x, scale) for x, y in line.tolist()] for line in lines]


def _scaled(row: float, column: float, scale: tuple[float, float]) -> list[float]:
    """Middle of a pixel of the working image, in pixels of the source."""
    return [round((row + 0.5) * scale[0] - 0.5, 1), round((column + 0.5) * scale[1] - 0.5, 1)]


STAGE = Stage(name="segmentation", model="lung_field", read=read)
