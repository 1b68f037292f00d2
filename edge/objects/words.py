"""A result in lines of words, as they are burnt in and as they stand in a structured report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from edge import wording
from edge.language import Language
from edge.objects.content import Content
from edge.objects.tomography import measures
from edge.types import N_

SEVERITY, OPACITIES, RATIO = N_("Severity"), N_("Opacities"), N_("Cardiothoracic ratio")
NAMED = N_("%(name)s: %(value)s")
VERSION, THIS_LUNG = N_("Version"), N_("%(share)s of this lung")
_LUNGS = {"right_lung": N_("Right lung"), "left_lung": N_("Left lung")}
_SIDELESS_LUNGS = {"right_lung": N_("One lung"), "left_lung": N_("Other lung")}


def notice(language: Language) -> str:
    """What stands in every object."""
    return f"{language.text(wording.RESEARCH)}. {language.text(wording.UNVERIFIED)}."


def measured(content: Content, language: Language) -> Iterator[str]:
    """Severity, opaque shares and cardiothoracic ratio, or the scores of a CT, as far as they may be said."""
    grading = wording.GRADES.get(content.severity["grade"]) if content.severity else None
    if grading:
        value = f"{language.text(grading.name)}. {language.text(grading.meaning)}"
        yield language.text(NAMED, name=language.text(SEVERITY), value=value)
    if content.detection:
        percent = content.detection["percent"]
        shares = (f"{language.text(lung(content, name))} {language.share(percent[name])}" for name in _LUNGS)
        yield language.text(NAMED, name=language.text(OPACITIES), value=", ".join(shares))
    if content.cardiothoracic:
        ratio = language.decimal(content.cardiothoracic["ratio"], "0.00")
        yield language.text(NAMED, name=language.text(RATIO), value=ratio)
    if content.is_tomography:
        yield from measures.scores(content, language)


def lung(content: Content, name: str) -> str:
    """What ``right_lung`` or ``left_lung`` is called, not yet translated; without a side that is not certain."""
    return (_LUNGS if content.knows_sides else _SIDELESS_LUNGS)[name]


def finding(content: Content, found: Mapping[str, Any], language: Language) -> str:
    """What a finding is, where it lies, and how much of its lung it covers; of a lesion of a CT more of it."""
    name = language.text(wording.FINDINGS.get(found["code"], found["code"]))
    place = wording.place(found, knows_sides=content.knows_sides)
    share = language.text(THIS_LUNG, share=language.share(found["lung_percent"]))
    told = f"{name}, {language.text(place)}, {share}"
    return f"{told}, {measures.lesion(found, language)}" if content.is_tomography else told
