"""A sheet of paper, A4 or letter: fonts, foot, columns, and how a radiograph and a QR code are drawn.

Lengths are in millimetres, sizes of letters in points. The same content gives the same bytes.
Rejected: a browser that prints the page; it is no part of the box.
"""

from __future__ import annotations

import io
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt
import segno
from fpdf import FPDF
from fpdf.enums import Align, XPos, YPos
from fpdf.fonts import TTFFont
from PIL import Image

from edge.objects import letters

MARGIN_MM = 14.0
_FOOT_MM = 16.0
_TEXT, _FAMILY = 8.0, "text"
_LEADING = 0.46  # mm a point
_MOST_PX = 1400
_JPEG_QUALITY = 92

Colour = tuple[int, int, int]
Points = Sequence[tuple[float, float]]
BLACK, GREY, PALE, WHITE = (0, 0, 0), (96, 96, 96), (215, 215, 215), (255, 255, 255)


@dataclass(frozen=True, slots=True, kw_only=True)
class Foot:
    """What stands at the foot of each page: the limits of use, and which result it is."""

    limits: str
    origin: str
    page: str


class Paper(FPDF):
    """Pages of one size.

    Parameters
    ----------
    size : ``a4`` or ``letter``.
    language : its code, for those who read the file aloud.
    created_at : aware; the only time that the file holds.
    """

    def __init__(self, size: str, language: str, created_at: datetime, foot: Foot) -> None:
        super().__init__(format=size)
        self._foot = foot
        self.whose = ""
        """Printed at the head of every further page, which may get lost among others."""
        self.set_creation_date(created_at)
        self.set_producer("Chest Edge")
        self.set_lang(language)
        self.set_margin(MARGIN_MM)
        self.c_margin = 0
        self.set_auto_page_break(True, _FOOT_MM)
        self.add_font(_FAMILY, "", letters.REGULAR)
        self.add_font(_FAMILY, "B", letters.BOLD)
        self.type()
        self.add_page()

    def type(self, points: float = _TEXT, *, bold: bool = False, colour: Colour = BLACK) -> None:
        """Set the letters for what comes."""
        self.set_font(_FAMILY, "B" if bold else "", points)
        self.set_text_color(*colour)

    def close(self) -> None:
        """Close the files of the fonts."""
        for font in self.fonts.values():
            if isinstance(font, TTFFont):
                font.ttfont.close()

    def header(self) -> None:
        """The head of a further page; the library calls this."""
        if self.whose:
            self.type(8, bold=True)
            self.cell(0, 4, self.whose, new_x=XPos.LMARGIN, new_y=YPos.NEXT)
            self.ln(1)

    def footer(self) -> None:
        """The foot of a page; the library calls this."""
        with self.local_context():
            self.set_draw_color(*GREY)
            self.set_line_width(0.2)
            self.line(MARGIN_MM, self.h - _FOOT_MM + 3, self.w - MARGIN_MM, self.h - _FOOT_MM + 3)
            for text, align, bold in (
                (self._foot.origin, Align.L, False),
                (self._foot.page % {"page": self.page_no(), "count": "{nb}"}, Align.R, False),
            ):
                self.set_xy(MARGIN_MM, self.h - _FOOT_MM + 8.2)
                self.type(6.5, bold=bold, colour=GREY)
                self.cell(self.w - 2 * MARGIN_MM, 3.4, text, align=align)
            self.set_xy(MARGIN_MM, self.h - _FOOT_MM + 4)
            self.type(8, bold=True)
            self.cell(self.w - 2 * MARGIN_MM, 4, self._foot.limits, align=Align.C)

    def normalize_text(self, text: str) -> str:
        """Text as it is set; the library calls this. The fonts have no minus, which looks like a dash."""
        return str(super().normalize_text(text.replace("−", "–")))

    def can_print(self, text: str) -> None:
        """Load the fonts that a text needs (``letters.printable``)."""
        for font in letters.needed(text):
            if font.name not in self.fonts:
                self.add_font(font.name, "", font.path)
        self.set_fallback_fonts([font.name for font in letters.FONTS if font.name in self.fonts], exact_match=False)

    @contextmanager
    def column(self, left_mm: float, width_mm: float) -> Generator[None, None, None]:
        """Lines within these bounds; then the cursor stands below them, at the left margin of the page."""
        before = self.l_margin, self.r_margin
        self.set_margins(left_mm, self.t_margin, self.w - left_mm - width_mm)
        self.set_x(left_mm)
        try:
            yield
        finally:
            self.set_margins(before[0], self.t_margin, before[1])
            self.set_x(before[0])

    def heading(self, text: str) -> None:
        """The title of a part, kept together with its first lines."""
        if self.will_page_break(14):
            self.add_page()
        self.ln(1.6)
        self.type(9, bold=True)
        self.multi_cell(0, 4.4, text, align=Align.L, new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        self.set_draw_color(*GREY)
        self.set_line_width(0.2)
        self.line(self.l_margin, self.get_y(), self.w - self.r_margin, self.get_y())
        self.ln(0.9)

    def paragraph(self, text: str, points: float = _TEXT, *, bold: bool = False, colour: Colour = BLACK) -> None:
        """Text that wraps."""
        self.type(points, bold=bold, colour=colour)
        self.multi_cell(0, points * _LEADING, text, align=Align.L, new_x=XPos.LMARGIN, new_y=YPos.NEXT)

    def spans(self, spans: Iterable[tuple[str, bool]], points: float = _TEXT) -> None:
        """A paragraph of which parts are bold."""
        for text, bold in spans:
            self.type(points, bold=bold)
            self.write(points * _LEADING, text)
        self.ln(points * _LEADING + 0.5)

    def fitted(self, text: str, width_mm: float, points: float, least: float = 6.0) -> None:
        """One line, in smaller letters where it is long; where even these do not fit, it wraps."""
        self.type(points, bold=True)
        while points > least and self.get_string_width(text) > width_mm - 2:
            points -= 0.5
            self.type(points, bold=True)
        self.multi_cell(width_mm - 2, points * _LEADING, text, align=Align.L, new_x=XPos.LEFT, new_y=YPos.NEXT)

    def picture(self, pixels: npt.NDArray[np.uint8], box: tuple[float, float, float, float]) -> None:
        """A radiograph within x, y, width and height, whose shape is that of the picture."""
        image = Image.fromarray(pixels)
        image.thumbnail((_MOST_PX, _MOST_PX))
        file = io.BytesIO()
        image.save(file, "JPEG", quality=_JPEG_QUALITY)
        self.image(file, *box)

    def outline(self, points: Points, colour: Colour, width_mm: float, dash_mm: float = 0) -> None:
        """A closed line with a dark rim, so that it is seen on black and on white."""
        for ink, width in ((BLACK, width_mm * 2), (colour, width_mm)):
            self.set_draw_color(*ink)
            self.set_line_width(width)
            self.set_dash_pattern(dash_mm if ink is colour else 0, dash_mm)
            self.polygon(points, style="D")
        self.set_dash_pattern()

    def line_between(self, points: Points, colour: Colour) -> None:
        """A straight line with a dark rim."""
        for ink, width in ((BLACK, 0.7), (colour, 0.35)):
            self.set_draw_color(*ink)
            self.set_line_width(width)
            self.line(*points[0], *points[-1])

    def qr(self, text: str, x: float, y: float, side_mm: float) -> None:
        """A QR code with its quiet zone (ISO/IEC 18004), as squares that no printer blurs."""
        code = segno.make(text, error="m", boost_error=False, micro=False)
        rows = [bytes(row) for row in code.matrix]
        unit = side_mm / (len(rows) + 8)
        self.set_fill_color(*WHITE)
        self.rect(x, y, side_mm, side_mm, style="F")
        self.set_fill_color(*BLACK)
        for number, row in enumerate(rows):
            for start, length in _runs(row):
                at = x + (start + 4) * unit, y + (number + 4) * unit
                self.rect(*at, length * unit, unit * 1.02, style="F")  # no hairlines between rows


def _runs(row: bytes) -> Generator[tuple[int, int], None, None]:
    start = 0
    while (start := row.find(1, start)) >= 0:
        end = row.find(0, start)
        end = len(row) if end < 0 else end
        yield start, end - start
        start = end
