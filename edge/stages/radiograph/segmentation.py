"""Segmentation: right and left lung field.

The network knows two definitions of a lung: the *field*, which leaves out what lies
behind the heart, and the *full* lung, which includes it. The field is shown and
measured; the full lung is what the classifier looks at, since disease behind the heart
counts too. The network's heart is not used: outside the hospital that it was learnt from
its outline was seen to be wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edge.engines.engine import Engine
from edge.stages.radiograph.geometry import Labels, tile
from edge.stages.stage import Case, Outcome, Stage
from edge.types import N_, Mask, Remark, Severity

RIGHT, LEFT, HIDDEN = 1, 2, 3
NAMES = {RIGHT: "right lung", LEFT: "left lung", HIDDEN: "lung hidden by heart or diaphragm"}
_LUNG_PLANES = [0, 1, 3, 4]  # all outputs but the heart
_LONGEST_SIDE_PX = 512
_CONTOUR_TOLERANCE_PX = 0.7

IMPLAUSIBLE_LUNGS = Remark(
    code="implausible_lungs",
    text=N_("The lungs could not be outlined reliably; no claim is made. Check position and exposure."),
    severity=Severity.WARN,
)


def read(case: Case, engine: Engine) -> Outcome:
    """Outline the lungs; implausible lungs are said and not handed on."""
    logits = engine.run(tile(case.pixels, engine.card.side)[None])[0]  # (5, S / 2, S / 2)
    right, left, full_right, full_left = outlines(logits[_LUNG_PLANES], _size(case.pixels.shape))
    full = full_right * np.uint8(RIGHT) + full_left * np.uint8(LEFT) * (1 - full_right)
    values = _values({"right_lung": right, "left_lung": left}, case)
    fault = _implausible(full, engine.card.thresholds)
    if fault:
        return Outcome(case=case, values={**values, "plausible": False, "fault": fault}, remarks=(IMPLAUSIBLE_LUNGS,))
    shown = np.where(right > 0, RIGHT, np.where(left > 0, LEFT, HIDDEN * (full > 0))).astype(np.uint8)
    whole = np.asarray(cv2.resize(shown, case.pixels.shape[::-1], interpolation=cv2.INTER_NEAREST), np.uint8)
    return Outcome(
        case=replace(case, lungs=Mask(labels=full, names={RIGHT: "right lung", LEFT: "left lung"})),
        values={**values, "plausible": True},
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


def _scaled(row: int, column: int, scale: tuple[float, float]) -> list[float]:
    """Middle of a pixel of the working image, in pixels of the source."""
    return [round((row + 0.5) * scale[0] - 0.5, 1), round((column + 0.5) * scale[1] - 0.5, 1)]


STAGE = Stage(name="segmentation", model="lung_field", read=read)
