from __future__ import annotations

import pytest

from edge.types import State
from edge.wording import CT, LIMITS, Kind, classes, limits, person, printable, suspicion, verdict


@pytest.mark.parametrize("state", [State.RECEIVED, State.PARSED, State.READY, State.RUNNING])
def test_a_study_on_its_way_is_being_read(state: State) -> None:
    assert verdict(state, None, None).kind is Kind.READING


@pytest.mark.parametrize("decision", [None, "", "something new"])
def test_a_finished_study_without_a_known_decision_is_referred(decision: str | None) -> None:
    assert verdict(State.DONE, decision, None).kind is Kind.REFER


@pytest.mark.parametrize("state", [State.NO_RESULT, State.FAILED, State.QUARANTINED, State.READY])
def test_only_a_finished_study_makes_a_claim(state: State) -> None:
    assert verdict(state, "normal", {"normal": 1.0}).kind is not Kind.NORMAL


@pytest.mark.parametrize("decision", ["normal", "abnormal", "refer", None])
def test_of_a_ct_it_is_said_what_was_measured_and_nothing_is_suspected(decision: str | None) -> None:
    said = verdict(State.DONE, decision, {"covid19": 0.9}, CT)
    assert said.kind is verdict(State.DONE, decision, {"covid19": 0.9}, "DX").kind
    assert "suspected" not in said.text and "pneumonia" not in said.text
    assert said.text != "Normal"


def test_a_ct_has_its_own_limits_and_the_same_last_word() -> None:
    assert limits("DX") == limits(None) == LIMITS
    assert limits(CT)[-1] == LIMITS[-1] and not set(limits(CT)[:-1]) & set(LIMITS)
    assert all(sum("healthy" in limit for limit in limits(modality)) == 1 for modality in ("DX", CT))
    assert set(classes(CT)) == {"covid19", "not_covid19"} and "bacterial" in classes("CR")


def test_the_kinds_of_pneumonia_are_counted_together() -> None:
    probabilities = {"normal": 0.2, "bacterial": 0.2, "viral": 0.15, "covid19": 0.1, "tuberculosis": 0.3}

    assert suspicion(probabilities) == "Pneumonia suspected"


@pytest.mark.parametrize(
    ("probabilities", "words"),
    [
        ({"normal": 0.3, "tuberculosis": 0.6, "other": 0.1}, "Tuberculosis suspected"),
        ({"normal": 0.3, "tuberculosis": None, "other": 0.4}, "Other finding suspected"),
        ({"normal": 1.0}, "Abnormality suspected"),
        ({"something new": 0.9}, "Abnormality suspected"),
    ],
)
def test_the_likeliest_finding_gives_the_words(probabilities: dict[str, float | None], words: str) -> None:
    assert suspicion(probabilities) == words


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Adams^John Robert^Quincy^^Jr", "Adams, John Robert Quincy Jr"),
        ("Example, Pat", "Example, Pat"),
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", "Yamada, Tarou · 山田, 太郎"),
        ("=山田^太郎", "山田, 太郎"),
        ("^Aminata", "Aminata"),
        ("فاطمة^الزهراء", "فاطمة, الزهراء"),
        ("a\u202eb\x00c\n", "abc"),
        ("", ""),
        ("^^^^", ""),
    ],
)
def test_names_are_written_as_people_write_them(name: str, shown: str) -> None:
    assert person(name) == shown


def test_an_identifier_is_shown_as_it_is() -> None:
    assert printable("A=1^2\x1b  x") == "A=1^2  x"
