from __future__ import annotations

import pytest

from edge.language import speaking

ENGLISH, FRENCH = speaking("en"), speaking("fr")


def test_a_reason_of_another_version_falls_back_to_its_english_text() -> None:
    assert ENGLISH.say({"text": "Seven left.", "message": "%(count)s left.", "values": {}}) == "Seven left."
    assert ENGLISH.say({"text": "Seven left."}) == "Seven left."


@pytest.mark.parametrize(
    ("probability", "shown"), [(0.0, "< 1%"), (0.004, "< 1%"), (0.62, "62%"), (0.996, "> 99%"), (1.0, "> 99%")]
)
def test_a_percentage_never_claims_certainty(probability: float, shown: str) -> None:
    assert ENGLISH.percent(probability) == shown


@pytest.mark.parametrize(("measured", "shown"), [(0, "0%"), (0.4, "< 1%"), (15.6, "16%"), (100.0, "100%")])
def test_a_share_of_the_lung_is_a_measurement(measured: float, shown: str) -> None:
    assert ENGLISH.share(measured) == shown


def test_numbers_are_written_as_the_language_writes_them() -> None:
    assert [ENGLISH.decimal(3.0), ENGLISH.decimal(3.44), ENGLISH.decimal(0.5, "0.00")] == ["3", "3.4", "0.50"]
    assert [ENGLISH.signed(2), ENGLISH.signed(-1.5), ENGLISH.signed(0)] == ["+2", "−1.5", "0"]
    assert [FRENCH.decimal(3.44), FRENCH.signed(-1.5)] == ["3,4", "−1,5"]


def test_advice_is_translated_with_the_values_of_its_remark() -> None:
    remark = {"advice": "A sequence of %(frames)s frames is not a radiograph.", "values": {"frames": "12"}}
    assert FRENCH.advice(remark) == "Une séquence de 12 images n’est pas une radiographie."
    assert FRENCH.advice({"advice": None}) == FRENCH.advice({}) == ""
