"""What the classifier tells apart, external hospitals first.

Scores are those of the shipped INT8 model through the box's own stages. Images that the
gate refused carry no score and are counted apart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from edge.stages.radiograph.classification import Claim
from edge.types import Decision
from models.evaluation.figures import Figures, auc_with_interval, share
from models.evaluation.readings import Reading

Score = Callable[[Claim], float]
_ABNORMAL_LABELS = frozenset(
    {"covid", "bacterial", "viral", "fungal", "pneumonia_unspecified", "tuberculosis", "nodule"}
)


def evaluate(readings: Sequence[Reading]) -> Figures:
    """AUC by question and source, and sensitivity and specificity at the shipped limits."""
    read = [r for r in readings if r.accepted]
    return {**_external(read), **_inside(read), **_decisions(read)}


def _external(read: Sequence[Reading]) -> Figures:
    nih = [r for r in read if r.row.source == "NIH" and r.row.split == "external"]
    agreed = [r for r in nih if _agreed_by_radiologists(r)]
    unseen = [r for r in read if r.row.source in ("Hannover", "Cohen") and r.row.split == "external"]
    other = [r for r in unseen if r.row.label != "normal"]
    return {
        "NIH external (same hospital as training), pneumonia against normal": _auc(nih, _is_abnormal, _abnormal),
        "NIH external, pneumonia whose opacity RSNA readers confirmed": _auc(agreed, _is_abnormal, _abnormal),
        "Cohen and Hannover external, abnormal against normal": _auc(unseen, _is_abnormal, _abnormal),
        "Cohen and Hannover external, COVID-19 against other pneumonia": _auc(other, _is_covid, _covid19_if_abnormal),
    }


def _inside(read: Sequence[Reading]) -> Figures:
    kermany, shenzhen = _of(read, "Kermany"), _of(read, "Shenzhen")
    infected = [r for r in kermany if r.row.label in ("bacterial", "viral")]
    adults = _of(read, "CRD-COVID") + _of(read, "CRD-RSNA")
    return {
        "Kermany test, pneumonia against normal": _auc(kermany, _is_abnormal, _abnormal),
        "Kermany test, viral against bacterial": _auc(infected, lambda r: r.row.label == "viral", _viral),
        "Shenzhen test, tuberculosis against normal": _auc(shenzhen, _is_abnormal, _abnormal),
        "COVID-19 against normal across sources (rewards the shortcut)": _auc(adults, _is_covid, _covid19),
    }


def _decisions(read: Sequence[Reading]) -> Figures:
    figures = {}
    for source, split in sorted({(r.row.source, r.row.split) for r in read}):
        here = [r for r in read if (r.row.source, r.row.split) == (source, split)]
        for name, group in (("abnormal", [r for r in here if _is_abnormal(r)]), ("normal", _normals(here))):
            if group:
                figures[f"{source} ({split}), {name}"] = _shares(group)
    covid = [r for r in read if r.row.source == "Cohen" and r.row.split == "external" and _is_covid(r)]
    figures["Cohen external, COVID-19, sensitivity (called abnormal)"] = share(
        [_unknown(r).decision is Decision.ABNORMAL for r in covid]
    )
    figures["Cohen external, COVID-19 in the prediction set"] = share(
        ["covid19" in _unknown(r).possible for r in covid]
    )
    return figures


def _shares(group: Sequence[Reading]) -> dict[str, float | int]:
    """How a group of images was decided, without their age."""
    decided = [_unknown(r).decision for r in group]
    return {d.value: round(decided.count(d) / len(decided), 3) for d in Decision} | {"n": len(decided)}


def _auc(readings: Sequence[Reading], is_positive: Callable[[Reading], bool], score: Score) -> dict[str, object]:
    positive = np.array([is_positive(r) for r in readings])
    with_age = np.array([score(_known(r)) for r in readings])
    without = np.array([score(_unknown(r)) for r in readings])
    found = auc_with_interval(with_age, positive)
    return {**found, "auc_age_unknown": auc_with_interval(without, positive)["auc"]}


def _agreed_by_radiologists(reading: Reading) -> bool:
    """No finding, or a pneumonia in which the RSNA readers saw a lung opacity."""
    return not _is_abnormal(reading) or reading.row.note.endswith(":Lung Opacity")


def _known(reading: Reading) -> Claim:
    assert reading.known is not None  # noqa: S101 (only accepted images come here)
    return reading.known


def _unknown(reading: Reading) -> Claim:
    assert reading.unknown is not None  # noqa: S101 (as above)
    return reading.unknown


def _of(read: Sequence[Reading], source: str) -> list[Reading]:
    return [r for r in read if r.row.source == source and r.row.split == "test"]


def _normals(read: Sequence[Reading]) -> list[Reading]:
    return [r for r in read if not _is_abnormal(r)]


def _is_abnormal(reading: Reading) -> bool:
    return reading.row.label in _ABNORMAL_LABELS


def _is_covid(reading: Reading) -> bool:
    return reading.row.label == "covid"


def _abnormal(claim: Claim) -> float:
    return 1 - claim.probabilities["normal"]


def _covid19(claim: Claim) -> float:
    return claim.probabilities["covid19"]


def _covid19_if_abnormal(claim: Claim) -> float:
    return claim.probabilities["covid19"] / max(1e-9, _abnormal(claim))


def _viral(claim: Claim) -> float:
    return claim.probabilities["viral"] / max(1e-9, claim.probabilities["viral"] + claim.probabilities["bacterial"])
