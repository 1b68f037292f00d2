"""The captured image: what is drawn where, in which words, and that it says it is lossy."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from babel.support import Translations
from PIL import Image, ImageFont
from pydicom.encaps import generate_frames

from edge.errors import ObjectError
from edge.language import LANGUAGES
from edge.objects import bands, drawing
from edge.objects.case import make
from edge.types import Kind
from tests.house.source import ROOT
from tests.support import cases
from tests.support.results import complete_result

BAND = np.array((0x0B, 0x0F, 0x14))
GREY = 90


def drawn(report: dict[str, Any] | None = None, **changes: Any) -> npt.NDArray[np.uint8]:
    """The whole picture of a grey image."""
    return drawing.draw(cases.case(report, **changes))


def image_rows(picture: npt.NDArray[np.uint8]) -> slice:
    """The rows of the image between its bands, whose left edge no mark touches."""
    rows = np.flatnonzero((picture[:, 0] == GREY).all(axis=1))
    return slice(int(rows[0]), int(rows[-1]) + 1)


@pytest.mark.parametrize("view_shape", [(800, 640), (224, 224), (400, 1600), (1600, 300)])
def test_no_word_covers_the_image(view_shape: tuple[int, int]) -> None:
    picture = drawn(cases.refused(), view=np.full(view_shape, GREY, np.uint8))
    image = picture[image_rows(picture)]
    assert (image == GREY).all()
    assert image.shape[0] / image.shape[1] == pytest.approx(view_shape[0] / view_shape[1], rel=0.01)
    assert max(image.shape) >= 1100
    assert (picture[-4:] == BAND).all()


def test_outlines_and_marks_lie_where_the_result_says() -> None:
    picture = drawn(complete_result())
    image = picture[image_rows(picture)].astype(int)
    scale = image.shape[0] / cases.HEIGHT
    finding = complete_result()["findings"][0]
    row, column = ((value + 0.5) * scale for value in finding["contour"][0])
    around = image[int(row) - 2 : int(row) + 3, int(column) - 2 : int(column) + 3]
    green = (around[..., 1] - around[..., 0]).max()
    assert green > 40
    row0, column0, row1, _ = (value * scale for value in finding["box_px"])
    beside = image[int((row0 + row1) / 2), int(column0) - 1 : int(column0) + 3]
    assert (beside[:, 1] - beside[:, 0]).max() > 40


def test_an_abstention_shows_outlines_and_no_mark() -> None:
    marked, referred = (drawn(complete_result(decision)) for decision in ("abnormal", "refer"))
    assert _has_colour(marked, "ground_glass_opacity") and _has_colour(marked, "right_lung")
    assert not _has_colour(referred, "ground_glass_opacity") and _has_colour(referred, "right_lung")


def test_sides_are_named_over_the_image_unless_they_are_in_doubt() -> None:
    known, doubtful = drawn(complete_result()), drawn(cases.reports()["mirrored"])
    assert _ink_over_the_left_edge(known) > 0
    assert _ink_over_the_left_edge(doubtful) == 0


def test_words_name_no_side_where_sides_are_in_doubt() -> None:
    known, doubtful = (
        " ".join(text for text, *_ in drawing._below(cases.case(report)))
        for report in (None, cases.reports()["mirrored"])
    )
    assert "Right lung" in known and "Left" in known
    assert not any(side in doubtful for side in ("Right", "Left"))
    assert "One lung" in doubtful and "Other lung" in doubtful


def test_the_orientation_is_left_open_where_sides_are_in_doubt() -> None:
    known, doubtful = (
        make(cases.case(report), Kind.SECONDARY_CAPTURE) for report in (None, cases.reports()["mirrored"])
    )
    assert (known.PatientOrientation, doubtful.PatientOrientation) == (["L", "F"], None)


def test_the_capture_says_what_it_is_and_that_it_is_lossy() -> None:
    made = make(cases.case(), Kind.SECONDARY_CAPTURE)
    assert (made.ConversionType, made.ImageType) == ("WSD", ["DERIVED", "SECONDARY"])
    assert (made.BurnedInAnnotation, made.LossyImageCompression) == ("YES", "01")
    assert "not verified" in made.ImageComments
    (frame,) = generate_frames(made.PixelData, number_of_frames=1)
    decoded = np.asarray(Image.open(io.BytesIO(frame)).convert("RGB")).astype(int)
    drawn_pixels = drawing.draw(cases.case()).astype(int)
    assert decoded.shape == (made.Rows, made.Columns, 3)
    assert np.abs(decoded - drawn_pixels).mean() < 3
    assert float(made.LossyImageCompressionRatio) == pytest.approx(decoded.size / len(frame), rel=0.02)


def test_the_words_follow_the_language() -> None:
    english, french = (drawn(language=language) for language in ("en", "fr"))
    assert english.shape != french.shape or (english != french).any()


def test_the_font_has_every_letter_of_every_language() -> None:
    font = ImageFont.truetype(bands.FONT, 20)
    missing = bytes(font.getmask("\uffff"))
    letters = {letter for language in LANGUAGES for letter in _letters(language)} - {" ", "\n"}
    assert len(letters) > 80
    absent = {letter for letter in letters if not letter.isspace() and bytes(font.getmask(letter)) == missing}
    assert absent == set()


def test_a_lost_picture_is_not_shown_as_a_black_one() -> None:
    with pytest.raises(ObjectError, match="no_picture"):
        make(cases.case(view=np.zeros((1, 1), np.uint8)), Kind.SECONDARY_CAPTURE)


def _letters(language: str) -> set[str]:
    catalogue = Translations.load(ROOT / "edge" / "web" / "translations", [language])
    texts = getattr(catalogue, "_catalog", {}) or {}
    own = (ROOT / "edge" / "wording.py").read_text(encoding="utf-8")
    return {letter for text in (*map(str, texts.values()), own) for letter in text}


def _has_colour(picture: npt.NDArray[np.uint8], name: str) -> bool:
    colour = np.array([int(drawing._COLOURS[name][i : i + 2], 16) for i in (1, 3, 5)])
    image = picture[image_rows(picture)].astype(int)
    return bool((np.abs(image - colour).max(axis=-1) < 24).any())


def _ink_over_the_left_edge(picture: npt.NDArray[np.uint8]) -> int:
    """How much is written in the line over the image, at its left end."""
    top = image_rows(picture).start
    strip = picture[top - 26 : top, : picture.shape[1] // 3].astype(int)
    return int((np.abs(strip - BAND).max(axis=-1) > 60).sum())
