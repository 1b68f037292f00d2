"""The figures to reach, and which of them are met: one tuple, external figures first.

A goal names a figure of the report. One that was not measured counts as not met.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from models.evaluation import cost, lung_field, opacity, shortcuts
from models.evaluation.figures import Figures

WITHOUT_NIH_RSNA = "pneumonia_without_NIH_CRD-RSNA"
"""Under this name the figures of a model that was trained without these sources are kept (``without.kept``)."""


@dataclass(frozen=True, slots=True)
class Goal:
    """One figure to reach.

    Attributes
    ----------
    what : the claim, in words.
    model, figure, key : where the number stands in the report.
    relation : ``>=`` or ``<=``.
    """

    what: str
    model: str
    figure: str
    key: str
    relation: str
    limit: float

    @property
    def text(self) -> str:
        """The goal as it is written in tables."""
        return f"{self.relation} {self.limit:g}"

    def is_met(self, found: float | None) -> bool:
        """Whether a figure reaches the goal; one that is absent does not."""
        if found is None:
            return False
        return found >= self.limit if self.relation == ">=" else found <= self.limit


_NIH, _CONFIRMED = (
    "NIH external, pneumonia against normal",
    "NIH external, pneumonia whose opacity RSNA readers confirmed",
)

GOALS = (
    Goal("abnormal against normal, unseen hospitals (Cohen, Hannover)", "pneumonia",
         "Cohen and Hannover external, abnormal against normal", "auc", ">=", 0.90),
    Goal("abnormal, unseen hospitals: sensitivity at the shipped limit", "pneumonia",
         "Cohen and Hannover external, sensitivity (called abnormal)", "share", ">=", 0.85),
    Goal("COVID-19 against other pneumonia, adults, unseen_hospitals", "pneumonia",
         "unseen_hospitals external, COVID-19 against other pneumonia", "auc", ">=", 0.75),
    Goal("pneumonia against normal, NIH, trained without NIH and RSNA", WITHOUT_NIH_RSNA, _NIH, "auc", ">=", 0.80),
    Goal("the same, against labels that RSNA readers confirmed", WITHOUT_NIH_RSNA, _CONFIRMED, "auc", ">=", 0.80),
    Goal("pneumonia against normal, NIH external, shipped model (same hospital as training)", "pneumonia",
         _NIH, "auc", ">=", 0.85),
    Goal("expected calibration error, all external", "pneumonia",
         "calibration error, all external", "ece", "<=", 0.08),
    Goal("lung Dice, Cohen, patients held out, masks of V7: mean", "lung_field", lung_field.COHEN, "mean", ">=", 0.96),
    Goal("lung Dice, Cohen, patients held out, masks of V7: 5th percentile", "lung_field",
         lung_field.COHEN, "p5", ">=", 0.90),
    Goal("frontal radiographs accepted, all external", "frontal_gate",
         "frontal accepted, all external", "share", ">=", 0.99),
    Goal("laterals of held-out patients refused", "frontal_gate",
         "refused, lateral views, held-out patients", "share", ">=", 1.0),
    Goal("CT figures of held-out patients refused", "frontal_gate",
         "refused, CT figures, held-out patients", "share", ">=", 1.0),
    Goal("CT slices of held-out patients refused", "frontal_gate",
         "refused, CT slices, held-out patients", "share", ">=", 1.0),
    Goal("photographs not trained on refused", "frontal_gate",
         "refused, photographs not trained on", "share", ">=", 1.0),
    Goal("tuberculosis against normal, Shenzhen test", "pneumonia",
         "Shenzhen test, tuberculosis against normal", "auc", ">=", 0.90),
    Goal("viral against bacterial, children, Kermany test", "pneumonia",
         "Kermany test, viral against bacterial", "auc", ">=", 0.85),
    Goal("heart Dice, JSRT test", "lung_field", "heart Dice, JSRT (test)", "mean", ">=", 0.92),
    Goal("cardiothoracic ratio error, JSRT test: median", "lung_field",
         "cardiothoracic ratio error, JSRT (test)", "median", "<=", 0.02),
    Goal("extent of opacity (0 to 8), mean error, five-fold", "opacity",
         "extent 0 to 8, five-fold", "mean_absolute_error", "<=", 1.1),
    Goal("degree of opacity (0 to 6), mean error, five-fold", "opacity",
         "opacity 0 to 6, five-fold", "mean_absolute_error", "<=", 0.75),
    Goal("Brixia score (0 to 18), correlation, five-fold", "opacity",
         "Brixia, five-fold", "correlation", ">=", 0.75),
    Goal("images with boxes of NIH and RSNA readers: a mark's centre inside a box", "opacity",
         opacity.FOUND, "share", ">=", 0.70),
    Goal("boxes of NIH and RSNA readers that hold a mark's centre", "opacity",
         opacity.BOXES_FOUND, "share", ">=", 0.70),
    Goal("false marks on a normal image", "opacity", opacity.FALSE_MARKS, "mean", "<=", 1.0),
    Goal("lungs filled in, COVID-19 against normal across sources: the farthest from chance of three fills",
         "pneumonia", shortcuts.WORST_FILL, "auc_or_its_opposite", "<=", 0.65),
    Goal("all networks together, as shipped: megabytes", "cost", cost.ALL, "megabytes", "<=", 40),
    Goal("all networks together, as shipped: milliseconds on two cores", "cost", cost.ALL, "milliseconds", "<=", 150),
)  # fmt: skip


def table(report: Mapping[str, Figures], goals: tuple[Goal, ...] = GOALS) -> list[dict[str, Any]]:
    """Each goal with what was found."""
    return [_row(goal, report.get(goal.model, {}).get(goal.figure, {})) for goal in goals]


def _row(goal: Goal, figure: Mapping[str, Any]) -> dict[str, Any]:
    found = figure.get(goal.key)
    return {
        "figure": goal.what,
        "found": found,
        "interval_95": figure.get("interval_95"),
        "goal": goal.text,
        "met": goal.is_met(found),
    }
