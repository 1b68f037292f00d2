"""How often the positioning checks speak on images of other hospitals, and which constructed faults they find.

Nobody labelled how those patients were positioned: the shares of images with a remark hold
true and false ones. Faults are made from the same images: cropped through a lung, mirrored,
with greys bent or cut off. Rotated patients and shallow breaths cannot be made from an
image, so that no sensitivity is told for them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from edge.engines.engine import Engine
from edge.stages.radiograph import positioning, segmentation
from edge.stages.radiograph.case import Case, first_case
from edge.stages.radiograph.geometry import Labels, Pixels, mask_box
from edge.stages.radiograph.segmentation import LEFT, RIGHT
from edge.types import Radiograph, Remark
from models.evaluation import readings
from models.evaluation.figures import Figures, share
from models.training import data

Flags = dict[str, list[bool]]
Fault = Callable[[Pixels], Pixels]

_FAULTY_IMAGES = 150
_LOST_HEIGHT, _LOST_WIDTH = 0.15, 0.25
"""How much of the height of both lungs, and of the width of one, a crop takes away."""
_SCALED_SOURCES = ("Cohen", "Hannover")
"""Sources whose images keep their aspect ratio."""
_GREYS: dict[str, tuple[str, Fault]] = {
    "greys to the power of 3": ("overexposed", lambda pixels: pixels**3),
    "lower half of greys cut off": ("overexposed", lambda pixels: np.clip(2 * pixels - 1, 0, 1)),
    "greys to the power of 1/3": ("underexposed", lambda pixels: pixels ** np.float32(1 / 3)),
    "upper 60 % of greys cut off": ("underexposed", lambda pixels: np.clip(2.5 * pixels, 0, 1)),
}
_CODES = tuple(remark.code for remark in vars(positioning).values() if isinstance(remark, Remark))


def evaluate(root: Path, engine: Engine) -> Figures:
    """Share of external images with each remark, by source, and of constructed faults that are found."""
    rows = [row for row in readings.rows(root) if row.split == "external"]
    raised: Flags = {}
    for row in rows:
        codes = _codes(_outlined(row, data.to_unit(data.pixels(root, row)), engine), engine)
        for code in _CODES:
            raised.setdefault(f"{code} raised, {row.source}", []).append(code in codes)
    found: Flags = {}
    for row in rows[:: max(1, len(rows) // _FAULTY_IMAGES)]:
        for name, flag in _faults(row, data.to_unit(data.pixels(root, row)), engine):
            found.setdefault(name, []).append(flag)
    return {name: share(flags) for name, flags in {**raised, **found}.items()}


def _outlined(row: data.Row, pixels: Pixels, engine: Engine) -> Case:
    """The case with lungs; an adult's image of known aspect ratio counts as one of known scale."""
    has_scale = row.source in _SCALED_SOURCES and not row.is_child
    radiograph = Radiograph(pixels=pixels)
    if has_scale:
        radiograph = replace(radiograph, pixel_spacing_mm=(1.0, 1.0), patient_age_years=50.0)
    return segmentation.read(first_case(radiograph), engine).case


def _codes(case: Case, engine: Engine) -> set[str]:
    return {remark.code for remark in positioning.read(case, engine).remarks}


def _faults(row: data.Row, pixels: Pixels, engine: Engine) -> Iterator[tuple[str, bool]]:
    """Each constructed fault with whether it is found."""
    lungs = _outlined(row, pixels, engine).lungs
    if lungs is None:
        return
    for code, cropped in crops(pixels, lungs.labels).items():
        yield f"{code} found, cropped", code in _codes(_outlined(row, cropped, engine), engine)
    yield "mirrored found", "mirrored" in _codes(_outlined(row, pixels[:, ::-1].copy(), engine), engine)
    for name, (code, change) in _GREYS.items():
        changed = np.asarray(change(pixels), np.float32)
        yield f"{code} found, {name}", code in _codes(_outlined(row, changed, engine), engine)


def crops(pixels: Pixels, labels: Labels) -> dict[str, Pixels]:
    """The image cropped through a lung, by the code that has to be raised.

    Parameters
    ----------
    pixels : float32, shape (H, W)
    labels : uint8, shape (h, w): lungs of the same image, maybe smaller.
    """
    scale = np.array(pixels.shape) / np.array(labels.shape)
    boxes = [mask_box((labels == lung).astype(np.uint8)) for lung in (RIGHT, LEFT)]
    (top, right, base_right, right_inner), (top_left, left_inner, base_left, left) = (box for box in boxes if box)
    highest, height = min(top, top_left), max(base_right, base_left) - min(top, top_left)
    lost_right, lost_left = _LOST_WIDTH * (right_inner - right), _LOST_WIDTH * (left - left_inner)
    return {
        "cut_off_top": pixels[round((highest + _LOST_HEIGHT * height) * scale[0]) :],
        "cut_off_right": pixels[:, round((right + lost_right) * scale[1]) :],
        "cut_off_left": pixels[:, : round((left - lost_left) * scale[1])],
        "cut_off_right_angle": pixels[: round((base_right - _LOST_HEIGHT * height) * scale[0])],
        "cut_off_left_angle": pixels[: round((base_left - _LOST_HEIGHT * height) * scale[0])],
    }
