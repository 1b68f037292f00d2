"""The captured image and the printed report of a CT: what stands on them, in both languages, and what does not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge.errors import ObjectError, PictureError
from edge.objects import drawing
from edge.objects.case import Case, kinds, make
from edge.objects.report import pdf
from edge.objects.tomography import plates
from edge.types import Kind, Tissue
from tests.support import cases, ct_cases, ct_result
from tests.support.paper import pages_of, text_of

RECEIPT = "CE1" + "ABCDEFGH" * 30


def has_colour(picture: np.ndarray, name: str) -> bool:
    """Whether a picture holds many pixels of a colour, or nearly so."""
    return int((np.abs(picture.astype(int) - plates.COLOURS[name]).max(axis=-1) < 12).sum()) > 20


@pytest.fixture(scope="module")
def ill(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """A phantom with opacities that got worse."""
    severity = ct_result.severity(change=ct_result.change("0" * 32))
    return ct_cases.case(tmp_path_factory.mktemp("ill"), report=ct_cases.report(severity=severity), receipt=RECEIPT)


def test_opacities_and_lungs_are_drawn_in_colours_where_the_box_makes_a_claim(ill: Case) -> None:
    picture = drawing.draw(ill)
    assert all(has_colour(picture, name) for name in plates.COLOURS)
    referred = drawing.draw(replace(ill, report=ct_cases.report("refer", findings=[])))
    assert has_colour(referred, "right_lung") and not has_colour(referred, "consolidation")


def test_what_is_not_marked_stays_as_it_was() -> None:
    grey, labels = np.full((40, 40), 77, np.uint8), np.zeros((40, 40), np.uint8)
    labels[10:30, 5:15], labels[15:20, 8:12] = Tissue.RIGHT_LUNG, Tissue.RIGHT_CONSOLIDATION
    picture = plates.marked(grey, labels, drawing.Content(ct_cases.report()))
    assert (picture[labels == 0] == 77).all() and (picture[25, 10] == 77).all()
    assert (picture[10, 10] == plates.COLOURS["right_lung"]).all()
    assert (picture[15, 10] == plates.COLOURS["consolidation"]).all()


@pytest.mark.parametrize("decision", ["normal", "abnormal", "refer", None])
def test_no_program_finds_a_fault_in_what_shows_it(decision: str | None, tmp_path: Path) -> None:
    case = ct_cases.case(tmp_path, report=ct_cases.report(decision), receipt=RECEIPT)
    for kind in kinds(case):
        if kind in (Kind.SECONDARY_CAPTURE, Kind.PDF):
            assert cases.faults(make(case, kind), tmp_path) == [], kind


@pytest.mark.parametrize("language", ["en", "fr"])
@pytest.mark.parametrize("paper", ["a4", "letter"])
def test_a_report_stands_on_one_page_with_tables_lesions_and_limits(ill: Case, paper: str, language: str) -> None:
    content = pdf(replace(ill, paper=paper, language=language))
    assert pages_of(content) == 1
    text = " ".join(text_of(content).split())
    said = (
        "1805",
        "131",
        "–820",
        "4 of 24" if language == "en" else "4 sur 24",
        "+2.4" if language == "en" else "+2,4",
    )
    assert [part for part in said if part not in text] == []
    english = ("Chest CT: report of a program", "Opacities measured in the lungs", "Lesions", "Slice 15", "AI result")
    assert all((part in text) == (language == "en") for part in english)
    assert "neumoni" not in text.replace("pneumonia, water", "").replace("pneumonie, eau", "") or language == "fr"


def test_a_report_that_makes_no_claim_names_no_opacity(ill: Case) -> None:
    text = text_of(pdf(replace(ill, report=ct_cases.report("refer"))))
    assert "Lung, ml" in text and "No claim" in text
    assert not any(word in text for word in ("Ground glass, ml", "CT score", "Lesions"))


def test_many_lesions_stand_in_the_report_whole(ill: Case) -> None:
    lesions = [ct_result.lesion(number=number) for number in range(1, 13)]
    content = pdf(replace(ill, report=ct_cases.report(findings=lesions)))
    assert all(f"Slice {number}" in " ".join(text_of(content).split()) for number in range(1, 13))


def test_without_pictures_it_is_printed_all_the_same_and_not_captured(ill: Case) -> None:
    class Gone:
        meta = ill.slices.meta if ill.slices else None

        def picture(self, layer: str, number: int) -> bytes:
            raise PictureError("no_picture")

        overview = picture

    assert ill.slices is not None
    case = replace(ill, slices=replace(ill.slices, pictures=Gone()))  # type: ignore[arg-type]
    assert "No image to show." in text_of(pdf(case))
    with pytest.raises(ObjectError, match="no_picture"):
        make(case, Kind.SECONDARY_CAPTURE)
    with pytest.raises(ObjectError, match="no_picture"):
        make(case, Kind.SEGMENTATION)


def test_an_object_is_the_same_each_time_it_is_made(ill: Case) -> None:
    for kind in kinds(ill):
        assert make(ill, kind) == make(ill, kind), kind
