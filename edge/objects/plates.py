"""The image on a printed report, and beside it the same with what the box outlined and marked.

Outlines are lines of the paper, not of the image, so that they stay sharp at any size; each has a dark
rim, and the two sorts of opacity differ in more than colour, for printers without any.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from edge import overlay
from edge.objects.paper import BLACK, GREY, MARGIN_MM, WHITE, Colour, Points
from edge.objects.sheet import Sheet
from edge.types import N_

_GAP_MM = 4.0
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


def pictures(sheet: Sheet) -> None:
    """The image, and beside it the image with all that the box marked on it."""
    paper, tongue, view = sheet.paper, sheet.tongue, sheet.case.view
    if min(view.shape) < 2:  # where there is none
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


def _draw(sheet: Sheet, corner: tuple[float, float], scale: float) -> None:
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


def _legend(sheet: Sheet) -> list[str]:
    """What stands below the picture with all that was drawn on it; nothing where nothing was."""
    tongue = sheet.tongue
    if not overlay.outlines(sheet.result.get("segmentation"), 1, 1):
        return []
    told = [tongue.text(N_("Lungs and heart outlined"))]
    codes = {finding["code"] for finding in sheet.result.get("findings") or ()} if sheet.is_claim else set()
    marks = {"ground_glass_opacity": N_("ground glass dashed"), "consolidation": N_("consolidation solid")}
    return [", ".join([*told, *(tongue.text(text) for code, text in marks.items() if code in codes)])]
