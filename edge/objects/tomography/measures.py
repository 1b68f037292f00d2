"""What was measured on a chest CT in words and numbers: the same in the captured image, in the report and on paper."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from edge import wording
from edge.language import Language
from edge.objects.content import Content
from edge.types import N_

LUNGS: Mapping[str, str] = {
    "right_lung": N_("Right lung"),
    "left_lung": N_("Left lung"),
    "both": N_("Both lungs"),
}
SLICE = N_("Slice %(number)s")
_ML, _HU = N_("%(volume)s ml"), N_("%(hu)s HU")
_SCORE, _OF = N_("CT score"), N_("%(score)s of %(most)s")
_VOLUME = N_("Lung, ml")
_POINTS = N_("Affected: %(change)s points")
_EARLIER = N_("Earlier study")
_PERIPHERAL, _BASAL = N_("Opacities near the wall of the chest"), N_("Opacities in the lower zones")
_NAMED = N_("%(name)s: %(value)s")
_THIRDS = {"upper": N_("Upper zone"), "middle": N_("Middle zone"), "lower": N_("Lower zone")}
_MISSING, _WHOLE = "–", "0;−0"


def volumes(content: Content, language: Language) -> list[tuple[str, ...]]:
    """A table of both lungs: a head, then a row for each measure; nothing where no lungs are believed."""
    if not content.segmentation:
        return []
    head = ("", *(language.text(name) for name in LUNGS.values()))
    rows = [_row(_VOLUME, content.segmentation.get("lung_volume_ml"), language, "0")]
    if content.detection:
        rows += [
            _row(N_("Ground glass, ml"), content.detection.get("ground_glass_ml"), language, "0"),
            _row(N_("Consolidation, ml"), content.detection.get("consolidation_ml"), language, "0"),
            _row(N_("Affected"), content.detection.get("percent"), language),
            _row(N_("Mean, HU"), content.detection.get("mean_hu"), language, _WHOLE),
        ]
    return [head, *rows]


def _row(name: str, values: Mapping[str, Any] | None, language: Language, form: str = "") -> tuple[str, ...]:
    """Shares where there is no pattern of a number."""
    cells = ((values or {}).get(lung) for lung in LUNGS)
    return (language.text(name), *(_cell(cell, language, form) for cell in cells))


def _cell(value: Any, language: Language, form: str) -> str:
    if not isinstance(value, (int, float)):
        return _MISSING
    return language.decimal(value, form) if form else language.share(value)


def zones(content: Content, language: Language) -> list[tuple[str, ...]]:
    """A table of the six zones: affected share, and the score from 0 to 4 in brackets."""
    severity = content.severity or {}
    affected, scores = severity.get("affected_percent") or {}, severity.get("zones") or {}
    if not scores:
        return []
    rows = [("", *(language.text(LUNGS[lung]) for lung in ("right_lung", "left_lung")))]
    for third, name in _THIRDS.items():
        cells = ((affected.get(f"{side}_{third}"), scores.get(f"{side}_{third}")) for side in ("right", "left"))
        rows.append((language.text(name), *(_scored(share, score, language) for share, score in cells)))
    return rows


def _scored(share: Any, score: Any, language: Language) -> str:
    said = _cell(share, language, "")
    return f"{said} ({score})" if isinstance(score, int) else said


def scores(content: Content, language: Language) -> Iterator[str]:
    """The score of the whole, how the opacities lie, and the change against an earlier CT."""
    severity = content.severity or {}
    if isinstance(severity.get("ct_score"), (int, float)):
        most = severity.get("ct_score_max") or 24
        yield _named(_SCORE, language.text(_OF, score=severity["ct_score"], most=most), language)
    spread = (content.detection or {}).get("distribution") or {}
    for name, key in ((_PERIPHERAL, "peripheral_percent"), (_BASAL, "basal_percent")):
        if isinstance(spread.get(key), (int, float)) and (content.detection or {}).get("percent", {}).get("both"):
            yield _named(name, language.share(spread[key]), language)
    if severity.get("change"):
        yield change(severity["change"], language)


def change(found: Mapping[str, Any], language: Language) -> str:
    """Better or worse than an earlier CT, by how much, and when that was taken."""
    said = language.text(wording.changed(found["verdict"]))
    if isinstance(found.get("percent"), (int, float)):
        said += ", " + language.text(_POINTS, change=language.signed(found["percent"]))
    taken = found.get("acquired_at") or found.get("completed_at")
    return f"{said} ({_named(_EARLIER, language.moment(taken), language)})" if taken else said


def lung_volumes(content: Content, language: Language) -> Iterator[str]:
    """One line of the volumes of the lungs, where they are believed."""
    volumes_ml = (content.segmentation or {}).get("lung_volume_ml") or {}
    told = [
        f"{language.text(name)} {language.decimal(volumes_ml[lung], '0')}"
        for lung, name in LUNGS.items()
        if isinstance(volumes_ml.get(lung), (int, float))
    ]
    if told:
        yield _named(_VOLUME, ", ".join(told), language)


def lesion(found: Mapping[str, Any], language: Language) -> str:
    """Volume, density and slice of a lesion."""
    volume = language.text(_ML, volume=language.decimal(found["volume_ml"], "0.#"))
    density = language.text(_HU, hu=language.decimal(found["mean_hu"], _WHOLE))
    return f"{volume}, {density}, {language.text(SLICE, number=found['slice'])}"


def _named(name: str, value: str, language: Language) -> str:
    return language.text(_NAMED, name=language.text(name), value=value)
