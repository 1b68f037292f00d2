"""Positioning: checks of the image that need the outlines of lungs and heart.

What is measured stands in ``measures.py``; its limits are quantiles of training images
(``calibration.positioning``). What an outline cannot prove is worded as a possibility:

- The greys of a digital radiograph were scaled by the X-ray unit, so that they tell of
  exposure and processing together. The contrast of lungs and mediastinum was rejected as a
  measure: dense disease lowers it as much as a wrong exposure does.
- Which side the heart lies on is read from greys as well as from its outline: a network
  that has seen hearts on one side only tends to outline a mirrored one on that side too.
- Unequal widths of the upper lungs are a weak sign of rotation, which only the collarbones
  show well; they are not outlined. The remark is a note.
- The height of the lungs for their width means nothing where an image was squashed. It is
  told only where the header gives a pixel spacing, and of adults, since no training source
  of children keeps its aspect ratio.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edge.engines.engine import Engine
from edge.stages.radiograph.case import Case
from edge.stages.radiograph.measures import Measured, Measures, measure
from edge.stages.stage import Outcome, Stage
from edge.types import N_, Remark, Severity

CUT_OFF_TOP = Remark(
    code="cut_off_top",
    text=N_("The top of a lung reaches the edge of the image."),
    severity=Severity.WARN,
    advice=N_("The top of the lungs is cut off: re-centre and repeat."),
)
CUT_OFF_RIGHT = Remark(
    code="cut_off_right",
    text=N_("The side of the right lung reaches the edge of the image."),
    severity=Severity.WARN,
    advice=N_("The side of the right lung is cut off: re-centre and repeat."),
)
CUT_OFF_LEFT = Remark(
    code="cut_off_left",
    text=N_("The side of the left lung reaches the edge of the image."),
    severity=Severity.WARN,
    advice=N_("The side of the left lung is cut off: re-centre and repeat."),
)
CUT_OFF_RIGHT_ANGLE = Remark(
    code="cut_off_right_angle",
    text=N_("The right costophrenic angle reaches the edge of the image."),
    severity=Severity.WARN,
    advice=N_("The right costophrenic angle is cut off: re-centre and repeat."),
)
CUT_OFF_LEFT_ANGLE = Remark(
    code="cut_off_left_angle",
    text=N_("The left costophrenic angle reaches the edge of the image."),
    severity=Severity.WARN,
    advice=N_("The left costophrenic angle is cut off: re-centre and repeat."),
)
MIRRORED = Remark(
    code="mirrored",
    text=N_("The image looks as if it were mirrored, or the heart displaced to the right."),
    severity=Severity.WARN,
    advice=N_("Check the side marker. If the image is mirrored, right and left are exchanged here: send it again."),
)
PATIENT_ROTATED = Remark(
    code="patient_rotated",
    text=N_("The upper lungs are unequally wide: the patient may have been rotated, or one lung is small."),
    severity=Severity.INFO,
    advice=N_("Compare the collarbones. If they lie unevenly, straighten the patient and repeat."),
)
OVEREXPOSED = Remark(
    code="overexposed",
    text=N_("Much of the lungs is nearly black: too much exposure, or its processing."),
    severity=Severity.WARN,
    advice=N_("Check exposure and processing. If no vessels can be seen in the lungs, repeat with less exposure."),
)
UNDEREXPOSED = Remark(
    code="underexposed",
    text=N_("The lungs are very bright: too little exposure, its processing, or dense disease."),
    severity=Severity.WARN,
    advice=N_("Check exposure and processing before you repeat."),
)
POOR_INSPIRATION = Remark(
    code="poor_inspiration",
    text=N_("The lungs are low for their width: the patient may not have breathed in fully."),
    severity=Severity.INFO,
    advice=N_("If the patient can, repeat while a deep breath is held."),
)
LOW_RESOLUTION = Remark(
    code="low_resolution",
    text=N_("The image has %(columns)s x %(rows)s pixels, fewer than the box uses; fine detail is missing."),
    severity=Severity.INFO,
    advice=N_("Send the image of the X-ray unit itself, not a reduced copy."),
)


@dataclass(frozen=True, slots=True)
class _Rule:
    """A remark and when it is made: its measure lies below ``least``, or above ``most``, of the limits."""

    remark: Remark
    measure: str
    least: str | None = None
    most: str | None = None

    def applies(self, measures: Measures, limits: Mapping[str, Any]) -> bool:
        value = measures.get(self.measure)
        if value is None:
            return False
        too_little = self.least is not None and value < limits[f"positioning_{self.least}"]
        return too_little or (self.most is not None and value > limits[f"positioning_{self.most}"])


_RULES = (
    _Rule(CUT_OFF_TOP, "apex_at_edge", most="most_apex_at_edge"),
    _Rule(CUT_OFF_RIGHT, "right_side_at_edge", most="most_side_at_edge"),
    _Rule(CUT_OFF_LEFT, "left_side_at_edge", most="most_side_at_edge"),
    _Rule(CUT_OFF_RIGHT_ANGLE, "right_angle_at_edge", most="most_angle_at_edge"),
    _Rule(CUT_OFF_LEFT_ANGLE, "left_angle_at_edge", most="most_angle_at_edge"),
    _Rule(MIRRORED, "heart_side", least="least_heart_side"),
    _Rule(PATIENT_ROTATED, "width_difference", least="least_width_difference", most="most_width_difference"),
    _Rule(OVEREXPOSED, "black_share", most="most_black_share"),
    _Rule(UNDEREXPOSED, "lung_grey", most="most_lung_grey"),
    _Rule(POOR_INSPIRATION, "height_to_width", least="least_height_to_width"),
)
_CUT_LOW = frozenset({CUT_OFF_TOP.code, CUT_OFF_RIGHT_ANGLE.code, CUT_OFF_LEFT_ANGLE.code})
"""Codes of remarks that say that a lung is higher than what is seen of it."""


def read(case: Case, engine: Engine) -> Outcome[Case]:
    """Measure the outlines against the limits of the model that drew them; the network does not run again."""
    limits = engine.card.thresholds
    measured = measure(case)
    measures = {**measured.values, "heart_side": heart_side(measured, limits)}
    remarks = _remarks(measures, limits)
    rows, columns = case.pixels.shape
    if min(rows, columns) < engine.card.side:
        remarks.append(replace(LOW_RESOLUTION, values={"columns": str(columns), "rows": str(rows)}))
    values = {name: None if value is None else round(value, 4) for name, value in measures.items()}
    # Right and left of a mirrored image are those of no other.
    kept = replace(case, prior=None) if MIRRORED in remarks else case
    return Outcome(case=kept, values={**values, "smaller_side_px": min(rows, columns)}, remarks=tuple(remarks))


def _remarks(measures: Measures, limits: Mapping[str, Any]) -> list[Remark]:
    """What the rules say; the height of lungs that are not wholly seen means nothing."""
    made = [rule.remark for rule in _RULES if rule.applies(measures, limits)]
    return [remark for remark in made if remark is not POOR_INSPIRATION or _CUT_LOW.isdisjoint(r.code for r in made)]


def heart_side(measured: Measured, limits: Mapping[str, Any]) -> float | None:
    """Log-odds that the heart lies on the patient's left, as it looks in an image that is not mirrored."""
    if measured.sides is None:
        return None
    return float(measured.sides @ np.asarray(limits["positioning_side_weights"]))


STAGE = Stage(name="positioning", model="lung_field", read=read)
