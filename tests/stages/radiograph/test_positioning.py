"""Positioning: each remark on a phantom with its fault, and none of them on the phantom without."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from hypothesis.extra import numpy as arrays

from edge.stages.radiograph import positioning
from edge.stages.radiograph.case import Case, first_case
from edge.stages.radiograph.measures import SIDE_FEATURES, exposed_field, measure
from edge.stages.stage import Outcome
from edge.types import Mask, Radiograph, Severity
from tests.support import engines
from tests.support.engines import ScriptedEngine

SIDE = 256
NAMES = {1: "right lung", 2: "left lung"}


@dataclass(frozen=True)
class Phantom:
    """A chest: lungs as ellipses (row, column, half height, half width), a heart, and greys for each part."""

    right: tuple[int, int, int, int] = (120, 78, 90, 42)
    left: tuple[int, int, int, int] = (120, 178, 90, 42)
    heart: tuple[int, int, int, int] = (160, 144, 36, 36)
    lung_grey: float = 0.4
    body_grey: float = 0.8

    def case(self, age_years: float | None = 40.0, spacing_mm: tuple[float, float] | None = (1.0, 1.0)) -> Case:
        labels, heart = np.zeros((SIDE, SIDE), np.uint8), np.zeros((SIDE, SIDE), np.uint8)
        for label, lung in ((1, self.right), (2, self.left)):
            ellipse(labels, lung, label)
        ellipse(heart, self.heart, 1)
        texture = np.random.default_rng(0).normal(0, 0.02, labels.shape)
        greys = np.where((labels > 0) & (heart == 0), self.lung_grey, self.body_grey) + texture
        pixels = np.clip(greys, 0, 1).astype(np.float32)
        radiograph = Radiograph(pixels=pixels, pixel_spacing_mm=spacing_mm, patient_age_years=age_years)
        return replace(first_case(radiograph), lungs=Mask(labels=labels, names=NAMES), heart=heart)


def ellipse(image: npt.NDArray[np.uint8], at: tuple[int, int, int, int], value: int) -> None:
    row, column, half_height, half_width = at
    cv2.ellipse(image, (column, row), (half_width, half_height), 0, 0, 360, value, cv2.FILLED)


def read(case: Case, **limits: Any) -> Outcome[Case]:
    card = engines.card("lung_field", thresholds=engines.LUNG_LIMITS | limits)
    engine = ScriptedEngine(card, lambda image: [0])
    outcome = positioning.read(case, engine)
    assert engine.seen == [], "the network has no second run"
    return outcome


def codes(outcome: Outcome[Case]) -> set[str]:
    return {remark.code for remark in outcome.remarks}


def crop(case: Case, rows: slice = slice(None), columns: slice = slice(None)) -> Case:
    """The case as if its image had been cropped before it was outlined."""
    assert case.lungs is not None and case.heart is not None
    lungs = replace(case.lungs, labels=case.lungs.labels[rows, columns])
    return replace(case, pixels=case.pixels[rows, columns], lungs=lungs, heart=case.heart[rows, columns])


def mirror(case: Case) -> Case:
    assert case.lungs is not None and case.heart is not None
    labels = np.array([0, 2, 1], np.uint8)[case.lungs.labels[:, ::-1]]
    return replace(
        case, pixels=case.pixels[:, ::-1].copy(), lungs=replace(case.lungs, labels=labels), heart=case.heart[:, ::-1]
    )


def test_a_well_positioned_phantom_has_no_remark() -> None:
    outcome = read(Phantom().case())
    assert codes(outcome) == set()
    assert outcome.values["heart_side"] > 3
    assert outcome.values["height_to_width"] == pytest.approx(181 / 185, abs=0.01)
    assert outcome.values["lung_grey"] == pytest.approx(0.4, abs=0.01)
    assert outcome.values["width_difference"] == pytest.approx(0, abs=0.01)
    assert outcome.values["smaller_side_px"] == SIDE


@pytest.mark.parametrize(
    ("part", "code"),
    [
        ({"rows": slice(60, None)}, {"cut_off_top"}),
        ({"columns": slice(50, None)}, {"cut_off_right", "cut_off_right_angle"}),
        ({"columns": slice(None, 206)}, {"cut_off_left", "cut_off_left_angle"}),
        ({"rows": slice(None, 185)}, {"cut_off_right_angle", "cut_off_left_angle"}),
    ],
    ids=["top", "right", "left", "base"],
)
def test_a_cropped_lung_is_said_to_be_cut_off_on_that_side(part: dict[str, slice], code: set[str]) -> None:
    found = codes(read(crop(Phantom().case(), **part)))
    assert found == code


@pytest.mark.parametrize(
    ("phantom", "code"),
    [
        (Phantom(right=(150, 78, 90, 42), left=(100, 178, 80, 42)), "cut_off_right_angle"),
        (Phantom(right=(100, 78, 80, 42), left=(150, 178, 90, 42)), "cut_off_left_angle"),
    ],
)
def test_an_angle_is_cut_off_on_its_own_side(phantom: Phantom, code: str) -> None:
    assert codes(read(crop(phantom.case(), slice(0, 225)))) == {code}


@pytest.mark.parametrize("grey", [0.0, 0.5, 1.0])
def test_the_edge_is_that_of_the_exposed_field_inside_a_frame(grey: float) -> None:
    case = crop(Phantom().case(), slice(60, None))
    assert case.lungs is not None and case.heart is not None
    frame = ((30, 10), (20, 40))
    framed = replace(
        case,
        pixels=np.pad(case.pixels, frame, constant_values=grey),
        lungs=replace(case.lungs, labels=np.pad(case.lungs.labels, frame)),
        heart=np.pad(case.heart, frame),
    )
    assert exposed_field(framed.pixels) == (30, 20, 30 + 196, 20 + SIDE)
    assert codes(read(framed)) == {"cut_off_top"}


def test_a_uniform_image_has_no_frame() -> None:
    assert exposed_field(np.full((40, 60), 0.3, np.float32)) == (0, 0, 40, 60)


def test_a_mirrored_image_is_noticed() -> None:
    outcome = read(mirror(Phantom().case()))
    assert codes(outcome) == {"mirrored"}
    assert outcome.values["heart_side"] < -3


def test_a_mirror_turns_the_sign_of_all_that_tells_the_sides_apart() -> None:
    upright, mirrored = measure(Phantom().case()).sides, measure(mirror(Phantom().case())).sides
    assert upright is not None and mirrored is not None and upright.shape == (SIDE_FEATURES,)
    np.testing.assert_allclose(mirrored[-2:], -upright[-2:], atol=0.02)
    np.testing.assert_allclose(mirrored[:-2], -upright[:-2], atol=0.2)
    assert np.abs(upright).max() > 1


def test_without_a_heart_the_greys_alone_tell_the_side() -> None:
    case = replace(mirror(Phantom().case()), heart=None)
    outcome = read(case)
    assert "mirrored" in codes(outcome)
    assert (outcome.values["heart_offset"], outcome.values["heart_overlap"]) == (None, None)


@pytest.mark.parametrize(
    ("phantom", "code"),
    [
        (Phantom(right=(120, 92, 90, 28)), "patient_rotated"),
        (Phantom(left=(120, 164, 90, 28)), "patient_rotated"),
        (Phantom(lung_grey=0.05), "overexposed"),
        (Phantom(lung_grey=0.85, body_grey=0.95), "underexposed"),
        (Phantom(right=(120, 78, 50, 42), left=(120, 178, 50, 42), heart=(130, 144, 30, 36)), "poor_inspiration"),
    ],
)
def test_a_fault_is_said(phantom: Phantom, code: str) -> None:
    assert codes(read(phantom.case())) == {code}


LOW = Phantom(right=(120, 78, 50, 42), left=(120, 178, 50, 42), heart=(130, 144, 30, 36))


@pytest.mark.parametrize(("age_years", "spacing_mm"), [(40.0, None), (None, (1.0, 1.0)), (5.0, (1.0, 1.0))])
def test_nothing_is_said_of_the_height_without_a_scale_or_of_a_child(
    age_years: float | None, spacing_mm: tuple[float, float] | None
) -> None:
    outcome = read(LOW.case(age_years, spacing_mm))
    assert codes(outcome) == set()
    assert outcome.values["height_to_width"] is None


def test_the_height_is_that_in_millimetres_of_the_image_as_it_was_turned() -> None:
    straight = read(LOW.case(spacing_mm=(2.0, 1.0))).values["height_to_width"]
    turned = read(replace(LOW.case(spacing_mm=(1.0, 2.0)), turned_deg=90)).values["height_to_width"]
    assert straight == turned == pytest.approx(2 * read(LOW.case()).values["height_to_width"], abs=1e-3)


def test_the_height_of_a_lung_that_is_cut_off_means_nothing() -> None:
    assert codes(read(crop(Phantom().case(), slice(110, None)))) == {"cut_off_top"}


def test_a_small_image_is_said_to_be_with_its_size() -> None:
    case = replace(Phantom().case(), pixels=np.full((63, 80), 0.5, np.float32), lungs=None)
    (remark,) = read(case).remarks
    assert (remark.code, remark.severity) == ("low_resolution", Severity.INFO)
    assert "80 x 63 pixels" in remark.text % remark.values


def test_without_lungs_nothing_is_said_of_them() -> None:
    outcome = read(replace(Phantom(lung_grey=0.0).case(), lungs=None))
    assert outcome.remarks == ()
    assert outcome.values == {"heart_side": None, "smaller_side_px": SIDE}


def test_limits_are_those_of_the_model() -> None:
    assert codes(read(Phantom().case(), positioning_most_lung_grey=0.3)) == {"underexposed"}


def test_what_can_be_done_is_said_with_every_remark() -> None:
    outcome = read(crop(mirror(Phantom(lung_grey=0.05).case()), slice(60, 185)))
    assert len(outcome.remarks) > 3
    assert all(remark.advice for remark in outcome.remarks)


@settings(max_examples=60, deadline=None)
@given(
    labels=arrays.arrays(
        np.uint8, arrays.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=24), elements=some.integers(0, 2)
    ),
    grey=some.floats(0, 1, width=32),
)
def test_whatever_the_outlines_are_the_values_are_numbers(labels: npt.NDArray[np.uint8], grey: float) -> None:
    pixels = np.full(labels.shape, grey, np.float32)
    case = replace(first_case(Radiograph(pixels=pixels)), lungs=Mask(labels=labels, names=NAMES), heart=labels // 2)
    json.dumps(dict(read(case).values), allow_nan=False)


@settings(max_examples=30, deadline=None)
@given(cut=some.integers(40, 110), right=some.booleans())
def test_a_crop_through_a_lung_is_always_found_on_its_side(cut: int, right: bool) -> None:
    columns = slice(cut, None) if right else slice(None, SIDE - cut)
    wanted, other = ("cut_off_right", "cut_off_left") if right else ("cut_off_left", "cut_off_right")
    found = codes(read(crop(Phantom().case(), columns=columns)))
    assert wanted in found and other not in found
