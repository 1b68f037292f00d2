"""Letters that can be printed: fonts that go with the box, and names put into the order and shapes of paper.

A PDF shows glyphs where it is told to; it joins no Arabic letters and turns no line from right to
left by itself (Unicode annexes 9 and 53). Letters join through the presentation forms that Unicode
still has. Scripts that need more than that (Devanagari, Bengali, Tamil, Khmer, Burmese and their kin)
are not printed at all: wrong letters in a name are worse than none. What cannot be printed is
replaced by ``UNPRINTABLE``, never by a box or a blank. Rejected: HarfBuzz, a further library in C.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

from fpdf import FPDF
from fpdf.bidi import BidiParagraph
from fpdf.fonts import TTFFont

UNPRINTABLE = "[?]"
FOLDER = Path(__file__).parent / "fonts"
REGULAR, BOLD = FOLDER / "NotoSans-Regular.ttf", FOLDER / "NotoSans-Bold.ttf"


@dataclass(frozen=True, slots=True)
class Font:
    """A font for some scripts, by the characters that are looked for in it."""

    name: str
    path: Path
    characters: re.Pattern[str]


def _font(file: str, characters: str) -> Font:
    return Font(file.lower(), FOLDER / f"{file}.ttf", re.compile(f"[{characters}]"))


FONTS = (
    _font("NotoSansArabic-Regular", "\u0600-\u06ff\u0750-\u077f\ufb50-\ufdff\ufe70-\ufefc"),
    _font("NotoSansHebrew-Regular", "\u0590-\u05ff\ufb1d-\ufb4f"),
    _font("NotoSansThai-Regular", "\u0e00-\u0e7f"),
    _font("NotoSansLao-Regular", "\u0e80-\u0eff"),
    _font("NotoSansArmenian-Regular", "\u0530-\u058f\ufb13-\ufb17"),
    _font("NotoSansGeorgian-Regular", "\u10a0-\u10ff\u1c90-\u1cbf\u2d00-\u2d2f"),
    _font("NotoSansEthiopic-Regular", "\u1200-\u139f\u2d80-\u2ddf\uab00-\uab2f"),
    _font("DroidSansFallbackFull", "\u2e80-\u9fff\uac00-\ud7a3\uf900-\ufaff\uff00-\uffef"),
)
"""Beside Latin, Greek and Cyrillic."""
_RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]")
_MARKS = re.compile("[\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed]")  # vowels, which names do without
_LETTERS = re.compile("\u0644[\u0622\u0623\u0625\u0627]|.", re.DOTALL)
_MIRRORED = dict(zip("()[]{}<>\u00ab\u00bb", ")(][}{><\u00bb\u00ab", strict=True))
_TATWEEL = "\u0640"


def printable(text: str) -> str:
    """A line as it is set on paper from left to right, each letter one that a font has.

    Parameters
    ----------
    text : one line in the order in which it is read.
    """
    text = unicodedata.normalize("NFC", text)
    if _RIGHT_TO_LEFT.search(text):
        text = _turned(_joined(_MARKS.sub("", text)))
    shown = (letter if _is_in(letter) else "\0" for letter in text)
    return re.sub("\0+", UNPRINTABLE, "".join(shown))


def needed(text: str) -> tuple[Font, ...]:
    """The fonts that a printable line needs beside that of Latin letters."""
    return tuple(font for font in FONTS if font.characters.search(text))


def _is_in(letter: str) -> bool:
    font = next((font.path for font in FONTS if font.characters.match(letter)), REGULAR)
    return ord(letter) in _characters(font)


@lru_cache(maxsize=len(FONTS) + 1)
def _characters(path: Path) -> frozenset[int]:
    sheet = FPDF()
    sheet.add_font("asked", "", path)
    font = sheet.fonts["asked"]
    if not isinstance(font, TTFFont):
        raise TypeError(f"expected a TrueType font, got {type(font).__name__}")
    try:
        return frozenset(font.cmap)
    finally:
        font.ttfont.close()


def _turned(text: str) -> str:
    """The letters in their order from left to right, brackets facing as they are read (Unicode annex 9, rule L4)."""
    placed = BidiParagraph(text=text).get_reordered_characters()
    return "".join(
        _MIRRORED.get(at.character, at.character) if at.embedding_level % 2 else at.character for at in placed
    )


def _joined(text: str) -> str:
    """Arabic letters in the shape that they have beside their neighbours."""
    units = _LETTERS.findall(text)
    return "".join(_shaped(units, place) for place in range(len(units)))


def _shaped(units: list[str], place: int) -> str:
    forms = _forms().get(units[place])
    if forms is None:
        return units[place]
    before = place > 0 and _joins_on(units[place - 1])
    after = _joins_on(units[place]) and place + 1 < len(units) and _joins_back(units[place + 1])
    wanted = {(True, True): "medial", (True, False): "final", (False, True): "initial"}.get((before, after), "isolated")
    return forms.get(wanted, units[place])


def _joins_on(unit: str) -> bool:
    return unit == _TATWEEL or "initial" in _forms().get(unit, {})


def _joins_back(unit: str) -> bool:
    return unit == _TATWEEL or "final" in _forms().get(unit, {})


@lru_cache(maxsize=1)
def _forms() -> Mapping[str, Mapping[str, str]]:
    """By letter, or lam with an alef, its shapes: ``isolated``, ``initial``, ``medial`` and ``final``."""
    found: dict[str, dict[str, str]] = {}
    for code in (*range(0xFB50, 0xFDFE), *range(0xFE70, 0xFEFD)):
        shape, *letters = unicodedata.decomposition(chr(code)).split() or [""]
        unit = "".join(chr(int(letter, 16)) for letter in letters)
        if len(unit) == 1 or re.fullmatch("\u0644[\u0622\u0623\u0625\u0627]", unit):
            found.setdefault(unit, {})[shape.strip("<>")] = chr(code)
    return MappingProxyType(found)
