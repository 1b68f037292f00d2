"""What the classifier's figures count, on readings made by hand."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from edge.stages.radiograph.classification import Claim
from edge.types import Decision
from models.evaluation import pneumonia, precision, truth
from models.evaluation.readings import Reading
from models.training.data import Row

LIKELY, UNLIKELY = 0.9, 0.1
_FIELDS = {"archive": "a.zip", "age_group": "adult", "view": "PA", "mask": "", "note": ""}


def row(source: str, label: str, patient: str, split: str = "external", **more: str) -> Row:
    values = {**_FIELDS, "file": f"{source}{patient}{label}", "source": source, "label": label, **more}
    return Row(**{**values, "patient": patient, "split": split})


def reading(
    of: Row, abnormal: float, decision: Decision, possible: tuple[str, ...] = ("normal",), covid: float = 0.5
) -> Reading:
    """A reading that says "abnormal" with this probability, and of it so much COVID-19."""
    probabilities = {"normal": 1 - abnormal, "covid19": abnormal * covid, "other_pneumonia": abnormal * (1 - covid)}
    claim = Claim(probabilities, possible, decision, 0.1, None)
    return Reading(row=of, accepted=True, logits=np.zeros(10, np.float32), known=claim, unknown=claim)


ILL = [
    reading(row("Hannover", "covid", "1"), LIKELY, Decision.ABNORMAL, ("covid19",)),
    reading(row("Hannover", "covid", "2"), LIKELY, Decision.ABNORMAL, ("other_pneumonia", "covid19")),
    reading(row("Cohen", "viral", "3"), LIKELY, Decision.REFER, ("normal",), covid=0.2),
    reading(row("Cohen", "fungal", "4"), UNLIKELY, Decision.NORMAL, ("other_pneumonia",), covid=0.3),
]
WELL = [
    reading(row("Cohen", "normal", "5"), UNLIKELY, Decision.NORMAL),
    reading(row("Cohen", "normal", "6"), UNLIKELY, Decision.REFER),
    reading(row("Cohen", "normal", "7"), LIKELY, Decision.ABNORMAL),
]
READ = ILL + WELL
FIGURES = pneumonia.evaluate(READ, [{} for _ in READ])


def test_auc_of_unseen_hospitals_pools_them() -> None:
    """12 pairs of ill and well: 3 of the ill at 0.9, one at 0.1; of the well one at 0.9, two at 0.1."""
    found = FIGURES["Cohen and Hannover external, abnormal against normal"]
    assert found["auc"] == pytest.approx((3 * 2 + 3 * 0.5 + 2 * 0.5) / 12, abs=5e-4)
    assert (found["positive"], found["negative"], found["patients"]) == (4, 3, 7)


def test_covid_is_held_against_other_pneumonia_only() -> None:
    found = FIGURES["Cohen and Hannover external, COVID-19 against other pneumonia"]
    assert (found["auc"], found["positive"], found["negative"]) == (1.0, 2, 2)


def test_an_image_that_is_referred_counts_as_not_found_and_as_no_false_alarm() -> None:
    assert FIGURES["Cohen and Hannover external, sensitivity (called abnormal)"]["share"] == 0.5
    assert FIGURES["Cohen and Hannover external, missed (abnormal called normal)"]["share"] == 0.25
    assert FIGURES["Cohen and Hannover external, specificity (normal not called abnormal)"]["share"] == 0.6667


def test_a_set_covers_where_it_holds_the_class_of_the_label() -> None:
    assert FIGURES["true class in the prediction set, Hannover (external)"] == {
        "share": 1.0,
        "n": 2,
        "interval_95": [0.342, 1.0],
        "mean_size": 1.5,
    }
    assert FIGURES["true class in the prediction set, Cohen (external)"]["share"] == 0.8


def test_risk_counts_errors_of_all_images_and_of_those_the_box_answers() -> None:
    found = FIGURES["risk and coverage, all external"]
    assert found["risk_at_100%"] == pytest.approx(2 / 7, abs=5e-4)
    assert found["box_answers"] == pytest.approx(5 / 7, abs=5e-4)
    assert found["box_risk"] == pytest.approx(2 / 5)


def test_the_calibration_error_is_that_of_abnormal() -> None:
    """At 0.9: 3 of 4 ill; at 0.1: 1 of 3."""
    expected = (4 * abs(3 / 4 - 0.9) + 3 * abs(1 / 3 - 0.1)) / 7
    assert FIGURES["calibration error, all external"]["ece"] == pytest.approx(expected, abs=5e-4)


def test_an_image_that_the_gate_refused_counts_nowhere() -> None:
    refused = Reading(row=row("Cohen", "normal", "8"), accepted=False)
    assert pneumonia.evaluate([*READ, refused], [{} for _ in range(8)]) == FIGURES


def test_groups_with_both_classes_get_an_auc_and_others_their_sensitivity() -> None:
    many = [
        reading(row("NIH", label, f"{label}{i}"), p, decision)
        for label, p, decision in (
            ("pneumonia_unspecified", LIKELY, Decision.ABNORMAL),
            ("normal", UNLIKELY, Decision.NORMAL),
        )
        for i in range(6)
    ]
    strata: list[Mapping[str, str]] = [{"view": "AP", "sex": "women"} for _ in range(6)]
    figures = pneumonia.evaluate(many, [*strata, *({"view": "AP"} for _ in range(6))])
    assert figures["NIH external, AP, abnormal against normal"]["auc"] == 1.0
    assert figures["NIH external, women, sensitivity"]["share"] == 1.0
    assert "NIH external, women, abnormal against normal" not in figures


def test_curves_end_at_their_corners() -> None:
    curves = pneumonia.curves(READ)
    false, true = curves["roc"]["Cohen and Hannover external, abnormal against normal"]
    assert (false[0], true[0], false[-1], true[-1]) == (0, 0, 1, 1)
    assert [b["n"] for b in curves["reliability"]["all external"]] == [3, 4]
    assert curves["risk_coverage"]["all external"][0][-1] == 1


def test_fp32_is_compared_image_by_image() -> None:
    other = [*READ[:3], reading(READ[3].row, LIKELY, Decision.ABNORMAL, covid=0.3), *READ[4:]]
    found = precision.evaluate(READ, other)
    flipped = found["decisions flipped, external"]
    assert (flipped["share"], flipped["n"]) == (round(1 / 7, 4), 7)
    figure = found["Cohen and Hannover external, abnormal against normal"]
    assert figure["fp32"] > figure["shipped"]


def test_readings_of_different_images_are_not_compared() -> None:
    with pytest.raises(ValueError, match="same images"):
        precision.evaluate(READ, READ[::-1])


@pytest.mark.parametrize(
    ("label", "age_group", "classes"),
    [
        ("normal", "child", {"normal"}),
        ("bacterial", "child", {"bacterial"}),
        ("bacterial", "adult", {"other_pneumonia"}),
        ("viral", "adult(mostly)", {"other_pneumonia"}),
        ("pneumonia_unspecified", "child", {"bacterial", "viral"}),
        ("covid", "adult", {"covid19"}),
        ("tuberculosis", "adult", {"tuberculosis"}),
        ("nodule", "adult", {"other"}),
    ],
)
def test_no_adult_is_said_to_have_a_bacterial_or_viral_pneumonia(label: str, age_group: str, classes: set[str]) -> None:
    assert truth.classes(row("Cohen", label, "1", age_group=age_group)) == classes
