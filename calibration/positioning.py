"""Limits of the positioning checks, fitted on training and validation images alone.

Public images are mostly well positioned, and nobody labelled those that are not: limits are
quantiles that all but a few of them keep. Three are not only that. Real images with a lung
that is cut off are among them, so the contact with an edge that counts as one is bounded.
Hardly any has black lungs, so that a quantile would flag harmless ones. And the only source
that is known to keep its aspect ratio is too small for a quantile.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge.engines.engine import Engine
from edge.stages.radiograph import segmentation
from edge.stages.radiograph.case import first_case
from edge.stages.radiograph.geometry import Pixels
from edge.stages.radiograph.measures import Measured, Measures, measure
from edge.types import Radiograph
from models.training import data

Numbers = npt.NDArray[np.float64]

_IMAGES = 1500
_FLAGGED = 0.01
"""Share of images beyond a quantile; half of it on each side where there are two."""
_CUT_OFF = (0.1, 0.25)
"""Bounds of the limits of contact with an edge: less is within the error of an outline, more is certainly a fault."""
_MIRRORED = 0.001
"""Share of images below the limit of mirrored ones: such a claim must hardly ever be wrong."""
_BLACK = 0.15
"""Least limit of the share of the lungs that is nearly black: less is not much of them."""
_DOUBT = -1.0
"""A mirrored image is claimed from odds of e to 1 on."""
_SCALED_SOURCE = "JSRT"
_DEVIATIONS = 3.0
_RIDGE = 1e-3
_NEWTON_STEPS = 30


def limits(root: Path, engine: Engine) -> dict[str, Any]:
    """Every ``positioning_*`` limit, of outlines that this engine draws.

    Parameters
    ----------
    engine : the lung network, with the plausibility limits of its card.
    """
    upright: list[Measured] = []
    mirrored: list[Measured] = []
    for row in sample(root):
        pixels = data.to_unit(data.pixels(root, row))
        upright.append(_measured(row, pixels, engine))
        mirrored.append(_measured(row, pixels[:, ::-1].copy(), engine))
    found = [measured.values for measured in upright if measured.values]
    fitted = {
        **_edge_limits(found),
        **side_limits(_sides(upright), _sides(mirrored)),
        **_width_limits(_column(found, "width_difference")),
        "most_black_share": max(_BLACK, _most(_column(found, "black_share"))),
        "most_lung_grey": _most(_column(found, "lung_grey")),
        "least_height_to_width": _least_height(_column(found, "height_to_width")),
    }
    return {f"positioning_{name}": np.round(value, 4).tolist() for name, value in fitted.items()}


def sample(root: Path) -> list[data.Row]:
    """Training and validation images, as many of each source as there are, up to an even share."""
    by_source: dict[str, list[data.Row]] = {}
    for row in data.manifest(root):
        if row.split in ("train", "val") and not row.is_lateral:
            by_source.setdefault(row.source, []).append(row)
    return [row for rows in by_source.values() for row in _spread(rows, _IMAGES // len(by_source))]


def _spread(rows: list[data.Row], count: int) -> Iterator[data.Row]:
    step = max(1.0, len(rows) / count)
    return (rows[int(i * step)] for i in range(min(count, len(rows))))


def _measured(row: data.Row, pixels: Pixels, engine: Engine) -> Measured:
    """Measures of an image; one of known aspect ratio counts as an adult's of known scale."""
    radiograph = Radiograph(pixels=pixels)
    if row.source == _SCALED_SOURCE:
        radiograph = replace(radiograph, pixel_spacing_mm=(1.0, 1.0), patient_age_years=50.0)
    return measure(segmentation.read(first_case(radiograph), engine).case)


def _column(found: list[Measures], *names: str) -> Numbers:
    """Every value of one or more measures."""
    return np.array([value for measures in found for name in names if (value := measures[name]) is not None])


def _most(values: Numbers) -> float:
    return float(np.quantile(values, 1 - _FLAGGED))


def _edge_limits(found: list[Measures]) -> dict[str, float]:
    names = {
        "most_apex_at_edge": ("apex_at_edge",),
        "most_side_at_edge": ("right_side_at_edge", "left_side_at_edge"),
        "most_angle_at_edge": ("right_angle_at_edge", "left_angle_at_edge"),
    }
    return {limit: float(np.clip(_most(_column(found, *of)), *_CUT_OFF)) for limit, of in names.items()}


def _sides(found: list[Measured]) -> Numbers:
    return np.array([measured.sides for measured in found if measured.sides is not None])


def side_limits(upright: Numbers, mirrored: Numbers) -> dict[str, Any]:
    """Weights of the differences between the sides, and the score below which an image counts as mirrored.

    A logistic regression without intercept: every feature turns its sign in a mirror, but for
    what the network draws differently there, so that mirrored images are needed too.

    Parameters
    ----------
    upright, mirrored : shape (N, F) and (M, F)
    """
    points = np.concatenate([upright, -mirrored])
    scale = points.std(axis=0) + 1e-9
    weights = np.round(_logistic(points / scale) / scale, 4)
    least = float(np.quantile(points @ weights, _MIRRORED))
    return {"side_weights": weights, "least_heart_side": min(least, _DOUBT)}


def _logistic(points: Numbers) -> Numbers:
    """Weights that maximize the likelihood that all points are positive, with a ridge (Newton's method)."""
    weights = np.zeros(points.shape[1])
    ridge = _RIDGE * np.eye(points.shape[1])
    for _ in range(_NEWTON_STEPS):
        p = 1 / (1 + np.exp(-points @ weights))
        gradient = points.T @ (1 - p) / len(points) - _RIDGE * weights
        curvature = (points.T * (p * (1 - p))) @ points / len(points) + ridge
        weights = weights + np.linalg.solve(curvature, gradient)
    return weights


def _width_limits(differences: Numbers) -> dict[str, float]:
    least, most = np.quantile(differences, (_FLAGGED / 2, 1 - _FLAGGED / 2))
    return {"least_width_difference": float(least), "most_width_difference": float(most)}


def _least_height(heights: Numbers) -> float:
    """Three standard deviations below the mean of the source that keeps its aspect ratio."""
    return float(heights.mean() - _DEVIATIONS * heights.std())
