"""Words in bands above and below a picture that is captured, never on it, in the letters of DejaVu Sans."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

FONT = Path(__file__).parent / "fonts" / "DejaVuSans.ttf"
TEXT, QUIET, NOTICE, GROUND = "#f1f5f9", "#b3c0cd", "#ffbf3d", "#0b0f14"

Text = tuple[str, str, float]
"""Words, their colour, and their size as a share of the usual one."""


def band(texts: Sequence[Text], width_px: int, size_px: int) -> Image.Image:
    """A strip of that width, as high as its words need."""
    margin = round(size_px * 0.6)
    room = width_px - 2 * margin
    lines = [
        (part, colour, round(size_px * share))
        for text, colour, share in texts
        for part in _wrapped(text, font(round(size_px * share)), room)
    ]
    strip = Image.new("RGB", (width_px, sum(_height(px) for *_, px in lines) + 2 * margin), GROUND)
    draw, top = ImageDraw.Draw(strip), margin
    for part, colour, px in lines:
        draw.text((margin, top), part, fill=colour, font=font(px))
        top += _height(px)
    return strip


def _wrapped(text: str, letters: ImageFont.FreeTypeFont, room_px: int) -> list[str]:
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if letters.getlength(longer) <= room_px:
            lines[-1] = longer
        else:
            lines.append(word)
    return [line for line in lines if line]


def _height(size_px: int) -> int:
    return round(size_px * 1.35)


@lru_cache(maxsize=16)
def font(size_px: int) -> ImageFont.FreeTypeFont:
    """The letters in a size, opened once."""
    return ImageFont.truetype(FONT, size_px)
