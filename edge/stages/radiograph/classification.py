"""Classification: what pneumonia the lungs suggest, with a head for each age group.

Bacterial and viral pneumonia are told apart in children only, tuberculosis in adults
only: nothing else was in the training data. Where the age is unknown, the network's own
estimate of the age group weighs the two heads, and this is said.

A decision has three outcomes. Between the limit below which an image counts as normal
and the one from which it counts as abnormal the box makes no claim and refers. It refers
as well where no lungs were found, where no class can be ruled out, where the detection saw
no place for an adult's pneumonia, or one for a normal image, and where the image lies far from all
training images: by the squared Mahalanobis distance of the network's features (Lee 2018),
which the network puts out whitened.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from edge.engines.engine import Engine, ModelCard
from edge.stages.numbers import sigmoid, softmax
from edge.stages.radiograph.case import Case
from edge.stages.radiograph.geometry import Pixels, with_mirror
from edge.stages.radiograph.registration import lung_image
from edge.stages.radiograph.segmentation import IMPLAUSIBLE_LUNGS
from edge.stages.stage import Outcome, Stage
from edge.types import N_, Decision, Group, Remark, Severity

ADULT_FROM_YEARS = 18.0
_NEED_A_PLACE = frozenset({"other_pneumonia", "covid19"})
"""Findings in adults that the detection has to see too. It learnt pneumonia of adults; of
tuberculosis and of pneumonia in children it sees a third to a half (validation images)."""

AGE_UNKNOWN = Remark(
    code="age_unknown",
    text=N_("The age of the patient is unknown; the reading for adults and that for children were combined."),
    severity=Severity.WARN,
    advice=N_("Enter the age on the page, and next time the date of birth at the X-ray unit."),
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
ALL_POSSIBLE = Remark(
    code="all_possible",
    text=N_("No class can be ruled out; the box makes no claim."),
    severity=Severity.WARN,
)
FAR_FROM_TRAINING = Remark(
    code="far_from_training",
    text=N_("The image looks unlike all images that the box learnt from; the box makes no claim."),
    severity=Severity.WARN,
)
NETWORKS_DISAGREE = Remark(
    code="networks_disagree",
    text=N_("The classification and the search for opacities disagree; the box makes no claim."),
    severity=Severity.WARN,
)
_ABSTENTIONS = (IMPLAUSIBLE_LUNGS, UNDECIDED, ALL_POSSIBLE, FAR_FROM_TRAINING, NETWORKS_DISAGREE)
REFERRALS = frozenset(remark.code for remark in _ABSTENTIONS)
"""Codes of remarks that explain why a study is referred."""


@dataclass(frozen=True, slots=True)
class _Head:
    """One age group's part of the output and its limits."""

    classes: tuple[str, ...]
    probabilities: npt.NDArray[np.float64]
    limits: Mapping[str, float]


def read(case: Case, engine: Engine) -> Outcome[Case]:
    """Classify the lungs; without plausible lungs, refer."""
    group = group_of(case.radiograph.patient_age_years)
    claim = NO_CLAIM
    if case.alignment is not None:
        logits = answer(lung_image(case, engine.card.side), engine)
        claim = interpret(logits, engine.card, group, is_opaque=case.is_opaque)
    values = {
        "group": group.value,
        "probabilities": {name: round(p, 4) for name, p in claim.probabilities.items()},
        "set": list(claim.possible),
        "decision": claim.decision.value,
        "distance": None if claim.distance is None else round(claim.distance, 4),
    }
    # Where the box makes no claim about an image, it makes none about a change either.
    kept = replace(case, prior=None) if claim.decision is Decision.REFER else case
    return Outcome(case=kept, values=values, remarks=_remarks(case, group, claim))


def answer(shown: Pixels, engine: Engine) -> npt.NDArray[np.float32]:
    """The output for a lung image, shape (side, side), and for its mirror image, on average: shape (C,).

    Either lung may be the diseased one, and training showed both ways.
    """
    return np.asarray(engine.run(with_mirror(shown)).mean(0), np.float32)


@dataclass(frozen=True, slots=True)
class Claim:
    """What the output of the network means for one patient.

    Attributes
    ----------
    probabilities : by class; they add up to 1.
    possible : the classes of the prediction set.
    decision : ``refer`` where ``reason`` is given.
    distance : from the training images, as a share of the limit; None without lungs.
    reason : why no claim is made.
    """

    probabilities: Mapping[str, float]
    possible: tuple[str, ...]
    decision: Decision
    distance: float | None
    reason: Remark | None


NO_CLAIM = Claim({}, (), Decision.REFER, None, None)
"""Of an image without aligned lungs; an earlier stage said why."""


def interpret(
    logits: npt.NDArray[np.float32], card: ModelCard, group: Group, *, is_opaque: bool | None = None
) -> Claim:
    """Turn the output, shape (C,), into a claim by the calibration and limits bound to the model.

    Parameters
    ----------
    is_opaque : whether the detection saw opacities; None where it was not asked.
    """
    heads = {name: _head(card, logits, name) for name in ("child", "adult")}
    doubt = float(sigmoid(logits[card.outputs.index("is_child")]))
    child_share = {Group.CHILD: 1.0, Group.ADULT: 0.0}.get(group, doubt)
    probabilities = _mixed(heads, child_share)
    limits = {
        key: child_share * heads["child"].limits[key] + (1 - child_share) * heads["adult"].limits[key]
        for key in ("normal_below", "abnormal_from", "set_from")
    }
    possible = tuple(name for name, p in probabilities.items() if p >= limits["set_from"])
    distance = float(np.square(embedding(logits, card.outputs)).mean() / card.thresholds["most_distance"])
    abnormal = 1 - probabilities["normal"] >= limits["abnormal_from"]
    needs_place = abnormal and child_share < 0.5 and _likeliest(probabilities) in _NEED_A_PLACE
    disagrees = is_opaque is False if needs_place else is_opaque is True and not abnormal
    reason = _reason(probabilities, limits, possible, distance) or (NETWORKS_DISAGREE if disagrees else None)
    decision = Decision.REFER if reason else Decision.ABNORMAL if abnormal else Decision.NORMAL
    return Claim(probabilities, possible, decision, distance, reason)


def _likeliest(probabilities: Mapping[str, float]) -> str:
    """The finding of the greatest probability."""
    findings = {name: p for name, p in probabilities.items() if name != "normal"}
    return max(findings, key=lambda name: findings[name])


def embedding(logits: npt.NDArray[np.float32], outputs: tuple[str, ...]) -> npt.NDArray[np.float32]:
    """The whitened features among the outputs, float32, shape (E,): mean 0 and deviation 1 on training images."""
    return logits[[i for i, name in enumerate(outputs) if name.startswith("embedding_")]]


def _reason(
    probabilities: Mapping[str, float], limits: Mapping[str, float], possible: tuple[str, ...], distance: float
) -> Remark | None:
    """Why no claim is made, or None where one is."""
    if distance >= 1:
        return FAR_FROM_TRAINING
    if len(possible) == len(probabilities):
        return ALL_POSSIBLE
    abnormal = 1 - probabilities["normal"]
    is_normal = abnormal < limits["normal_below"] and possible == ("normal",)
    is_abnormal = abnormal >= limits["abnormal_from"] and possible and "normal" not in possible
    return None if is_normal or is_abnormal else UNDECIDED


def group_of(age_years: float | None) -> Group:
    """The head that speaks for a patient of this age."""
    if age_years is None:
        return Group.UNKNOWN
    return Group.ADULT if age_years >= ADULT_FROM_YEARS else Group.CHILD


def _remarks(case: Case, group: Group, claim: Claim) -> tuple[Remark, ...]:
    age_years = case.radiograph.patient_age_years
    about_age = ((AGE_UNKNOWN, group is Group.UNKNOWN), (AGE_DOUBTFUL, age_years is not None and age_years < 1))
    remarks = tuple(remark for remark, applies in about_age if applies)
    return remarks if claim.reason is None else (*remarks, claim.reason)


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


STAGE = Stage(name="classification", model="pneumonia", read=read)
