"""The parts of a printed report that only a chest CT has: its key slices without and with marks, and its tables."""

from __future__ import annotations

from collections.abc import Sequence

from edge import wording
from edge.errors import ObjectError
from edge.objects.content import Content
from edge.objects.paper import GREY, MARGIN_MM
from edge.objects.sheet import Sheet
from edge.objects.tomography import measures, plates
from edge.objects.tomography.plates import Picture
from edge.types import N_

_GAP_MM, _CAPTION_MM = 3.0, 4.0
_PLACES = 4
_ROW_MM = 4.2
_CORONAL, _MARKED = N_("Overview from the front"), N_("Below: lungs outlined, ground glass green, consolidation orange")
_Plate = tuple[str, Picture, Picture, float]
"""Name, the picture without and with marks, and its height as a share of its width."""


def pictures(sheet: Sheet) -> None:
    """Key slices from head to feet and, where there is room, the coronal overview: above as they are, below marked."""
    try:
        plates_ = _plates(sheet)
    except ObjectError:
        plates_ = []
    if not plates_:
        sheet.paper.paragraph(sheet.tongue.text(N_("No image to show.")), 9)
        return
    width = (sheet.width - (_PLACES - 1) * _GAP_MM) / _PLACES
    width *= min(1.0, sheet.picture_mm / 2 / (width * max(share for *_, share in plates_)))
    height = width * max(share for *_, share in plates_)
    if sheet.paper.will_page_break(2 * height + 3 * _CAPTION_MM):
        sheet.paper.add_page()
    top = sheet.paper.get_y() + 0.6
    for place, plate in enumerate(plates_):
        _lay(sheet, plate, (MARGIN_MM + place * (width + _GAP_MM), top, width, height))
    sheet.paper.set_xy(MARGIN_MM, top + 2 * height + _CAPTION_MM + 0.6)
    sheet.paper.type(7, colour=GREY)
    sheet.paper.cell(sheet.width, 3.2, sheet.tongue.text(_MARKED))
    sheet.paper.set_xy(MARGIN_MM, top + 2 * height + 2 * _CAPTION_MM + 0.6)


def _plates(sheet: Sheet) -> list[_Plate]:
    content, slices = Content(sheet.case.report), sheet.case.slices
    if slices is None:
        return []
    found: list[_Plate] = []
    _, down_mm, across_mm = slices.meta.spacing_mm
    for number in plates.key_slices(content, slices):
        grey, labels = slices.view(number)
        share = grey.shape[0] * down_mm / (grey.shape[1] * across_mm)
        name = sheet.tongue.text(measures.SLICE, number=number)
        found.append((name, plates.plain(grey), plates.marked(grey, labels, content), share))
    if len(found) < _PLACES:
        grey, labels = slices.coronal()
        share = grey.shape[0] / grey.shape[1]
        found.append((sheet.tongue.text(_CORONAL), plates.plain(grey), plates.marked(grey, labels, content), share))
    return found


def _lay(sheet: Sheet, plate: _Plate, box: tuple[float, float, float, float]) -> None:
    name, plain, marked, share = plate
    x, top, width, height = box
    paper = sheet.paper
    paper.picture(plain, (x, top, width, width * share))
    paper.picture(marked, (x, top + height + _CAPTION_MM, width, width * share))
    paper.set_xy(x, top + height + 0.4)
    paper.type(7, colour=GREY)
    paper.cell(width, 3.2, name)


def numbers(sheet: Sheet) -> None:
    """Volumes on the left; severity, its zones and its change on the right."""
    content, paper, tongue = Content(sheet.case.report), sheet.paper, sheet.tongue
    volumes = measures.volumes(content, tongue)
    if not volumes:
        return
    if paper.will_page_break(44):
        paper.add_page()
    half, top, page = (sheet.width - 6) / 2, paper.get_y(), paper.page
    with paper.column(MARGIN_MM, half):
        paper.heading(tongue.text(N_("Volumes")))
        _table(sheet, volumes, half)
    bottom = paper.get_y()
    if content.severity and paper.page == page:
        paper.set_y(top)
        with paper.column(MARGIN_MM + half + 6, half):
            _severity(sheet, content, half)
    paper.set_xy(MARGIN_MM, max(bottom, paper.get_y()))


def _severity(sheet: Sheet, content: Content, width: float) -> None:
    paper, tongue = sheet.paper, sheet.tongue
    paper.heading(tongue.text(N_("Severity")))
    grading = wording.GRADES.get((content.severity or {}).get("grade", ""))
    if grading:
        paper.spans([(f"{tongue.text(grading.name)}. ", True), (tongue.text(grading.meaning), False)])
    _table(sheet, measures.zones(content, tongue), width)
    for line in measures.scores(content, tongue):
        paper.paragraph(line)


def _table(sheet: Sheet, rows: Sequence[Sequence[str]], width: float) -> None:
    """The first row is a head, the first column names the others."""
    paper = sheet.paper
    for number, (name, *cells) in enumerate(rows):
        paper.type(7.5, colour=GREY)
        paper.cell(width * 0.34, _ROW_MM, name)
        for cell in cells:
            paper.type(7 if number == 0 else 8, bold=number > 0)
            paper.cell(width * 0.66 / len(cells), _ROW_MM, cell, align="R")
        paper.ln(_ROW_MM)
