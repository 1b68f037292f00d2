"""Segmentation: right and left lung field, and heart.

The network knows two definitions of a lung: the *field*, which leaves out what lies
behind the heart, and the *full* lung, which includes it. The field is shown and
measured; the full lung is what the classifier looks at, since disease behind the heart
counts too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edge.engines.engine import Engine
from edge.stages.radiograph.geometry import Labels, tile
from edge.stages.stage import Case, Outcome, Stage, replace
from edge.types import N_, Mask, Remark, Severity

RIGHT, LEFT, HEART, BEHIND_HEART = 1, 2, 3, 4
NAMES = {RIGHT: "right lung", LEFT: "left lung", HEART: "heart", BEHIND_HEART: "lung behind the heart"}
_LONGEST_SIDE_PX = 512
_CONTOUR_TOLERANCE_PX = 0.7

IMPLAUSIBLE_LUNGS = Remark(
    code="implausible_lungs",
    text=N_("The lungs could not be outlined reliably; no claim is made. Check position and exposure."),
    severity=Severity.WARN,
)


def read(case: Case, engine: Engine) -> Outcome:
    """Outline lungs and heart; implausible lungs are said and not handed on."""
    logits = engine.run(tile(case.pixels, engine.card.side)[None])[0]  # (5, S / 2, S / 2)
    planes = outlines(logits, _size(case.pixels.shape))
    right, left, heart, full_right, full_left = planes
    full = full_right * np.uint8(RIGHT) + full_left * np.uint8(LEFT) * (1 - full_right)
    values = _values(planes, case)
    fault = _implausible(full, engine.card.thresholds)
    if fault:
        return Outcome(case=case, values={**values, "plausible": False, "fault": fault}, remarks=(IMPLAUSIBLE_LUNGS,))
    shown = _labels(right, left, heart, full)
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
    """One clean mask of zeros and ones, shape ``size``, for each output of the network.

    Parameters
    ----------
    logits : float32, shape (5, S / 2, S / 2)
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


def _labels(right: Labels, left: Labels, heart: Labels, full: Labels) -> Labels:
    labels = np.where(heart > 0, np.where(full > 0, BEHIND_HEART, HEART), 0).astype(np.uint8)
    labels[right > 0] = RIGHT
    labels[left > 0] = LEFT
    return labels


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


def _values(planes: list[Labels], case: Case) -> dict[str, object]:
    height, width = case.pixels.shape
    scale = (height / planes[0].shape[0], width / planes[0].shape[1])
    names = ("right_lung", "left_lung", "heart")
    return {
        "image_size_px": [height, width],
        "turned_deg": case.turned_deg,
        "contours": {name: _contours(plane, scale) for name, plane in zip(names, planes, strict=False)},
        "area_share": {name: round(float(p.mean()), 4) for name, p in zip(names, planes, strict=False)},
    }


def _contours(mask: Labels, scale: tuple[float, float]) -> list[list[list[float]]]:
    """Outlines as (row, column) points in pixels of the upright image."""
    found, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    lines = (cv2.approxPolyDP(line, _CONTOUR_TOLERANCE_PX, closed=True)[:, 0] for line in found)
    return [[[round(y * scale[0], 1), round(x * scale[1], 1)] for x, y in line.tolist()] for line in lines]


STAGE = Stage(name="segmentation", model="lung_field", read=read)
