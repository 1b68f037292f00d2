"""The questions that the classifier is measured on, external hospitals first.

A question is a set of images, what counts as positive among them, and the score that
answers it. Figures, ROC curves and the comparison with FP32 go through the same tuple.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from edge.stages.radiograph.classification import Claim
from models.evaluation.figures import Flags, Numbers
from models.evaluation.readings import Reading
from models.evaluation.truth import is_abnormal, is_agreed_by_radiologists
from models.training.data import Row


@dataclass(frozen=True, slots=True)
class Question:
    """One question.

    Attributes
    ----------
    concerns : whether an image belongs to it.
    is_positive : of an image that does.
    score : what the claim says; the higher, the more likely positive.
    """

    name: str
    concerns: Callable[[Row], bool]
    is_positive: Callable[[Row], bool]
    score: Callable[[Claim], float]

    @property
    def is_external(self) -> bool:
        """Whether its images come from outside the training data."""
        return "external" in self.name


@dataclass(frozen=True, slots=True)
class Answered:
    """The answers to a question, image by image."""

    scores: Numbers
    positive: Flags
    patients: tuple[str, ...]


def answer(question: Question, read: Sequence[Reading], *, with_age: bool = True) -> Answered:
    """Scores of accepted readings that the question concerns, with or without the age group."""
    here = [r for r in read if question.concerns(r.row)]
    claims = [r.known if with_age else r.unknown for r in here]
    return Answered(
        scores=np.array([question.score(claim) for claim in claims if claim is not None]),
        positive=np.array([question.is_positive(r.row) for r in here], bool),
        patients=tuple(r.row.patient for r in here),
    )


def abnormal(claim: Claim) -> float:
    """Probability of any disease."""
    return 1 - claim.probabilities["normal"]


def covid19(claim: Claim) -> float:
    """Probability of COVID-19."""
    return claim.probabilities["covid19"]


def is_covid(row: Row) -> bool:
    """Whether the label is COVID-19."""
    return row.label == "covid"


def is_unseen(row: Row) -> bool:
    """Cohen and Hannover: hospitals from which no image was trained on."""
    return row.split == "external" and row.source in ("Cohen", "Hannover")


def _is_nih(row: Row) -> bool:
    return row.split == "external" and row.source == "NIH"


def _is_test(*sources: str) -> Callable[[Row], bool]:
    return lambda row: row.split == "test" and row.source in sources


def _covid19_if_abnormal(claim: Claim) -> float:
    return claim.probabilities["covid19"] / max(1e-9, abnormal(claim))


def _tuberculosis(claim: Claim) -> float:
    return claim.probabilities.get("tuberculosis", 0.0)


def _viral(claim: Claim) -> float:
    return claim.probabilities["viral"] / max(1e-9, claim.probabilities["viral"] + claim.probabilities["bacterial"])


QUESTIONS = (
    Question("NIH external, pneumonia against normal", _is_nih, is_abnormal, abnormal),
    Question(
        "NIH external, pneumonia whose opacity RSNA readers confirmed",
        lambda row: _is_nih(row) and is_agreed_by_radiologists(row),
        is_abnormal,
        abnormal,
    ),
    Question("Cohen and Hannover external, abnormal against normal", is_unseen, is_abnormal, abnormal),
    Question(
        "unseen_hospitals external, COVID-19 against other pneumonia",
        lambda row: row.archive == "unseen_hospitals.zip" and is_abnormal(row),
        is_covid,
        _covid19_if_abnormal,
    ),
    Question(
        "Cohen and Hannover external, COVID-19 against other pneumonia",
        lambda row: is_unseen(row) and is_abnormal(row),
        is_covid,
        _covid19_if_abnormal,
    ),
    Question(
        "Cohen external alone, COVID-19 against other pneumonia",
        lambda row: is_unseen(row) and row.source == "Cohen" and is_abnormal(row),
        is_covid,
        _covid19_if_abnormal,
    ),
    Question("Kermany test, pneumonia against normal", _is_test("Kermany"), is_abnormal, abnormal),
    Question(
        "Kermany test, viral against bacterial",
        lambda row: _is_test("Kermany")(row) and is_abnormal(row),
        lambda row: row.label == "viral",
        _viral,
    ),
    Question("Shenzhen test, tuberculosis against normal", _is_test("Shenzhen"), is_abnormal, abnormal),
    Question(
        "Shenzhen test, tuberculosis against normal, by the probability of tuberculosis alone",
        _is_test("Shenzhen"),
        is_abnormal,
        _tuberculosis,
    ),
    Question(
        "COVID-19 against normal across sources (rewards the shortcut)",
        _is_test("CRD-COVID", "CRD-RSNA"),
        is_covid,
        covid19,
    ),
)
