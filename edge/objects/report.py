"""The printable report of one result: a page for the patient's file, to be checked and signed by a doctor.

It says what the page says, in the same words, and shows no more than the page does: probabilities, marks and
severity beside a claim only, for beside an abstention they would be taken for one. Every page bears the
limits of use. The same case gives the same bytes. Rejected: a template that each clinic fills with
its own letterhead; nobody there could keep the limits on it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import datetime
from typing import TYPE_CHECKING, Any

from edge import wording
from edge.config import PAPERS
from edge.dicom.attributes import header_of
from edge.dicom.image import PatientInfo
from edge.language import speaking
from edge.objects import letters
from edge.objects.figures import findings, numbers
from edge.objects.paper import BLACK, GREY, MARGIN_MM, PALE, Foot, Paper
from edge.objects.plates import pictures
from edge.objects.receipt import UNSIGNED
from edge.objects.sheet import Sheet, note
from edge.objects.tomography import pages
from edge.types import N_, State

if TYPE_CHECKING:
    from edge.objects.case import Case

_PICTURE_MM = (110.0, 100.0, 90.0, 80.0, 70.0, 60.0, 52.0)  # heights that are tried until all stands on one page
_SEVERAL_PAGES_MM = 80.0
_TITLE = N_("Chest radiograph: report of a program")
_TITLES = {wording.CT: N_("Chest CT: report of a program")}
_GENUINE = N_("Receipt: chest-edge receipt verify tells whether it is genuine.")
_UNSIGNED = N_("No receipt: a command made this report, no box keeps its reading, and nobody can check this paper.")


def pdf(case: Case) -> bytes:
    """The report as a PDF, the same bytes for the same case in the same time zone.

    Raises
    ------
    ValueError
        For another size of paper, without a receipt and not ``UNSIGNED``.
    """
    if case.paper not in PAPERS or not case.receipt:
        raise ValueError(f"expected a receipt and a size of paper among {PAPERS}, got {case.paper!r}")
    for picture_mm in _PICTURE_MM:
        with closing(_written(case, picture_mm)) as written:
            if written.page_no() == 1:
                return bytes(written.output())
    with closing(_written(case, _SEVERAL_PAGES_MM)) as written:
        return bytes(written.output())


def _written(case: Case, picture_mm: float) -> Paper:
    tongue = speaking(case.language)
    classification = case.report.get("classification") or {}
    modality = case.report.get("modality") or ""
    verdict = wording.verdict(
        State(case.report["state"]), classification.get("decision"), classification.get("probabilities"), modality
    )
    foot = Foot(
        limits=f"{tongue.text(wording.RESEARCH)}. {tongue.text(wording.UNVERIFIED)}.",
        origin=f"{case.study_key} · {tongue.text(N_('Version'))} {case.version}",
        page=tongue.text(N_("Page %(page)s of %(count)s")),
    )
    paper = Paper(case.paper, tongue.code, datetime.fromisoformat(case.report["completed_at"]), foot)
    paper.set_title(tongue.text(_TITLES.get(modality, _TITLE)))
    sheet = Sheet(paper, case, tongue, verdict, picture_mm)
    for part in _PARTS_OF_CT if modality == wording.CT else _PARTS:
        part(sheet)
    return paper


def _head(sheet: Sheet) -> None:
    paper, tongue = sheet.paper, sheet.tongue
    top = paper.get_y()
    with paper.column(MARGIN_MM, sheet.width * 0.6):
        paper.paragraph(tongue.text(_TITLES.get(sheet.result.get("modality") or "", _TITLE)), 13, bold=True)
        paper.paragraph(f"Chest Edge {sheet.result['software_version']}", 7, colour=GREY)
    bottom = paper.get_y()
    paper.set_y(top)
    with paper.column(MARGIN_MM + sheet.width * 0.62, sheet.width * 0.38):
        paper.paragraph(tongue.text(wording.UNVERIFIED), 11, bold=True)
        paper.paragraph(tongue.text(wording.RESEARCH), 8, bold=True)
    paper.set_y(max(bottom, paper.get_y()) + 1)


def _identity(sheet: Sheet) -> None:
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
        said = N_("%(sign)s stands for letters that the box cannot print. Go by the patient number.")
        paper.paragraph(tongue.text(said, sign=letters.UNPRINTABLE), 7.5, bold=True)
        row = paper.get_y() + 0.5
    paper.line(MARGIN_MM, row, MARGIN_MM + sheet.width, row)
    paper.set_xy(MARGIN_MM, row + 1.2)


def _known(sheet: Sheet) -> list[tuple[str, str]]:
    header, tongue = header_of(sheet.case.source), sheet.tongue
    patient, taken = header.patient or PatientInfo(), header.acquired_at
    sex = wording.SEXES.get(patient.sex)
    return [
        (N_("Patient"), wording.person(patient.name) or tongue.text(N_("No name"))),
        (N_("Patient number"), wording.printable(patient.patient_id)),
        (N_("Accession number"), wording.printable(header.accession_number)),
        (N_("Born"), tongue.calendar(patient.birth_date) if patient.birth_date else ""),
        (N_("Study date"), tongue.calendar(taken.date()) if taken else ""),
        (N_("Sex"), tongue.text(sex) if sex else ""),
    ]


def _decision(sheet: Sheet) -> None:
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
            note(sheet, reason)


def _quality(sheet: Sheet) -> None:
    said = {reason["code"] for reason in sheet.result.get("reasons") or ()}
    noticed = [remark for remark in sheet.result.get("quality") or () if remark["code"] not in said]
    if noticed:
        sheet.paper.heading(sheet.tongue.text(N_("Image quality")))
        for remark in noticed:
            note(sheet, remark)


def _limits(sheet: Sheet) -> None:
    tongue = sheet.tongue
    sheet.paper.heading(tongue.text(N_("Limits of use")))
    sheet.paper.paragraph(" ".join(tongue.text(limit) for limit in wording.limits(sheet.result.get("modality"))), 6.8)


def _signature(sheet: Sheet) -> None:
    paper, tongue, height = sheet.paper, sheet.tongue, 36.0
    if paper.will_page_break(height):
        paper.add_page()
    top = paper.h - paper.b_margin - height + 1
    is_signed = sheet.case.receipt != UNSIGNED
    if is_signed:
        paper.qr(sheet.case.receipt, MARGIN_MM + sheet.width - 34, top, 34)
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
        paper.paragraph(tongue.text(_GENUINE if is_signed else _UNSIGNED), 6.5)
        paper.paragraph(_models(sheet), 6, colour=GREY)


def _models(sheet: Sheet) -> str:
    used = {stage["model"]: _model(stage) for stage in sheet.result.get("stages") or () if stage.get("model")}
    box = [] if sheet.case.receipt == UNSIGNED else [f"{sheet.tongue.text(N_('Box'))} {sheet.case.box_id}"]
    return " · ".join([f"Chest Edge {sheet.result['software_version']}", *used.values(), *box])


def _model(stage: Mapping[str, Any]) -> str:
    sha256, precision = (stage.get("model_sha256") or "")[:8], (stage.get("model_precision") or "").upper()
    return " ".join(filter(None, (stage["model"], stage.get("model_version"), sha256, precision)))


_PARTS: tuple[Callable[[Sheet], None], ...] = (
    _head,
    _identity,
    _decision,
    pictures,
    numbers,
    findings,
    _quality,
    _limits,
    _signature,
)
_PARTS_OF_CT: tuple[Callable[[Sheet], None], ...] = (
    *_PARTS[:3],
    pages.pictures,
    pages.numbers,
    *_PARTS[5:],
)
