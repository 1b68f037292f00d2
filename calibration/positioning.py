"""Limits of the positioning checks, fitted on training and validation images alone.

Public images are mostly well positioned, and nobody labelled those that are not: limits are
quantiles that all but a few of them keep. Two are not. Real images with a lung that is cut
off are among them, so the contact with an edge that counts as one is bounded. And the only
source that is known to keep its aspect ratio is too small for a quantile.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge.engines.engine import Engine
from edge.stages.radiograph import segmentation
from edge.stages.radiograph.measures import Measures, height_to_width, measure, upper_lungs
from edge.stages.stage import Case, first_case
from edge.types import Radiograph
from models.training import data

Numbers = npt.NDArray[np.float64]

_IMAGES = 1500
_FLAGGED = 0.01
"""Share of images beyond a quantile; half of it on each side where there are two."""
_CUT_OFF = (0.1, 0.25)
"""Bounds of the limits of contact with an edge: less is within the error of an outline, more is certainly a fault."""
_MIRRORED = 0.002
_DOUBT = -1.0
"""A mirrored image is claimed from odds of e to 1 on."""
_SCALED_SOURCE = "JSRT"
_DEVIATIONS = 3.0
_RIDGE = 1e-3
_NEWTON_STEPS = 30


def limits(root: Path, engine: Engine) -> dict[str, float]:
    """Every ``positioning_*`` limit, of outlines that this engine draws.

    Parameters
    ----------
    engine : the lung network, with the plausibility limits of its card.

    Raises
    ------
    ValueError
        Where no heart was outlined: without one nothing tells that an image is mirrored.
    """
    cases = [(row, case) for row in sample(root) if (case := _outlined(root, row, engine)).lungs is not None]
    found = [measure(case) for _, case in cases]
    fitted = {
        **_edge_limits(found),
        **heart_limits(_columns(found, "heart_offset", "heart_overlap")),
        **_width_limits(_columns(found, "width_difference")[:, 0]),
        "most_black_share": _most(_columns(found, "black_share")),
        "most_lung_grey": _most(_columns(found, "lung_grey")),
        "least_height_to_width": _least_height([case for row, case in cases if row.source == _SCALED_SOURCE]),
    }
    return {f"positioning_{name}": round(value, 4) for name, value in fitted.items()}


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


def _outlined(root: Path, row: data.Row, engine: Engine) -> Case:
    case = first_case(Radiograph(pixels=data.to_unit(data.pixels(root, row))))
    return segmentation.read(case, engine).case


def _columns(found: list[Measures], *names: str) -> Numbers:
    """Measures as columns, of the images that have all of them."""
    rows = [[measures[name] for name in names] for measures in found]
    complete = [row for row in rows if None not in row]
    if not complete:
        raise ValueError(f"expected images with {' and '.join(names)}, got none")
    return np.array(complete, np.float64)


def _most(values: Numbers) -> float:
    return float(np.quantile(values, 1 - _FLAGGED))


def _edge_limits(found: list[Measures]) -> dict[str, float]:
    names = {
        "most_apex_at_edge": ("apex_at_edge",),
        "most_side_at_edge": ("right_side_at_edge", "left_side_at_edge"),
        "most_angle_at_edge": ("right_angle_at_edge", "left_angle_at_edge"),
    }
    return {limit: float(np.clip(_most(_columns(found, *of)), *_CUT_OFF)) for limit, of in names.items()}


def heart_limits(sides: Numbers) -> dict[str, float]:
    """Weights of offset and overlap of the heart, and the score below which an image counts as mirrored.

    A mirror turns the sign of both measures, so a logistic regression without intercept needs
    the upright images only: their mirrors would give it the same equations again.

    Parameters
    ----------
    sides : shape (N, 2), of upright images.
    """
    scale = sides.std(axis=0) + 1e-9
    weights = _logistic(sides / scale) / scale
    least = float(np.quantile(sides @ weights, _MIRRORED))
    return {
        "heart_offset_weight": float(weights[0]),
        "heart_overlap_weight": float(weights[1]),
        "least_heart_side": min(least, _DOUBT),
    }


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


def _least_height(cases: list[Case]) -> float:
    """Three standard deviations below the mean of the source that keeps its aspect ratio."""
    labels = [case.lungs.labels for case in cases if case.lungs is not None]
    heights = [height_to_width(lungs, upper, 1.0) for lungs in labels if (upper := upper_lungs(lungs))]
    return float(np.mean(heights) - _DEVIATIONS * np.std(heights))
