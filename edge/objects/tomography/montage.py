"""The captured image of a chest CT: key slices with what was found on them, a coronal overview, and tables.

Each picture has its words above it. Rejected: all slices as a series of captured images, which would fill an
archive with a second, worse copy of the CT.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw

from edge.language import Language, speaking
from edge.objects.bands import GROUND, QUIET, TEXT, font
from edge.objects.content import Content
from edge.objects.tomography import measures, plates
from edge.objects.tomography.slices import Slices
from edge.types import N_

if TYPE_CHECKING:
    from edge.objects.case import Case

_TILE_PX, _GAP_PX, _LETTERS_PX = 560, 12, 24
_STRIP_PX = round(1.5 * _LETTERS_PX)
_RIGHT, _LEFT = N_("R"), N_("L")
_OF_ALL = N_("Slice %(number)s of %(count)s")
_CORONAL = N_("Overview from the front")
_COLUMNS = 2


def draw(case: Case) -> Image.Image:
    """All pictures and tables, two beside each other.

    Raises
    ------
    ObjectError
        ``no_picture``.
    """
    assert case.slices is not None  # noqa: S101 (as ``drawing`` asks)
    content, language = Content(case.report), speaking(case.language)
    tiles = [*_slices(content, case.slices, language), _overview(content, case.slices, language)]
    tables = [table for table in (measures.volumes(content, language), measures.zones(content, language)) if table]
    has_room_beside = len(tiles) % _COLUMNS == 0
    return _grid([*tiles, *(map(_tables, ([table] for table in tables) if has_room_beside else [tables]))])


def _slices(content: Content, slices: Slices, language: Language) -> Iterator[Image.Image]:
    for number in plates.key_slices(content, slices):
        grey, labels = slices.view(number)
        picture = plates.shown(plates.marked(grey, labels, content), slices.meta.spacing_mm[1:], _TILE_PX)
        yield _named(picture, language.text(_OF_ALL, number=number, count=slices.meta.slices), language)


def _overview(content: Content, slices: Slices, language: Language) -> Image.Image:
    """The coronal plane; its dashes tell where the key slices lie."""
    picture = plates.shown(plates.marked(*slices.coronal(), content), (1, 1), _TILE_PX)
    pen = ImageDraw.Draw(picture)
    for number in plates.key_slices(content, slices):
        level = round((number - 0.5) / slices.meta.slices * picture.height)
        for end in (0, _TILE_PX - 18):
            pen.line((end, level, end + 18, level), fill=TEXT, width=2)
    return _named(picture, language.text(_CORONAL), language)


def _named(picture: Image.Image, name: str, language: Language) -> Image.Image:
    """A picture below its name and the sides of the patient."""
    tile = Image.new("RGB", (picture.width, picture.height + _STRIP_PX), GROUND)
    tile.paste(picture, (0, _STRIP_PX))
    pen, letters = ImageDraw.Draw(tile), font(_LETTERS_PX)
    pen.text((4, 0), language.text(_RIGHT), fill=TEXT, font=letters)
    pen.text((picture.width // 2, 0), name, fill=QUIET, font=letters, anchor="ma")
    pen.text((picture.width - 4, 0), language.text(_LEFT), fill=TEXT, font=letters, anchor="ra")
    return tile


def _tables(tables: Sequence[Sequence[Sequence[str]]]) -> Image.Image:
    rows = sum(map(len, tables)) + len(tables)
    tile = Image.new("RGB", (_TILE_PX, rows * _STRIP_PX), GROUND)
    pen, top = ImageDraw.Draw(tile), _STRIP_PX // 2
    for table in tables:
        for number, row in enumerate(table):
            _row(pen, row, top, is_head=number == 0)
            top += _STRIP_PX
        top += _STRIP_PX // 2
    return tile


def _row(pen: ImageDraw.ImageDraw, row: Sequence[str], top: int, *, is_head: bool) -> None:
    name, *cells = row
    letters = font(round(_LETTERS_PX * 0.8))
    pen.text((4, top), name, fill=QUIET, font=letters)
    width = _TILE_PX * 0.6 / len(cells)
    for number, cell in enumerate(cells, 1):
        place = (round(_TILE_PX * 0.4 + number * width) - 8, top)
        pen.text(place, cell, fill=QUIET if is_head else TEXT, font=letters, anchor="ra")


def _grid(tiles: Sequence[Image.Image]) -> Image.Image:
    rows = [tiles[first : first + _COLUMNS] for first in range(0, len(tiles), _COLUMNS)]
    heights = [max(tile.height for tile in row) + _GAP_PX for row in rows]
    whole = Image.new("RGB", (_COLUMNS * _TILE_PX + (_COLUMNS - 1) * _GAP_PX, sum(heights)), GROUND)
    for number, row in enumerate(rows):
        for place, tile in enumerate(row):
            whole.paste(tile, (place * (_TILE_PX + _GAP_PX), sum(heights[:number])))
    return whole
