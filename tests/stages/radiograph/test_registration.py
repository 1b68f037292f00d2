"""Registration: lungs that were moved lie on the atlas again, and lungs that fit nowhere are said not to."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from edge.stages.radiograph import registration
from edge.stages.radiograph.case import first_case
from edge.stages.radiograph.geometry import pixel_matrix, warp_labels
from edge.types import Mask, Radiograph
from tests.support import engines
from tests.support.engines import LUNG_LIMITS, ScriptedEngine

SIDE = 128
Labels = npt.NDArray[np.uint8]
LUNGLIKE = LUNG_LIMITS | {
    "atlas_right": [[0.25, 0.06], [0.4, 0.12], [0.44, 0.7], [0.4, 0.85], [0.06, 0.94], [0.1, 0.4]],
    "atlas_left": [[0.75, 0.06], [0.9, 0.4], [0.94, 0.94], [0.6, 0.85], [0.66, 0.6], [0.58, 0.4], [0.6, 0.12]],
}
"""An atlas that looks the same from no two sides."""


def moved(turn_deg: float = 0, zoom: float = 1, shift: tuple[float, float] = (0, 0), height: int = 200) -> Labels:
    """The lungs of the atlas turned about the middle, zoomed, and shifted by shares of the image."""
    atlas = registration.atlas_labels(LUNGLIKE, 256)
    matrix = cv2.getRotationMatrix2D((0.5, 0.5), turn_deg, zoom)
    matrix[:, 2] += shift
    by = pixel_matrix(matrix, atlas.shape, height)
    return np.asarray(cv2.warpAffine(atlas, by, (height, height), flags=cv2.INTER_NEAREST), np.uint8)


@pytest.mark.parametrize("turn_deg", [-15, -6, 0, 6, 15])
@pytest.mark.parametrize("zoom", [0.5, 0.8])
@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.1, -0.08)])
def test_moved_lungs_lie_on_the_atlas_again(turn_deg: float, zoom: float, shift: tuple[float, float]) -> None:
    found = registration.align(moved(turn_deg, zoom, shift), LUNGLIKE)
    assert found.fits and found.residual < 0.06
    assert abs(registration.turn_deg(found.matrix)) == pytest.approx(abs(turn_deg), abs=2)


def test_an_image_of_any_aspect_is_aligned() -> None:
    squashed = cv2.resize(moved(4, 0.7), (300, 150), interpolation=cv2.INTER_NEAREST)
    assert registration.align(np.asarray(squashed, np.uint8), LUNGLIKE).residual < 0.06


def test_the_matrix_takes_the_lungs_to_the_atlas() -> None:
    lungs = moved(8, 0.7, (0.05, 0.02))
    found = registration.align(lungs, LUNGLIKE)
    laid, atlas = warp_labels(lungs, found.matrix, SIDE), registration.atlas_labels(LUNGLIKE, SIDE)
    assert registration.misfit(lungs, atlas, found.matrix) == pytest.approx(found.residual)
    assert (laid == atlas).mean() > 0.97


def test_lungs_that_fit_nowhere_are_cropped_and_this_is_said() -> None:
    odd = np.zeros((200, 200), np.uint8)
    odd[20:40, 20:180], odd[160:180, 20:180] = 1, 2
    found = registration.align(odd, LUNGLIKE)
    assert not found.fits and found.residual > LUNGLIKE["most_residual"]  # type: ignore[operator]
    np.testing.assert_allclose(found.matrix[[0, 1], [1, 0]], 0)
    assert set(np.unique(found.zones)) == {0, 1, 2, 3, 4, 5, 6}, "zones come from the lungs' own extent"


def test_lungs_upside_down_do_not_fit() -> None:
    assert not registration.align(np.ascontiguousarray(moved(zoom=0.8)[::-1]), LUNGLIKE | {"most_residual": 0.1}).fits


def test_a_mirrored_image_is_not_turned_back() -> None:
    mirrored = np.ascontiguousarray(moved(zoom=0.8)[:, ::-1])
    swapped = np.array([0, 2, 1], np.uint8)[mirrored]
    found = registration.align(swapped, LUNGLIKE)
    assert np.linalg.det(found.matrix[:, :2]) > 0


def read(limit: float) -> tuple[list[str], dict[str, object], bool]:
    labels = moved(5, 0.8)
    case = replace(first_case(Radiograph(pixels=np.zeros((200, 200), np.float32))), lungs=Mask(labels=labels, names={}))
    card = engines.card("lung_field", thresholds=LUNGLIKE | {"most_residual": limit})
    engine = ScriptedEngine(card, lambda image: image)
    outcome = registration.read(case, engine)
    assert engine.seen == [] and outcome.case.alignment is not None
    return [remark.code for remark in outcome.remarks], dict(outcome.values), outcome.case.alignment.fits


def test_values_are_those_of_the_schema() -> None:
    codes, values, fits = read(0.3)
    assert (codes, fits, values["aligned"], list(values)) == ([], True, True, ["aligned", "residual", "matrix"])
    codes, values, fits = read(0.0001)
    assert (codes, fits, values["aligned"]) == (["not_aligned"], False, False)


def test_without_lungs_there_is_nothing_to_align() -> None:
    case = first_case(Radiograph(pixels=np.zeros((20, 20), np.float32)))
    outcome = registration.read(case, ScriptedEngine(engines.card(thresholds=LUNGLIKE), lambda image: image))
    assert (outcome.case.alignment, outcome.values, outcome.remarks) == (None, {}, ())
