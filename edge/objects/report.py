"""The printable report of one result: a page for the patient's file, to be checked and signed by a doctor.

It says what the page says, in the same words, and shows no more than the page does: probabilities, marks and
severity beside a claim only, for beside an abstention they would be taken for one. Every page bears the
limits of use. The same case gives the same bytes. Rejected: a template that each clinic fills with
its own letterhead; nobody there could keep the limits on it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any

from edge import overlay, wording
from edge.dicom.attributes import header_of
from edge.language import Language, speaking
from edge.objects import letters
from edge.objects.case import Case
from edge.objects.paper import BLACK, GREY, MARGIN_MM, PALE, WHITE, Colour, Foot, Paper, Points
from edge.types import N_, State

PAPERS = ("a4", "letter")
_PICTURE_MM = (110.0, 100.0, 90.0, 80.0, 70.0, 60.0)  # heights that are tried until all stands on one page
_GAP_MM = 4.0
_CLAIMS = (wording.Kind.NORMAL, wording.Kind.ABNORMAL)
_COLOURS: Mapping[str, Colour] = MappingProxyType(
    {
        "right_lung": (90, 200, 250),
        "left_lung": (90, 200, 250),
        "heart": (255, 214, 102),
        "heart_line": (255, 214, 102),
        "thorax_line": (255, 255, 255),
        "ground_glass_opacity": (255, 150, 60),
        "consolidation": (255, 80, 80),
    }
)
_DASHES_MM: Mapping[str, float] = MappingProxyType({"ground_glass_opacity": 1.2})


@dataclass(frozen=True, slots=True)
class _Sheet:
    """A report while it is written.

    Attributes
    ----------
    result : what of ``chest-edge/result/1`` may be shown.
    picture_mm : greatest height of the pictures.
    """

    paper: Paper
    case: Case
    tongue: Language
    verdict: wording.Verdict
    receipt: str
    picture_mm: float

    @property
    def result(self) -> Mapping[str, Any]:
        return self.case.report

    @property
    def is_claim(self) -> bool:
        return self.verdict.kind in _CLAIMS

    @property
    def width(self) -> float:
        return float(self.paper.w) - 2 * MARGIN_MM


def pdf(case: Case, paper: str, receipt_text: str) -> bytes:
    """The report as a PDF, the same bytes for the same case in the same time zone.

    Parameters
    ----------
    paper : one of ``PAPERS``.
    receipt_text : goes into the QR code (``edge.objects.receipt``).

    Raises
    ------
    ValueError
        For another size of paper.
    """
    if paper not in PAPERS:
        raise ValueError(f"expected a size of paper among {PAPERS}, got {paper!r}")
    for picture_mm in _PICTURE_MM:
        written = _written(case, paper, receipt_text, picture_mm)
        if written.page_no() == 1:
            return bytes(written.output())
    return bytes(_written(case, paper, receipt_text, _PICTURE_MM[3]).output())


def _written(case: Case, size: str, receipt_text: str, picture_mm: float) -> Paper:
    tongue = speaking(case.language)
    classification = case.report.get("classification") or {}
    verdict = wording.verdict(
        State(case.report["state"]), classification.get("decision"), classification.get("probabilities")
    )
    foot = Foot(
        limits=f"{tongue.text(wording.RESEARCH)}. {tongue.text(wording.UNVERIFIED)}.",
        origin=f"{case.study_key} · {tongue.text(N_('Version'))} {case.version}",
        page=tongue.text(N_("Page %(page)s of %(count)s")),
    )
    paper = Paper(size, tongue.code, datetime.fromisoformat(case.report["completed_at"]), foot)
    paper.set_title(tongue.text(N_("Chest radiograph: report of a program")))
    sheet = _Sheet(paper, case, tongue, verdict, receipt_text, picture_mm)
    for part in _PARTS:
        part(sheet)
    return paper


def _head(sheet: _Sheet) -> None:
    paper, tongue = sheet.paper, sheet.tongue
    top = paper.get_y()
    with paper.column(MARGIN_MM, sheet.width * 0.6):
        paper.paragraph(tongue.text(N_("Chest radiograph: report of a program")), 13, bold=True)
        paper.paragraph(f"Chest Edge {sheet.result['software_version']}", 7, colour=GREY)
    bottom = paper.get_y()
    paper.set_y(top)
    with paper.column(MARGIN_MM + sheet.width * 0.62, sheet.width * 0.38):
        paper.paragraph(tongue.text(wording.UNVERIFIED), 11, bold=True)
        paper.paragraph(tongue.text(wording.RESEARCH), 8, bold=True)
    paper.set_y(max(bottom, paper.get_y()) + 1)


def _identity(sheet: _Sheet) -> None:
    paper, tongue = sheet.paper, sheet.tongue
    facts = [(tongue.text(name), letters.printable(value)) for name, value in _known(sheet)]
    for _, value in facts:
        paper.can_print(value)
    paper.whose = " · ".join(value for _, value in facts[:2] if value)
    widths = [sheet.width * share for share in (0.46, 0.31, 0.23)]
    paper.set_draw_color(*BLACK)
    paper.set_line_width(0.3)
    start = paper.get_y()
    paper.line(MARGIN_MM, start, MARGIN_MM + sheet.width, start)
    row = start + 1
    for first in range(0, len(facts), len(widths)):
        ends = []
        for place, (name, value) in enumerate(facts[first : first + len(widths)]):
            paper.set_xy(MARGIN_MM + sum(widths[:place]), row)
            paper.type(6.5, colour=GREY)
            paper.cell(widths[place], 3, name, new_x="LEFT", new_y="NEXT")
            paper.fitted(value or "–", widths[place], 10 if first == 0 and place == 0 else 9)
            ends.append(paper.get_y())
        row = max(ends) + 0.6
    if any(letters.UNPRINTABLE in value for _, value in facts):
        paper.set_xy(MARGIN_MM, row)
        note = N_("%(sign)s stands for letters that the box cannot print. Go by the patient number.")
        paper.paragraph(tongue.text(note, sign=letters.UNPRINTABLE), 7.5, bold=True)
        row = paper.get_y() + 0.5
    paper.line(MARGIN_MM, row, MARGIN_MM + sheet.width, row)
    paper.set_xy(MARGIN_MM, row + 1.2)


def _known(sheet: _Sheet) -> list[tuple[str, str]]:
    header, tongue = header_of(sheet.case.source), sheet.tongue
    patient, taken = header.patient, header.acquired_at
    sex = wording.SEXES.get(patient.sex)
    return [
        (N_("Patient"), wording.person(patient.name) or tongue.text(N_("No name"))),
        (N_("Patient number"), wording.printable(patient.patient_id)),
        (N_("Accession number"), wording.printable(header.accession_number)),
        (N_("Born"), tongue.calendar(patient.birth_date) if patient.birth_date else ""),
        (N_("Study date"), tongue.calendar(taken.date()) if taken else ""),
        (N_("Sex"), tongue.text(sex) if sex else ""),
    ]


def _decision(sheet: _Sheet) -> None:
    paper, tongue = sheet.paper, sheet.tongue
    paper.set_fill_color(*PALE)
    top = paper.get_y()
    paper.rect(MARGIN_MM, top, sheet.width, 8.4, style="F")
    paper.set_xy(MARGIN_MM + 2, top + 1.4)
    paper.type(13, bold=True)
    paper.cell(sheet.width * 0.6, 5.6, tongue.text(sheet.verdict.text))
    paper.type(7.5)
    read = f"{tongue.text(N_('Read'))}: {tongue.moment(sheet.result['completed_at'])}"
    paper.cell(sheet.width * 0.4 - 4, 5.6, read, align="R")
    paper.set_xy(MARGIN_MM, top + 9.6)
    if sheet.verdict.kind is not wording.Kind.NORMAL:
        for reason in sheet.result.get("reasons") or ():
            _remark(sheet, reason)


def _remark(sheet: _Sheet, remark: Mapping[str, Any]) -> None:
    tongue, advice = sheet.tongue, sheet.tongue.advice(remark)
    word = tongue.text(wording.SEVERITIES.get(remark["severity"], remark["severity"]))
    said = letters.printable(tongue.say(remark))
    sheet.paper.can_print(said)
    sheet.paper.spans([(f"{word}: ", True), (said, False), (f" {advice}" if advice else "", True)], 8)


def _pictures(sheet: _Sheet) -> None:
    paper, tongue, view = sheet.paper, sheet.tongue, sheet.case.view
    if not view.size:
        paper.paragraph(tongue.text(N_("No image to show.")), 9)
        return
    rows, columns = view.shape
    scale = min(sheet.picture_mm / rows, (sheet.width - _GAP_MM) / 2 / columns)
    width, height = columns * scale, rows * scale
    if paper.will_page_break(height + 5):
        paper.add_page()
    top = paper.get_y() + 0.6
    captions = [tongue.text(N_("Image, as the box received it")), *_legend(sheet)]
    left = MARGIN_MM + (sheet.width - len(captions) * (width + _GAP_MM) + _GAP_MM) / 2
    for place, caption in enumerate(captions):
        x = left + place * (width + _GAP_MM)
        paper.picture(view, (x, top, width, height))
        if place:
            _draw(sheet, (x, top), scale)
        paper.set_xy(x, top + height + 0.5)
        paper.type(7, colour=GREY)
        paper.cell(width, 3.2, caption)
    paper.set_xy(MARGIN_MM, top + height + 4)


def _draw(sheet: _Sheet, corner: tuple[float, float], scale: float) -> None:
    rows, columns = sheet.case.view.shape
    segmentation, paper = sheet.result.get("segmentation"), sheet.paper

    def placed(points: Sequence[tuple[float, float]]) -> Points:
        return [(corner[0] + x * scale, corner[1] + y * scale) for x, y in points]

    for outline in overlay.outlines(segmentation, columns, rows):
        for line in overlay.points(outline.path):
            paper.outline(placed(line), _COLOURS[outline.organ], 0.3)
    for measured in overlay.lines(segmentation, columns, rows):
        for line in overlay.points(measured.path):
            paper.line_between(placed(line), _COLOURS[measured.organ])
    for mark in overlay.marks(sheet.result.get("findings"), segmentation, columns, rows) if sheet.is_claim else ():
        colour = _COLOURS.get(mark.code, WHITE)
        for line in overlay.points(mark.path):
            paper.outline(placed(line), colour, 0.4, _DASHES_MM.get(mark.code, 0))
        x, y = placed([mark.box[:2]])[0]
        paper.set_fill_color(*BLACK)
        paper.rect(x, y, 3.6, 3.6, style="F")
        paper.type(8, bold=True, colour=WHITE)
        paper.set_xy(x, y)
        paper.cell(3.6, 3.6, str(mark.number), align="C")


def _legend(sheet: _Sheet) -> list[str]:
    """What stands below the picture with all that was drawn on it; nothing where nothing was."""
    tongue = sheet.tongue
    if not overlay.outlines(sheet.result.get("segmentation"), 1, 1):
        return []
    told = [tongue.text(N_("Lungs and heart outlined"))]
    codes = {finding["code"] for finding in sheet.result.get("findings") or ()} if sheet.is_claim else set()
    marks = {"ground_glass_opacity": N_("ground glass dashed"), "consolidation": N_("consolidation solid")}
    return [", ".join([*told, *(tongue.text(text) for code, text in marks.items() if code in codes)])]


def _numbers(sheet: _Sheet) -> None:
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


def _probabilities(sheet: _Sheet) -> None:
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


def _heart(sheet: _Sheet) -> Mapping[str, Any] | None:
    measured: Mapping[str, Any] | None = (sheet.result.get("segmentation") or {}).get("cardiothoracic")
    return measured


def _cardiothoracic(sheet: _Sheet) -> None:
    heart = _heart(sheet)
    if heart:
        ratio = sheet.tongue.decimal(heart["ratio"], "0.00")
        usual = sheet.tongue.text(N_("usual in a standing adult, PA: up to 0.50")).replace(
            "0.50", sheet.tongue.decimal(0.5, "0.00")
        )
        name = sheet.tongue.text(N_("Cardiothoracic ratio"))
        sheet.paper.spans([(f"{name}: ", False), (ratio, True), (f" ({usual})", False)])


def _severity(sheet: _Sheet, severity: Mapping[str, Any]) -> None:
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
                paper.spans([(f"{tongue.text(name)}: ", False), (tongue.decimal(severity[key]), True), (f" / {most}", False)])
        if isinstance(severity.get("percent"), (int, float)):
            affected = tongue.text(N_("Affected"))
            paper.spans([(f"{affected}: ", False), (tongue.share(severity["percent"]), True)])
    paper.set_xy(left, max(bottom, paper.get_y()))
    _change(sheet, severity.get("change") or {})


def _zones(sheet: _Sheet, zones: Mapping[str, Any], left: float, top: float) -> float:
    """The six zones as they lie on the image, the darker the denser; returns where they end."""
    paper, tongue = sheet.paper, sheet.tongue
    for column, side in enumerate(("right", "left")):
        paper.set_xy(left + 21 * column, top)
        paper.type(6.5, colour=GREY)
        paper.cell(20, 3, tongue.text(N_("Right") if side == "right" else N_("Left")), align="C")
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


def _change(sheet: _Sheet, change: Mapping[str, Any]) -> None:
    tongue = sheet.tongue
    if not change:
        return
    said = tongue.text(wording.CHANGES.get(change["verdict"], change["verdict"]))
    taken = change.get("acquired_at") or change.get("completed_at")
    earlier = f" ({tongue.text(N_('Earlier study'))}: {tongue.moment(taken)})" if taken else ""
    total = f", Brixia {tongue.signed(change['brixia'])}" if isinstance(change.get("brixia"), (int, float)) else ""
    sheet.paper.spans([(said, True), (total + earlier, False)])


def _findings(sheet: _Sheet) -> None:
    found = sheet.result.get("findings") or ()
    if not sheet.is_claim or not sheet.result.get("detection"):
        return
    paper, tongue = sheet.paper, sheet.tongue
    paper.heading(tongue.text(N_("Opacities on the image")))
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
                paper.spans([(f"{first + place + 1}  ", True), *_told(tongue, finding)], 7.5)
            ends.append(paper.get_y())
        paper.set_y(max(ends))


def _told(tongue: Language, finding: Mapping[str, Any]) -> list[tuple[str, bool]]:
    name = tongue.text(wording.FINDINGS.get(finding["code"], finding["code"]))
    share = tongue.text(N_("%(share)s of this lung"), share=tongue.share(finding["lung_percent"]))
    sure = tongue.text(N_("confidence %(confidence)s"), confidence=tongue.percent(finding["confidence"]))
    return [(name, True), (f" · {tongue.text(wording.place(finding))} · {share} · {sure}", False)]


def _quality(sheet: _Sheet) -> None:
    said = {reason["code"] for reason in sheet.result.get("reasons") or ()}
    noticed = [remark for remark in sheet.result.get("quality") or () if remark["code"] not in said]
    if noticed:
        sheet.paper.heading(sheet.tongue.text(N_("Image quality")))
        for remark in noticed:
            _remark(sheet, remark)


def _limits(sheet: _Sheet) -> None:
    tongue = sheet.tongue
    sheet.paper.heading(tongue.text(N_("Limits of use")))
    sheet.paper.paragraph(" ".join(tongue.text(limit) for limit in wording.LIMITS), 6.8)


def _signature(sheet: _Sheet) -> None:
    paper, tongue, height = sheet.paper, sheet.tongue, 36.0
    if paper.will_page_break(height):
        paper.add_page()
    top = paper.h - paper.b_margin - height + 1
    paper.qr(sheet.receipt, MARGIN_MM + sheet.width - 34, top, 34)
    paper.set_y(top + 1)
    with paper.column(MARGIN_MM, sheet.width - 38):
        paper.type(8, bold=True)
        paper.paragraph(tongue.text(N_("Checked by a doctor, who decides:")), 8.5, bold=True)
        paper.ln(7)
        line, width = paper.get_y(), sheet.width - 38
        paper.set_draw_color(*BLACK)
        paper.set_line_width(0.25)
        for x, part, name in ((0, 0.42, N_("Name")), (0.45, 0.18, N_("Date")), (0.66, 0.34, N_("Signature"))):
            paper.line(MARGIN_MM + x * width, line, MARGIN_MM + (x + part) * width, line)
            paper.set_xy(MARGIN_MM + x * width, line + 0.4)
            paper.type(6.5, colour=GREY)
            paper.cell(part * width, 3, tongue.text(name))
        paper.set_xy(MARGIN_MM, line + 5)
        paper.paragraph(tongue.text(N_("Receipt: chest-edge receipt verify tells whether it is genuine.")), 6.5)
        paper.paragraph(_models(sheet), 6, colour=GREY)


def _models(sheet: _Sheet) -> str:
    used = {
        stage["model"]: f"{stage['model']} {stage.get('model_version') or ''} {(stage.get('model_sha256') or '')[:8]}"
        f" {(stage.get('model_precision') or '').upper()}"
        for stage in sheet.result.get("stages") or ()
        if stage.get("model")
    }
    box = f"{sheet.tongue.text(N_('Box'))} {sheet.case.box_id}"
    return " · ".join([f"Chest Edge {sheet.result['software_version']}", *(" ".join(m.split()) for m in used.values()), box])


_PARTS: tuple[Callable[[_Sheet], None], ...] = (
    _head,
    _identity,
    _decision,
    _pictures,
    _numbers,
    _findings,
    _quality,
    _limits,
    _signature,
)
