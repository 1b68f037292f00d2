"""The printable report, read back from the paper: its text, its picture and its QR code."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge.objects import letters, receipt
from edge.objects.case import Case, kinds, make
from edge.objects.report import pdf
from edge.types import Kind
from tests.support.cases import faults, refused, reports
from tests.support.inputs import dx
from tests.support.paper import pages_of, picture_of, text_of
from tests.support.results import GROUND_GLASS, complete_result

KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
PATIENT = {"PatientName": "Example^Pat", "PatientID": "P-0042", "PatientBirthDate": "19610504"}
NAMES = {
    "Dvořák^Žofie": "Dvořák, Žofie",
    "Nguyễn^Thị Hồng": "Nguyễn, Thị Hồng",
    "Иванов^Пётр": "Иванов, Пётр",
    "Παπαδόπουλος^Νίκος": "Παπαδόπουλος, Νίκος",
    "Wang^XiaoDong=王^小东": "王, 小东",
    "Yamada^Tarou=山田^太郎": "山田, 太郎",
    "ใจดี^สมชาย": "สมชาย",
    "አበበ^ቢቂላ": "አበበ, ቢቂላ",
    "ბერიძე^ნინო": "ბერიძე, ნინო",
}


def _case(report: dict[str, Any] | None = None, language: str = "en", **header: str) -> Case:
    source = dx()
    source.SpecificCharacterSet = "ISO_IR 192"
    for name, value in (PATIENT | header).items():
        setattr(source, name, value)
    view = np.tile(np.linspace(40, 220, 640, dtype=np.uint8), (800, 1))
    return Case(
        report=report or complete_result(),
        study_key="cd" * 16,
        version=3,
        source=source,
        view=view,
        box_id="ab" * 16,
        language=language,
    )


def _printed(case: Case, paper: str = "a4") -> bytes:
    text = receipt.issue(KEY, case.box_id, case.study_key, case.version, case.report)
    return pdf(replace(case, paper=paper, receipt=text))


@pytest.fixture(scope="module")
def usual() -> bytes:
    return _printed(_case())


def test_it_tells_whose_image_it_is_and_what_the_box_makes_of_it(usual: bytes) -> None:
    text = text_of(usual)

    for said in (
        *("Example, Pat", "P-0042", "May 4, 1961", "Pneumonia suspected", "55%", "31%", "0.42"),
        *("Looks most like: Other pneumonia, COVID-19 pneumonia", "Moderate.", "2.8", "Brixia: 7 / 18"),
        *("Ground glass", "Right lower zone", "21% of this lung", "re-centre and repeat", "Signature"),
        *("frontal_gate", "01234567", "cd" * 16, "Page 1 of 1"),
    ):
        assert said in text, said


def test_no_side_is_printed_where_sides_are_in_doubt(usual: bytes) -> None:
    doubtful = text_of(_printed(_case(reports()["mirrored"])))

    assert "Right" in text_of(usual)
    assert "Lower zone" in doubtful
    assert "Right" not in doubtful and "Left" not in doubtful


@pytest.mark.parametrize(("language", "paper"), [("en", "a4"), ("fr", "letter")])
@pytest.mark.parametrize("report", reports().values(), ids=reports())
def test_the_usual_result_takes_one_page(report: dict[str, Any], language: str, paper: str) -> None:
    assert pages_of(_printed(_case(report, language), paper)) == 1


@pytest.mark.parametrize(("paper", "points"), [("a4", (595, 842)), ("letter", (612, 792))])
def test_the_paper_is_what_was_asked_for(paper: str, points: tuple[int, int]) -> None:
    height, width = picture_of(_printed(_case(), paper), dpi=72).shape[:2]

    assert (abs(width - points[0]) <= 1, abs(height - points[1]) <= 1) == (True, True)


def test_an_archive_gets_the_same_paper(usual: bytes, tmp_path: Path) -> None:
    case = _case()
    case = replace(case, receipt=receipt.issue(KEY, case.box_id, case.study_key, case.version, case.report))

    made = make(case, Kind.PDF)

    assert faults(made, tmp_path) == []
    assert made.EncapsulatedDocument[: made.EncapsulatedDocumentLength] == usual
    assert Kind.PDF not in kinds(_case())  # nothing leaves without a receipt


def test_paper_of_no_box_says_that_it_has_no_receipt() -> None:
    printed = pdf(replace(_case(), receipt=receipt.UNSIGNED))

    assert "No receipt: a command made this report" in " ".join(text_of(printed).split())
    assert "receipt verify" not in text_of(printed)
    assert "Signature" in text_of(printed)
    assert "ab" * 16 not in text_of(printed)
    assert cv2.QRCodeDetectorAruco().detectAndDecode(picture_of(printed))[0] == ""


def test_another_paper_is_refused() -> None:
    with pytest.raises(ValueError, match="a4"):
        _printed(_case(), "a5")


def test_the_same_case_gives_the_same_bytes(usual: bytes) -> None:
    assert _printed(_case()) == usual


def test_a_phone_reads_its_receipt_from_the_paper(usual: bytes) -> None:
    text = cv2.QRCodeDetectorAruco().detectAndDecode(picture_of(usual))[0]

    assert receipt.is_signed_by(text, KEY.public_key())
    assert receipt.fits(receipt.read(text), complete_result())


@pytest.mark.parametrize("name", ["refer", "no_result", "implausible"])
@pytest.mark.parametrize("language", ["en", "fr"])
def test_without_a_claim_there_is_no_number_to_be_taken_for_one(name: str, language: str) -> None:
    remark = complete_result()["quality"][0]
    report = reports()[name] | {"reasons": [remark]}
    text = text_of(_printed(_case(report, language)))

    assert "%" not in text
    for told in ("Brixia", "Probabilit", "Severity", "Gravité", "Moderate", "Modérée", "Ground glass", "Verre dépoli"):
        assert told not in text.replace("Severity was learnt", "").replace("La gravité a été", "")
    assert ("re-centre" if language == "en" else "recentrez") in text


def test_a_refused_image_prints_its_reason() -> None:
    text = text_of(_printed(_case(refused())))

    assert "No result" in text
    assert "No chest." in text


def test_marks_are_drawn_beside_a_claim_only() -> None:
    def red(report: dict[str, Any]) -> int:
        picture = picture_of(_printed(_case(report)), dpi=100)
        return int(((picture[..., 2] > 180) & (picture[..., :2].max(axis=-1) < 130)).sum())

    assert red(complete_result()) > 50
    assert red(complete_result("refer")) == 0


def test_french_is_french_throughout() -> None:
    text = text_of(_printed(_case(language="fr"), "letter"))

    for said in ("Suspicion de pneumonie", "55 %", "0,42", "4 mai 1961", "Page 1 sur 1", "Résultat d’IA, non vérifié"):
        assert said in text.replace("\u202f", " ").replace("\xa0", " "), said
    for english in ("Patient number", "Severity", "Probabilities", "Research use", "Limits", "Checked"):
        assert english not in text


def test_all_that_there_is_to_say_is_printed_on_further_pages_that_name_patient_and_limits() -> None:
    report = complete_result(findings=[GROUND_GLASS] * 40, quality=complete_result()["quality"] * 6)
    printed = _printed(_case(report))

    assert pages_of(printed) > 1
    for page in range(1, pages_of(printed) + 1):
        text = text_of(printed, page)
        assert "Example, Pat" in text and "P-0042" in text
        assert "Research use, not a medical device. AI result, not verified." in text
        assert f"Page {page} of {pages_of(printed)}" in text
    assert "40 Ground glass" in " ".join(text_of(printed).split())


def test_long_names_wrap_and_stay_whole() -> None:
    name = "^".join(("Wolfeschlegelsteinhausenbergerdorff", "Maria Magdalena Wilhelmine"))
    text = " ".join(text_of(_printed(_case(PatientName=name, PatientID="9" * 64))).split())

    for word in name.replace("^", " ").split():
        assert word in text
    assert text.count("9") >= 64


@pytest.mark.parametrize(("name", "shown"), NAMES.items(), ids=list(NAMES.values()))
def test_names_are_printed_in_their_own_letters(name: str, shown: str) -> None:
    text = text_of(_printed(_case(PatientName=name)))

    assert shown in text
    assert letters.UNPRINTABLE not in text


def test_arabic_is_joined_and_runs_from_right_to_left() -> None:
    joined = letters.printable("محمد أحمد")

    assert joined == "\ufeaa\ufee4\ufea3\ufe83 \ufeaa\ufee4\ufea4\ufee3"
    assert letters.printable("سلام") == "\ufee1\ufefc\ufeb3"  # lam and alef are one shape
    assert letters.printable("(12) محمد") == "\ufeaa\ufee4\ufea4\ufee3 (12)"
    assert letters.printable("דוד (Dan)") == "(Dan) דוד"


def test_letters_that_cannot_be_printed_are_told_of() -> None:
    text = text_of(_printed(_case(PatientName="कुमार^राम=홍^길동")))

    assert "[?], [?]" in text
    assert "Go by the patient number." in text


def test_the_same_glyphs_are_on_the_paper_as_in_the_text() -> None:
    """A font without a letter would print a box, which pdftotext does not see."""
    shown = [picture_of(_printed(_case(PatientName=name)), dpi=60) for name in ("王", "东", "ب", "ت", "ก", "ข")]

    assert len({picture.tobytes() for picture in shown}) == len(shown)


def test_a_header_that_is_empty_or_broken_prints() -> None:
    case = _case(PatientName="", PatientID="", PatientBirthDate="")
    text = text_of(_printed(replace(case, view=np.zeros((1, 1), np.uint8))))

    assert "No name" in text
    assert "No image to show." in text
