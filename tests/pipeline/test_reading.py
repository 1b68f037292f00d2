"""The reading of a study: which of its images counts, and what the study comes to."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from edge.dicom.image import Header, ParsedImage, ParsedSlices, Plane, UnreadableImageError
from edge.errors import ModelError, UnreadableError
from edge.pipeline.reading import Engines, Known, SourceImage, read_study
from edge.pipeline.runner import RADIOGRAPH_STAGES
from edge.types import Radiograph, State, StudyResult, Zone
from tests.support import engines, inputs
from tests.support.engines import (
    PNEUMONIA_LIMITS,
    PNEUMONIA_OUTPUTS,
    TWO_LUNGS,
    ScriptedEngine,
    gate_logits,
    pneumonia_logits,
)

KEY = "0123456789abcdef" * 2
SOUND = {"adult_normal": 20.0, "child_normal": 20.0}
CHEST = (inputs.phantom(bits=8) / 255).astype(np.float32)
LATERAL = np.ascontiguousarray(np.tile(np.linspace(0, 1, 300, dtype=np.float32), (400, 1)))
"""No chest, and what the gate of these tests calls lateral: a ramp."""


def gate(image: npt.NDArray[np.float32]) -> list[float]:
    return gate_logits("lateral" if (np.diff(image[5]) >= -1e-6).all() else "frontal")


def box(lungs: npt.NDArray[np.float32] = TWO_LUNGS, **outputs: float) -> dict[str, Any]:
    """The engines of the box; sound lungs unless told otherwise."""
    cards = {
        "frontal_gate": engines.card(),
        "lung_field": engines.card("lung_field", thresholds=engines.LUNG_LIMITS),
        "opacity": engines.card("opacity", thresholds=engines.OPACITY_LIMITS),
        "pneumonia": engines.card("pneumonia", outputs=PNEUMONIA_OUTPUTS, thresholds=PNEUMONIA_LIMITS),
    }
    answers: dict[str, engines.Answer] = {
        "frontal_gate": gate,
        "lung_field": lambda image: lungs,
        "opacity": lambda image: engines.opacity_logits(),
        "pneumonia": lambda image: pneumonia_logits(**(outputs or SOUND)),
    }
    return {name: ScriptedEngine(cards[name], answers[name]) for name in cards}


OPAQUE = engines.opacity_logits(opacity=(slice(4, 12), slice(4, 12)))


def with_opacities(maps: npt.NDArray[np.float32], **outputs: float) -> dict[str, Any]:
    card = engines.card("opacity", thresholds=engines.OPACITY_LIMITS)
    return box(**outputs) | {"opacity": ScriptedEngine(card, engines.both_ways(maps))}


def image(
    source: str, pixels: npt.NDArray[np.float32] = CHEST, *, day: int | None = 1, number: int | None = 1, **changes: Any
) -> SourceImage:
    radiograph = Radiograph(pixels=pixels, pixel_spacing_mm=(0.2, 0.2), patient_age_years=40)
    values = {
        "study_instance_uid": "1.2.3",
        "sop_instance_uid": f"1.2.3.{source}",
        "modality": "DX",
        "acquired_at": datetime(2026, 3, day) if day else None,
        "instance_number": number,
        "radiograph": radiograph,
    }
    return SourceImage(source, ParsedImage(**values | changes))


def unread(source: str, code: str = "truncated") -> SourceImage:
    return SourceImage(source, UnreadableError(code))


def read(*images: SourceImage, by: Engines | None = None) -> StudyResult:
    return read_study(images, by or box(), KEY)


def classified(result: StudyResult) -> Mapping[str, Any]:
    (stage,) = (stage for stage in result.stages if stage.stage == "classification")
    return stage.values


def codes(result: StudyResult) -> list[str]:
    return [remark.code for remark in result.remarks]


def reasons(result: StudyResult) -> list[str]:
    return [remark.code for remark in result.reasons]


def test_a_frontal_radiograph_is_read() -> None:
    result = read(image("a"))
    assert (result.state, result.study_key, result.source) == (State.DONE, KEY, ("a",))
    assert (result.study_instance_uid, result.modality) == ("1.2.3", "DX")
    assert (codes(result), reasons(result)) == ([], [])
    assert classified(result)["decision"] == "normal"
    assert [stage.status.value for stage in result.stages] == ["ok"] * len(RADIOGRAPH_STAGES)
    assert result.completed_at.utcoffset() is not None


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_the_newest_image_is_read_whatever_the_order(order: tuple[int, ...]) -> None:
    images = [image("old", day=1), image("new", day=3), image("middle", day=2)]
    result = read(*(images[i] for i in order))
    assert result.source[0] == "new"
    assert sorted(result.source) == ["middle", "new", "old"]
    assert codes(result) == ["further_images"]
    assert result.remarks[0].values == {"count": "3"}


def test_at_one_time_the_higher_number_is_the_newer_one() -> None:
    assert read(image("first", number=1), image("second", number=2)).source[0] == "second"
    assert read(image("known", number=1), image("unknown", number=None)).source[0] == "known"


def test_an_image_without_a_time_counts_as_older() -> None:
    assert read(image("undated", day=None, number=9), image("dated")).source[0] == "dated"


@pytest.mark.parametrize("swap", [False, True])
def test_of_a_frontal_and_a_lateral_view_the_frontal_one_is_read(swap: bool) -> None:
    pair = [image("frontal", day=1), image("lateral", LATERAL, day=2)]
    result = read(*(pair[::-1] if swap else pair))
    assert (result.state, result.source) == (State.DONE, ("frontal", "lateral"))
    assert result.view_pixels is not None and result.view_pixels.shape == CHEST.shape
    assert codes(result) == ["further_images"]


def test_a_study_of_lateral_views_has_no_result() -> None:
    result = read(image("a", LATERAL, day=1), image("b", LATERAL, day=2))
    assert (result.state, reasons(result), result.source[0]) == (State.NO_RESULT, ["lateral_view"], "b")
    assert [stage.status.value for stage in result.stages] == ["ok", *["skipped"] * (len(RADIOGRAPH_STAGES) - 1)]
    assert codes(result) == [], "no image was read, so none is said to have been"


def test_of_a_study_of_hundreds_only_the_newest_are_shown_to_the_gate() -> None:
    by = box()
    read(*(image(str(i), LATERAL, number=i) for i in range(100)), by=by)
    assert len(by["frontal_gate"].seen) == 8


def test_a_study_that_cannot_be_read_at_all_is_set_aside() -> None:
    result = read(unread("a", "no_pixel_data"), unread("b"))
    assert (result.state, reasons(result), result.stages) == (State.QUARANTINED, ["no_pixel_data"], ())
    assert (result.source, result.view_pixels, result.study_instance_uid) == (("a", "b"), None, None)


def test_a_study_that_is_set_aside_keeps_what_its_header_says() -> None:
    error = UnreadableImageError("multi_frame", Header(study_instance_uid="1.2", modality="US"), frames=12)
    result = read(SourceImage("a", error))
    assert (result.study_instance_uid, result.modality) == ("1.2", "US")
    assert result.reasons[0].values == {"frames": "12"}


def test_images_that_cannot_be_read_are_said_and_the_others_are_read() -> None:
    result = read(unread("broken"), image("good"), unread("worse"))
    assert (result.state, result.source[0], codes(result)) == (State.DONE, "good", ["unreadable_images"])
    assert result.remarks[0].values == {"count": "2"}


def test_a_picture_is_read_and_said_to_have_no_header() -> None:
    result = read(image("a.png", is_picture=True, study_instance_uid=None, modality=None))
    assert (result.state, result.modality, codes(result)) == (State.DONE, None, ["no_dicom_header"])


def test_a_missing_pixel_spacing_is_said() -> None:
    assert codes(read(image("a", radiograph=Radiograph(pixels=CHEST, patient_age_years=40)))) == ["no_pixel_spacing"]


@pytest.mark.parametrize(("p_other", "decision", "why"), [(10.0, "abnormal", []), (-0.9, "refer", ["undecided"])])
def test_a_claim_needs_no_reason_and_a_referral_has_one(p_other: float, decision: str, why: list[str]) -> None:
    result = read(image("a"), by=with_opacities(OPAQUE, adult_other=p_other, adult_normal=1.7))
    assert (result.state, classified(result)["decision"]) == (State.DONE, decision)
    assert reasons(result) == why


def test_implausible_lungs_are_the_reason_of_a_referral() -> None:
    result = read(image("a"), by=box(lungs=np.full_like(TWO_LUNGS, -4)))
    assert (result.state, reasons(result)) == (State.DONE, ["implausible_lungs"])
    assert classified(result)["decision"] == "refer"


def test_lungs_that_could_not_be_outlined_are_the_reason_of_a_referral() -> None:
    by = box() | {"lung_field": ModelError("model_missing", model="lung_field")}
    result = read(image("a"), by=by)
    assert (result.state, reasons(result)) == (State.DONE, ["model_missing"])
    assert classified(result)["decision"] == "refer"


@pytest.mark.parametrize("name", ["frontal_gate", "pneumonia"])
def test_without_the_gate_or_the_classifier_the_reading_has_failed(name: str) -> None:
    result = read(image("a"), by=box() | {name: ModelError("model_hash_mismatch", model=name)})
    assert (result.state, reasons(result)) == (State.FAILED, ["model_hash_mismatch"])
    assert result.reasons[0].values == {"model": name}


def ct_slice(source: str, number: int) -> SourceImage:
    plane = Plane(
        rows=64,
        columns=64,
        position_mm=(-100.0, -100.0, 5.0 * number),
        orientation=(1, 0, 0, 0, 1, 0),
        spacing_mm=(3.0, 3.0),
        image_type=("ORIGINAL", "PRIMARY", "AXIAL"),
        is_scaled=True,
    )
    header = Header(study_instance_uid="1.2.3", modality="CT", sop_instance_uid=f"1.2.3.{number}", planes=(plane,))
    return SourceImage(source, ParsedSlices.of(header, np.full((1, 64, 64), -1000, np.int16)))


def test_the_radiograph_of_a_study_with_ct_is_read_however_many_slices_there_are() -> None:
    result = read(image("chest", day=1), *(ct_slice(f"{number}", number) for number in range(12)))
    assert (result.state, result.source[0], result.modality) == (State.DONE, "chest", "DX")
    assert len(result.source) == 13
    (left,) = (remark for remark in result.remarks if remark.code == "ct_not_read")
    assert left.values == {"count": "12"}
    assert "further_images" not in codes(result)


def test_the_ct_of_a_study_is_read_where_its_radiograph_gives_no_result() -> None:
    result = read(image("ramp", LATERAL), *(ct_slice(f"{number}", number) for number in range(3)))
    assert (result.modality, reasons(result)) == ("CT", ["too_few_slices"])
    assert sorted(result.source) == ["0", "1", "2", "ramp"]
    assert "unreadable_images" not in codes(result)


def ages_seen(header: float | None, stated: float | None) -> tuple[str, list[str]]:
    radiograph = Radiograph(pixels=CHEST, pixel_spacing_mm=(0.2, 0.2), patient_age_years=header)
    result = read_study([image("a", radiograph=radiograph)], box(), KEY, Known(stated_age_years=stated))
    return classified(result)["group"], codes(result)


def test_a_stated_age_chooses_the_head_where_the_header_gives_none() -> None:
    assert ages_seen(None, 7) == ("child", ["age_stated"])
    assert ages_seen(None, 0) == ("child", ["age_stated"])
    assert ages_seen(None, None) == ("unknown", [])


def test_the_age_of_the_header_goes_before_a_stated_one() -> None:
    assert ages_seen(40, 7) == ("adult", [])


def test_a_stated_age_is_said_with_its_years() -> None:
    radiograph = Radiograph(pixels=CHEST, pixel_spacing_mm=(0.2, 0.2))
    result = read_study([image("a", radiograph=radiograph)], box(), KEY, Known(stated_age_years=7))
    assert result.remarks[0].as_json()["text"] == "The header gives no age; 7 years was entered on the page."


def test_the_shown_picture_is_upright_and_small_enough() -> None:
    large = np.tile(CHEST, (5, 5))[:2400, :1800]
    view = read(image("a", large)).view_pixels
    assert view is not None
    assert (view.dtype, view.shape) == (np.uint8, (1600, 1200))

    def turned_gate(seen: npt.NDArray[np.float32]) -> list[float]:
        return gate_logits(quarter_turns=0 if seen[5].mean() < 0.3 else 1)

    ramp = np.linspace(0, 1, 300, dtype=np.float32)[:, None] * np.ones((1, 400), np.float32)
    by = box() | {"frontal_gate": ScriptedEngine(engines.card(), turned_gate)}
    turned = read(image("a", np.rot90(ramp).copy()), by=by)
    assert turned.view_pixels is not None and turned.view_pixels.shape == (300, 400)
    assert turned.view_pixels[0].max() < turned.view_pixels[-1].min()


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        (with_opacities(OPAQUE), ["networks_disagree"]),
        (with_opacities(engines.opacity_logits()), []),
        (with_opacities(OPAQUE, adult_covid19=20.0), []),
        (with_opacities(engines.opacity_logits(), adult_covid19=20.0), ["networks_disagree"]),
        (with_opacities(engines.opacity_logits(), adult_tuberculosis=20.0), []),
    ],
    ids=["normal but opaque", "normal and clear", "ill and opaque", "ill but clear", "tuberculosis, clear"],
)
def test_a_claim_needs_that_both_networks_agree(by: dict[str, Any], expected: list[str]) -> None:
    result = read(image("a"), by=by)
    assert reasons(result) == expected
    assert (classified(result)["decision"] == "refer") is bool(expected)


def change_against(prior: dict[str, Any], by: dict[str, Any]) -> Any:
    result = read_study([image("a")], by, KEY, Known(prior=prior))
    (severity,) = (stage for stage in result.stages if stage.stage == "severity")
    return severity.values["change"]


def prior_by(models: Engines) -> dict[str, Any]:
    shas = {"severity": models["opacity"].card.sha256, "segmentation": models["lung_field"].card.sha256}
    return {"zones": {zone.value: 2.0 for zone in Zone}, "study_key": KEY, "completed_at": "2026-01-01", "models": shas}


def test_a_prior_is_compared_with_where_the_same_models_read_it() -> None:
    by = box()
    assert change_against(prior_by(by), by)["verdict"] == "better"


@pytest.mark.parametrize("stage", ["severity", "segmentation"])
def test_a_prior_that_another_model_read_is_not_compared_with(stage: str) -> None:
    by = box()
    prior = prior_by(by)
    prior["models"][stage] = "cd" * 32
    assert change_against(prior, by) is None


def test_where_the_box_makes_no_claim_it_makes_none_about_a_change() -> None:
    by = box(adult_normal=0.1)
    assert change_against(prior_by(by), by) is None
