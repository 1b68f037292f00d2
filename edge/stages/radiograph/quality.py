"""Quality: is this a frontal chest radiograph, and does it lie the right way?

Turns by 90 degrees and inverted greys are corrected and said; the gate then has to
accept the corrected image. A lateral view or anything else stops the reading: no
probability is computed, let alone shown.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from edge.engines.engine import Engine
from edge.stages.numbers import sigmoid, softmax
from edge.stages.radiograph.case import Case
from edge.stages.radiograph.geometry import tile
from edge.stages.stage import Outcome, Stage
from edge.types import N_, Remark, Severity

NOT_FRONTAL_CHEST = Remark(
    code="not_frontal_chest",
    text=N_("Not a frontal chest radiograph, no result."),
    severity=Severity.STOP,
    advice=N_("Check that the right image was sent. If it is a chest, take a frontal view (PA or AP) anew."),
)
LATERAL_VIEW = Remark(
    code="lateral_view",
    text=N_("A lateral chest view, no result. The box reads frontal views (PA or AP)."),
    severity=Severity.STOP,
    advice=N_("Send the frontal view of this patient."),
)
TURNED = Remark(
    code="turned",
    text=N_("The image lay turned by %(degrees)s degrees; it was turned upright before reading."),
    severity=Severity.WARN,
    advice=N_("Check the side marker, and set the orientation at the X-ray unit."),
)
INVERTED = Remark(
    code="inverted",
    text=N_("The greys were inverted; they were set right before reading."),
    severity=Severity.WARN,
    advice=N_("Set the X-ray unit to send images with bright bones."),
)


def read(case: Case, engine: Engine) -> Outcome[Case]:
    """Run the gate, correct what can be corrected safely, and run it again on the result."""
    answer = _ask(case.pixels, engine)
    limits = engine.card.thresholds
    remarks: list[Remark] = []
    corrected = case
    if answer.turn[answer.turned] >= limits["turned"] and answer.turned:
        corrected = _upright(corrected, answer.turned)
        remarks.append(replace(TURNED, values={"degrees": str(90 * answer.turned)}))
    if answer.inverted >= limits["inverted"]:
        corrected = replace(corrected, pixels=1 - corrected.pixels)
        remarks.append(INVERTED)
    if remarks:
        answer = _ask(corrected.pixels, engine)
    if answer.view[0] >= limits["frontal"]:
        return Outcome(case=corrected, values=_values(answer, corrected), remarks=tuple(remarks))
    refusal = LATERAL_VIEW if answer.view[1] > max(answer.view[2], 0.5) else NOT_FRONTAL_CHEST
    return Outcome(case=case, values=_values(answer, case), remarks=(refusal,))


class _Answer:
    """The gate's output: probabilities of view (3) and turn (4), and of inverted greys."""

    def __init__(self, logits: npt.NDArray[np.float32]) -> None:
        self.view = softmax(logits[:3])
        self.turn = softmax(logits[3:7])
        self.inverted = float(sigmoid(logits[7]))
        self.turned = int(self.turn.argmax())


def _ask(pixels: npt.NDArray[np.float32], engine: Engine) -> _Answer:
    return _Answer(engine.run(tile(pixels, engine.card.side)[None])[0])


def _upright(case: Case, quarter_turns: int) -> Case:
    pixels = np.ascontiguousarray(np.rot90(case.pixels, -quarter_turns))
    return replace(case, pixels=pixels, turned_deg=90 * quarter_turns)


def _values(answer: _Answer, case: Case) -> dict[str, object]:
    names = ("frontal", "lateral", "other")
    view = {name: round(float(p), 4) for name, p in zip(names, answer.view, strict=True)}
    return {"view": view, "turned_deg": case.turned_deg}


STAGE = Stage(name="quality", model="frontal_gate", read=read)
