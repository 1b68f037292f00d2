"""The numbers on a printed report: probabilities, cardiothoracic ratio, severity with its six zones, findings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edge import wording
from edge.objects.paper import BLACK, GREY, MARGIN_MM, PALE
from edge.objects.sheet import Sheet
from edge.objects.tomography import measures
from edge.types import N_


def numbers(sheet: Sheet) -> None:
    """Probabilities and cardiothoracic ratio on the left, severity on the right."""
    if not sheet.is_claim and not _heart(sheet):
        return
    paper = sheet.paper
    if paper.will_page_break(44):
        paper.add_page()
    half, top, page = (sheet.width - 6) / 2, paper.get_y(), paper.page
    with paper.column(MARGIN_MM, half):
        if sheet.is_claim:
            _probabilities(sheet)
        _cardiothoracic(sheet)
    bottom = paper.get_y()
    if paper.page == page:
        paper.set_y(top)
    if sheet.is_claim and sheet.result.get("severity"):
        with paper.column(MARGIN_MM + half + 6, half):
            _severity(sheet, sheet.result["severity"])
    paper.set_xy(MARGIN_MM, max(bottom, paper.get_y()) if paper.page == page else paper.get_y())


def _probabilities(sheet: Sheet) -> None:
    paper, tongue = sheet.paper, sheet.tongue
    classification = sheet.result.get("classification") or {}
    shown = {name: p for name, p in (classification.get("probabilities") or {}).items() if p is not None}
    paper.heading(tongue.text(N_("Probabilities")))
    for name, probability in sorted(shown.items(), key=lambda bar: -bar[1]):
        top = paper.get_y()
        paper.type(8)
        paper.cell(36, 4, tongue.text(wording.CLASSES.get(name, name)))
        paper.set_fill_color(*PALE)
        paper.rect(paper.l_margin + 37, top + 0.9, 34, 2.2, style="F")
        paper.set_fill_color(*BLACK)
        paper.rect(paper.l_margin + 37, top + 0.9, 34 * probability, 2.2, style="F")
        paper.cell(0, 4, tongue.percent(probability), align="R", new_x="LMARGIN", new_y="NEXT")
    likely = [tongue.text(wording.CLASSES.get(name, name)) for name in classification.get("set") or ()]
    if likely:
        paper.spans([(tongue.text(N_("Looks most like:")) + " ", False), (", ".join(likely), True)])
    if classification.get("group"):
        paper.paragraph(tongue.text(wording.GROUPS.get(classification["group"], classification["group"])), 7)


def _heart(sheet: Sheet) -> Mapping[str, Any] | None:
    measured: Mapping[str, Any] | None = (sheet.result.get("segmentation") or {}).get("cardiothoracic")
    return measured


def _cardiothoracic(sheet: Sheet) -> None:
    heart = _heart(sheet)
    if heart:
        ratio = sheet.tongue.decimal(heart["ratio"], "0.00")
        usual = sheet.tongue.text(N_("usual in a standing adult, PA: up to 0.50")).replace(
            "0.50", sheet.tongue.decimal(0.5, "0.00")
        )
        name = sheet.tongue.text(N_("Cardiothoracic ratio"))
        sheet.paper.spans([(f"{name}: ", False), (ratio, True), (f" ({usual})", False)])


def _severity(sheet: Sheet, severity: Mapping[str, Any]) -> None:
    paper, tongue = sheet.paper, sheet.tongue
    paper.heading(tongue.text(N_("Severity")))
    grading = wording.GRADES.get(severity.get("grade", ""))
    if grading:
        paper.spans([(f"{tongue.text(grading.name)}. ", True), (tongue.text(grading.meaning), False)])
    left, top = paper.l_margin, paper.get_y() + 0.4
    bottom = _zones(sheet, severity.get("zones") or {}, left, top)
    paper.set_y(top)
    with paper.column(left + 44, sheet.width + MARGIN_MM - left - 44):
        for name, key, most in (("Extent", "extent", 8), ("Opacity", "opacity", 6), ("Brixia", "brixia", 18)):
            if isinstance(severity.get(key), (int, float)):
                paper.spans(
                    [(f"{tongue.text(name)}: ", False), (tongue.decimal(severity[key]), True), (f" / {most}", False)]
                )
        if isinstance(severity.get("percent"), (int, float)):
            affected = tongue.text(N_("Affected"))
            paper.spans([(f"{affected}: ", False), (tongue.share(severity["percent"]), True)])
    paper.set_xy(left, max(bottom, paper.get_y()))
    _change(sheet, severity.get("change") or {})


def _zones(sheet: Sheet, zones: Mapping[str, Any], left: float, top: float) -> float:
    """The six zones as they lie on the image, the darker the denser; returns where they end."""
    paper, tongue = sheet.paper, sheet.tongue
    for column, side in enumerate(("right", "left")):
        paper.set_xy(left + 21 * column, top)
        paper.type(6.5, colour=GREY)
        name = N_("Right") if side == "right" else N_("Left")
        paper.cell(20, 3, tongue.text(name) if sheet.knows_sides else "", align="C")
        for row, third in enumerate(("upper", "middle", "lower")):
            score = zones.get(f"{side}_{third}")
            shade = 255 - round(50 * score) if isinstance(score, (int, float)) else 255
            paper.set_fill_color(shade, shade, shade)
            paper.set_draw_color(*BLACK)
            paper.set_line_width(0.2)
            paper.set_xy(left + 21 * column, top + 3 + 5.2 * row)
            paper.type(8.5, bold=True)
            text = tongue.decimal(score) if isinstance(score, (int, float)) else "–"
            paper.cell(20, 5, text, border=1, align="C", fill=True)
    return top + 3 + 5.2 * 3 + 0.4


def _change(sheet: Sheet, change: Mapping[str, Any]) -> None:
    tongue = sheet.tongue
    if not change:
        return
    said = tongue.text(wording.changed(change["verdict"]))
    taken = change.get("acquired_at") or change.get("completed_at")
    earlier = f" ({tongue.text(N_('Earlier study'))}: {tongue.moment(taken)})" if taken else ""
    total = f", Brixia {tongue.signed(change['brixia'])}" if isinstance(change.get("brixia"), (int, float)) else ""
    sheet.paper.spans([(said, True), (total + earlier, False)])


def findings(sheet: Sheet) -> None:
    """What was marked, by the numbers that stand on the image."""
    found = sheet.result.get("findings") or ()
    if not sheet.is_claim or not sheet.result.get("detection"):
        return
    paper, tongue = sheet.paper, sheet.tongue
    paper.heading(tongue.text(N_("Lesions") if sheet.is_tomography else N_("Opacities on the image")))
    if not found:
        paper.paragraph(tongue.text(N_("None was marked.")))
    half = (sheet.width - 6) / 2
    for first in range(0, len(found), 2):
        if paper.will_page_break(8):
            paper.add_page()
        top, ends = paper.get_y(), []
        for place, finding in enumerate(found[first : first + 2]):
            paper.set_y(top)
            with paper.column(MARGIN_MM + place * (half + 6), half):
                paper.spans([(f"{first + place + 1}  ", True), *_told(sheet, finding)], 7.5)
            ends.append(paper.get_y())
        paper.set_y(max(ends))


def _told(sheet: Sheet, finding: Mapping[str, Any]) -> list[tuple[str, bool]]:
    tongue, place = sheet.tongue, wording.place(finding, knows_sides=sheet.knows_sides)
    name = tongue.text(wording.FINDINGS.get(finding["code"], finding["code"]))
    share = tongue.text(N_("%(share)s of this lung"), share=tongue.share(finding["lung_percent"]))
    if sheet.is_tomography:
        return [(name, True), (f" · {tongue.text(place)} · {share} · {measures.lesion(finding, tongue)}", False)]
    sure = tongue.text(N_("confidence %(confidence)s"), confidence=tongue.percent(finding["confidence"]))
    return [(name, True), (f" · {tongue.text(place)} · {share} · {sure}", False)]
