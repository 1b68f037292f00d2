"""Classification: what pneumonia the lungs suggest, with a head for each age group.

Bacterial and viral pneumonia are told apart in children only, tuberculosis in adults
only: nothing else was in the training data. Where the age is unknown, the network's own
estimate of the age group weighs the two heads, and this is said.

A decision has three outcomes. Between the limit below which an image counts as normal
and the one from which it counts as abnormal the box makes no claim and refers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge.engines.engine import Engine, ModelCard
from edge.stages.numbers import sigmoid, softmax
from edge.stages.radiograph.geometry import lung_tile, squash
from edge.stages.radiograph.segmentation import IMPLAUSIBLE_LUNGS
from edge.stages.stage import Case, Outcome, Stage
from edge.types import N_, Decision, Group, Remark, Severity

ADULT_FROM_YEARS = 18.0

AGE_UNKNOWN = Remark(
    code="age_unknown",
    text=N_("The age of the patient is unknown; the reading for adults and that for children were combined."),
    severity=Severity.WARN,
    advice=N_("Enter the age or the date of birth at the X-ray unit."),
)
AGE_DOUBTFUL = Remark(
    code="wrong_age",
    text=N_("Infants under one year were hardly seen in training; trust this reading less."),
    severity=Severity.WARN,
)
UNDECIDED = Remark(
    code="undecided",
    text=N_("Neither clearly normal nor clearly abnormal; the box makes no claim."),
    severity=Severity.WARN,
)
REFERRALS = frozenset({IMPLAUSIBLE_LUNGS.code, UNDECIDED.code})
"""Codes of remarks that explain why a study is referred."""


@dataclass(frozen=True, slots=True)
class _Head:
    """One age group's part of the output and its limits."""

    classes: tuple[str, ...]
    probabilities: npt.NDArray[np.float64]
    limits: Mapping[str, float]


def read(case: Case, engine: Engine) -> Outcome:
    """Classify the lungs; without plausible lungs, on the middle of the image, and refer."""
    age_years = case.radiograph.patient_age_years
    logits = engine.run(lung_image(case, engine.card)[None])[0]
    claim = interpret(logits, engine.card, group_of(age_years), lungs_found=case.lungs is not None)
    values = {
        "group": claim.group.value,
        "probabilities": {name: round(p, 4) for name, p in claim.probabilities.items()},
        "set": list(claim.possible),
        "decision": claim.decision.value,
    }
    return Outcome(case=case, values=values, remarks=_remarks(case, claim))


@dataclass(frozen=True, slots=True)
class Claim:
    """What the output of the network means for one patient.

    Attributes
    ----------
    probabilities : by class; they add up to 1.
    possible : the classes of the prediction set.
    """

    group: Group
    probabilities: Mapping[str, float]
    possible: tuple[str, ...]
    decision: Decision


def interpret(logits: npt.NDArray[np.float32], card: ModelCard, group: Group, *, lungs_found: bool) -> Claim:
    """Turn logits, shape (10,), into a claim by the calibration and limits bound to the model."""
    heads = {name: _head(card, logits, name) for name in ("child", "adult")}
    child_share = {Group.CHILD: 1.0, Group.ADULT: 0.0}.get(group, float(sigmoid(logits[-1])))
    probabilities = _mixed(heads, child_share)
    limits = {
        key: child_share * heads["child"].limits[key] + (1 - child_share) * heads["adult"].limits[key]
        for key in ("normal_below", "abnormal_from", "set_from")
    }
    possible = tuple(name for name, p in probabilities.items() if p >= limits["set_from"])
    decision = _decide(probabilities["normal"], limits, possible) if lungs_found else Decision.REFER
    return Claim(group, probabilities, possible, decision)


def group_of(age_years: float | None) -> Group:
    """The head that speaks for a patient of this age."""
    if age_years is None:
        return Group.UNKNOWN
    return Group.ADULT if age_years >= ADULT_FROM_YEARS else Group.CHILD


def _remarks(case: Case, claim: Claim) -> tuple[Remark, ...]:
    age_years = case.radiograph.patient_age_years
    found = (
        (AGE_UNKNOWN, claim.group is Group.UNKNOWN),
        (AGE_DOUBTFUL, age_years is not None and age_years < 1),
        (UNDECIDED, claim.decision is Decision.REFER and case.lungs is not None),
    )
    return tuple(remark for remark, applies in found if applies)


def lung_image(case: Case, card: ModelCard) -> npt.NDArray[np.float32]:
    """What the network sees of a case, float32, shape (side, side)."""
    working = int(card.thresholds["working_side"])
    pixels = squash(case.pixels, working)
    if case.lungs is not None:
        lungs = _squashed_labels(case.lungs.labels, working)
    else:
        lungs = np.zeros((working, working), np.uint8)
        lungs[working // 8 : -working // 8, working // 8 : -working // 8] = 1
    return lung_tile(pixels, lungs, card.side)


def _squashed_labels(labels: npt.NDArray[np.uint8], side: int) -> npt.NDArray[np.uint8]:
    """Nearest sampling of labels onto (side, side)."""
    rows = (np.arange(side) * labels.shape[0]) // side
    columns = (np.arange(side) * labels.shape[1]) // side
    return np.asarray(labels[np.ix_(rows, columns)], np.uint8)


def _head(card: ModelCard, logits: npt.NDArray[np.float32], group: str) -> _Head:
    prefix = f"{group}_"
    where = [i for i, name in enumerate(card.outputs) if name.startswith(prefix)]
    limits = {k.removeprefix(prefix): v for k, v in card.thresholds.items() if k.startswith(prefix)}
    return _Head(
        classes=tuple(card.outputs[i].removeprefix(prefix) for i in where),
        probabilities=softmax(logits[where], limits["temperature"]),
        limits=limits,
    )


def _mixed(heads: Mapping[str, _Head], child_share: float) -> dict[str, float]:
    """Probabilities of both heads weighed by age group; a head that has no weight adds no class."""
    mixed: dict[str, float] = {}
    for name, share in (("child", child_share), ("adult", 1 - child_share)):
        if share > 0:
            for label, p in zip(heads[name].classes, heads[name].probabilities, strict=True):
                mixed[label] = mixed.get(label, 0.0) + share * float(p)
    return mixed


def _decide(p_normal: float, limits: Mapping[str, float], possible: tuple[str, ...]) -> Decision:
    abnormal = 1 - p_normal
    if abnormal >= limits["abnormal_from"]:
        return Decision.ABNORMAL
    if abnormal < limits["normal_below"] and possible == ("normal",):
        return Decision.NORMAL
    return Decision.REFER


STAGE = Stage(name="classification", model="pneumonia", read=read)
