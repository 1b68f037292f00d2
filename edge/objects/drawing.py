"""The image as shown, with what the box saw drawn on it and its words in bands above and below.

Words never cover the image: where a diagnosis depends on a corner, a box of text is a mask. Pillow
draws, with DejaVu Sans, which has the letters of most languages. Rejected: the fonts of Pillow and
of OpenCV, which have no accents.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from edge import wording
from edge.language import speaking
from edge.objects import words
from edge.objects.bands import GROUND, NOTICE, QUIET, TEXT, Text, band, font
from edge.objects.content import Content
from edge.objects.geometry import Line
from edge.objects.tomography import montage
from edge.types import N_

if TYPE_CHECKING:
    from edge.objects.case import Case

_LEAST_SIDE_PX = 1100
_SMOOTHING = 2  # lines are drawn so many times larger
_MOST_FINDINGS = 8  # in words; all of them are drawn
_COLOURS = {  # those of the page
    "right_lung": "#3fd0ff",
    "left_lung": "#ffd24a",
    "heart": "#ff9be0",
    "lines": "#ffffff",
    "ground_glass_opacity": "#9dff6b",
    "consolidation": "#ff9d3c",
}
_VERDICTS = {"normal": "#4fd18b", "abnormal": "#ff7a6e", "refer": "#ffbf3d"}
_RIGHT, _LEFT = N_("R"), N_("L")
_SIDE_UNKNOWN = N_("Side not certain")


def draw(case: Case) -> npt.NDArray[np.uint8]:
    """The whole picture: uint8, shape (h, w, 3), RGB."""
    is_montage = Content(case.report).is_tomography and case.slices is not None
    image = montage.draw(case) if is_montage else _marked(case)
    size_px = max(17, round(image.width / 46))
    above, below = (band(texts, image.width, size_px) for texts in (_above(case), _below(case)))
    parts = (above, _sides(case, image.width, size_px), image, below)
    whole, top = Image.new("RGB", (image.width, sum(part.height for part in parts)), GROUND), 0
    for part in parts:
        whole.paste(part, (0, top))
        top += part.height
    return np.asarray(whole)


def _marked(case: Case) -> Image.Image:
    """The image in a size in which the words can be read, with outlines and marks on it."""
    height, width = case.view.shape
    scale = max(1.0, _LEAST_SIDE_PX / max(height, width), _LEAST_SIDE_PX / 2 / width)
    size = (round(width * scale), round(height * scale))
    image = Image.fromarray(case.view).resize(size, Image.Resampling.LANCZOS).convert("RGB")
    content = Content(case.report)
    if not content.segmentation:
        return image
    lines = Image.new("RGBA", (size[0] * _SMOOTHING, size[1] * _SMOOTHING))
    _Pen(lines, content.segmentation["image_size_px"]).content(content)
    image.paste(Image.alpha_composite(image.convert("RGBA"), lines.resize(size, Image.Resampling.BOX)))
    return image


class _Pen:
    """Draws in coordinates of the upright image."""

    def __init__(self, canvas: Image.Image, image_size_px: Sequence[int]) -> None:
        self._draw = ImageDraw.Draw(canvas)
        self._scale = (canvas.height / image_size_px[0], canvas.width / image_size_px[1])
        self._unit = max(canvas.size) / 500

    def content(self, content: Content) -> None:
        """Outlines, the lines of the cardiothoracic ratio, and the findings over them."""
        for organ, contours in content.segmentation["contours"].items() if content.segmentation else ():
            for contour in contours:
                self._line([*contour, contour[0]], _COLOURS[organ], 0.7)
        for name in ("heart_line", "thorax_line") if content.cardiothoracic else ():
            self._line(content.cardiothoracic[name], _COLOURS["lines"], 0.5)  # type: ignore[index]
        for number, finding in enumerate(content.findings, 1):
            self._finding(number, finding)

    def _finding(self, number: int, finding: Any) -> None:
        colour = _COLOURS.get(finding["code"], TEXT)
        self._line([*finding["contour"], finding["contour"][0]], colour, 1.1)
        row0, column0, row1, column1 = finding["box_px"]
        (x0, y0), (x1, y1) = self._points(((row0, column0), (row1, column1)), offset=0)
        self._draw.rectangle((x0, y0, x1, y1), outline=colour, width=max(1, round(self._unit / 2)))
        letters = font(round(self._unit * 15))
        place = (x0 + 3 * self._unit, y0 + self._unit)
        self._draw.text(
            place, str(number), fill=colour, font=letters, stroke_width=round(1.5 * self._unit), stroke_fill="#000000"
        )

    def _line(self, points: Line, colour: str, width: float) -> None:
        self._draw.line(self._points(points), fill=colour, width=max(2, round(width * self._unit)), joint="curve")

    def _points(self, points: Line, offset: float = 0.5) -> list[tuple[float, float]]:
        return [((column + offset) * self._scale[1], (row + offset) * self._scale[0]) for row, column in points]


def _above(case: Case) -> list[Text]:
    return [(words.notice(speaking(case.language)), NOTICE, 1.0)]


def _below(case: Case) -> list[Text]:
    language, content = speaking(case.language), Content(case.report)
    verdict, limits = content.verdict, wording.limits(case.report.get("modality"))
    texts: list[Text] = [(language.text(verdict.text), _VERDICTS.get(verdict.kind.value, QUIET), 1.6)]
    texts += [(line, TEXT, 1.0) for line in words.measured(content, language)]
    texts += [
        (f"{number}  {words.finding(content, finding, language)}", _COLOURS.get(finding["code"], TEXT), 1.0)
        for number, finding in enumerate(content.findings[:_MOST_FINDINGS], 1)
    ]
    texts += [("• " + language.say(remark), NOTICE, 1.0) for remark in content.pressing]
    texts += [(language.text(limits[2]), QUIET, 0.85)] if verdict.kind is wording.Kind.NORMAL else []
    texts += [(language.text(limits[-1]), QUIET, 0.85)]
    made = f"{language.moment(case.report['completed_at'])} · Chest Edge {case.report['software_version']}"
    return [*texts, (f"{made} · {language.text(words.VERSION)} {case.version}", QUIET, 0.85)]


def _sides(case: Case, width_px: int, size_px: int) -> Image.Image:
    """A strip over the image that names the sides of the patient at its ends; empty without lungs."""
    content, language = Content(case.report), speaking(case.language)
    strip = Image.new("RGB", (width_px, round(size_px * 1.5) if content.lungs else 0), GROUND)
    if content.lungs:
        draw, letters = ImageDraw.Draw(strip), font(round(size_px * 1.2))
        right, left = (_RIGHT, _LEFT) if content.knows_sides else ("", _SIDE_UNKNOWN)
        draw.text((size_px // 2, 0), language.text(right), fill=TEXT, font=letters)
        draw.text((width_px - size_px // 2, 0), language.text(left), fill=TEXT, font=letters, anchor="ra")
    return strip
