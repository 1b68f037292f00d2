"""A printed report while it is written, and what its parts share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edge import wording
from edge.language import Language
from edge.objects import letters
from edge.objects.content import Content
from edge.objects.paper import MARGIN_MM, Paper

if TYPE_CHECKING:
    from edge.objects.case import Case

_CLAIMS = (wording.Kind.NORMAL, wording.Kind.ABNORMAL)


@dataclass(frozen=True, slots=True)
class Sheet:
    """A report while it is written.

    Attributes
    ----------
    picture_mm : greatest height of the pictures.
    """

    paper: Paper
    case: Case
    tongue: Language
    verdict: wording.Verdict
    picture_mm: float

    @property
    def result(self) -> Mapping[str, Any]:
        """``chest-edge/result/1``."""
        return self.case.report

    @property
    def is_claim(self) -> bool:
        """Whether probabilities, severity and marks may be shown."""
        return self.verdict.kind in _CLAIMS

    @property
    def knows_sides(self) -> bool:
        """Whether right and left may be named."""
        return Content(self.case.report).knows_sides

    @property
    def is_tomography(self) -> bool:
        """Whether it is about a chest CT."""
        return Content(self.case.report).is_tomography

    @property
    def width(self) -> float:
        """Between the margins, in millimetres."""
        return float(self.paper.w) - 2 * MARGIN_MM


def note(sheet: Sheet, remark: Mapping[str, Any]) -> None:
    """A coded remark with its severity, its words and what to do about it."""
    tongue, advice = sheet.tongue, sheet.tongue.advice(remark)
    word = tongue.text(wording.SEVERITIES.get(remark["severity"], remark["severity"]))
    said = letters.printable(tongue.say(remark))
    sheet.paper.can_print(said)
    sheet.paper.spans([(f"{word}: ", True), (said, False), (f" {advice}" if advice else "", True)], 8)
