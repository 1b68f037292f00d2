"""How an earlier CT of a patient lies on this one: rigid first, then affine, on the outlines of the lungs.

Outlines, not greys: disease that came or went must not pull. Affine, since a breath more or less stretches a lung;
rejected: a deformable transform, which would fit a lung that shrank to the full one, and takes minutes. The grid is
coarse, the lungs are blurred, and a budget of time ends the search: what was found until then is judged by its
overlap like any other result.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from edge import clock
from edge.stages.tomography.scan import Bits, Labels, PriorScan
from edge.types import Volume

_GRID_MM, _BLUR_MM = 4.0, 4.0
_STEPS, _SAMPLED_SHARE = 40, 0.05
_BUDGET_S = 3.0


@dataclass(frozen=True, slots=True)
class Alignment:
    """A transform of SimpleITK from this scan's millimetres to the prior's, and 1 minus the Dice overlap after it."""

    transform: Any
    residual: float


def image_of(labels: npt.NDArray[Any], affine: npt.NDArray[np.float64]) -> Any:
    """Voxels with their place, as an image of SimpleITK; a tilted gantry leans its third axis against the others."""
    image = sitk.GetImageFromArray(labels)
    columns = affine[:3, [2, 1, 0]]
    spacing = np.linalg.norm(columns, axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    image.SetDirection((columns / spacing).ravel().tolist())
    return image


def align(volume: Volume, lungs: Bits, prior: PriorScan) -> Alignment:
    """Find where each place of this scan lies on the prior; both must show lungs."""
    fixed, moving = _coarse(lungs, volume.affine), _coarse(prior.tissue > 0, prior.affine)
    end = clock.monotonic() + _BUDGET_S
    middle = sitk.CenteredTransformInitializerFilter.MOMENTS
    start = sitk.Euler3DTransform(sitk.CenteredTransformInitializer(fixed, moving, sitk.Euler3DTransform(), middle))
    rigid = _search(fixed, moving, sitk.Euler3DTransform(start), end)
    affine = _search(fixed, moving, _stretched(rigid, fixed, moving), end)
    # Steps that the budget cut short can end worse than they began.
    tried = (
        (transform, 1 - _dice(fixed, sitk.Resample(moving, fixed, transform))) for transform in (start, rigid, affine)
    )
    transform, residual = min(tried, key=lambda one: one[1])
    return Alignment(transform, residual)


def _coarse(lungs: Bits, affine: npt.NDArray[np.float64]) -> Any:
    """Lungs on the grid of the search, from 0 to 1, blurred."""
    steps = [max(1, round(_GRID_MM / mm)) for mm in np.linalg.norm(affine[:3, :3], axis=0)]
    cut = lungs[tuple(slice(0, size // step * step) for size, step in zip(lungs.shape, steps, strict=True))]
    blocks = cut.reshape([part for size, step in zip(cut.shape, steps, strict=True) for part in (size // step, step)])
    grid = affine @ np.diag([*map(float, steps), 1.0])
    grid[:3, 3] = affine[:3, 3] + affine[:3, :3] @ ((np.array(steps) - 1) / 2)
    image = image_of(blocks.mean((1, 3, 5), dtype=np.float32), grid)
    return sitk.SmoothingRecursiveGaussian(image, _BLUR_MM)


def _stretched(rigid: Any, fixed: Any, moving: Any) -> Any:
    """A rigid transform with the lungs of this scan stretched along the body to the height of the prior's."""
    affine = sitk.AffineTransform(3)
    affine.SetCenter(rigid.GetCenter())
    affine.SetTranslation(rigid.GetTranslation())
    scale = np.diag([1.0, 1.0, _height_mm(moving) / _height_mm(fixed)])
    affine.SetMatrix((np.array(rigid.GetMatrix()).reshape(3, 3) @ scale).ravel().tolist())
    return affine


def _height_mm(image: Any) -> float:
    """How far lungs spread along the body: the standard deviation of their places."""
    areas = np.asarray(sitk.GetArrayViewFromImage(image)).sum((1, 2))
    places = np.arange(len(areas)) * image.GetSpacing()[2]
    middle = float(np.average(places, weights=areas))
    return float(np.sqrt(np.average((places - middle) ** 2, weights=areas)))


def _search(fixed: Any, moving: Any, start: Any, end: float) -> Any:
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMeanSquares()
    method.SetMetricSamplingStrategy(method.REGULAR)
    method.SetMetricSamplingPercentage(_SAMPLED_SHARE)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=2.0, minStep=0.05, numberOfIterations=_STEPS, gradientMagnitudeTolerance=1e-8
    )
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetInitialTransform(start, inPlace=True)
    method.AddCommand(sitk.sitkIterationEvent, lambda: _stop_late(method, end))
    method.Execute(fixed, moving)
    return start


def _stop_late(method: Any, end: float) -> None:
    if clock.monotonic() > end:
        method.StopRegistration()


def _dice(one: Any, other: Any) -> float:
    first, second = (np.asarray(sitk.GetArrayViewFromImage(image)) > 0.5 for image in (one, other))
    return 2 * float((first & second).sum()) / max(float(first.sum() + second.sum()), 1.0)


def carried(prior: PriorScan, volume: Volume, found: Alignment) -> Labels:
    """Tissue of the prior on the grid of this scan, shape (D, H, W)."""
    grid = image_of(np.zeros(volume.hu.shape, np.uint8), volume.affine)
    moved = sitk.Resample(image_of(prior.tissue, prior.affine), grid, found.transform, sitk.sitkNearestNeighbor, 0)
    return np.asarray(sitk.GetArrayFromImage(moved), np.uint8)


def matched(volume: Volume, lungs: Bits, prior: PriorScan, found: Alignment) -> list[int]:
    """For each slice, the slice of the prior at the same level of the lungs; both count from 1, 0 beyond its ends.

    Parameters
    ----------
    lungs : their middle is the line along which levels are compared.
    """
    middle = np.argwhere(lungs.any(0)).mean(0)
    back, last = np.linalg.inv(prior.affine), len(prior.tissue) - 1
    levels = []
    for number in range(len(volume.hu)):
        place = volume.affine @ np.array([number, *middle, 1.0])
        there = found.transform.TransformPoint(place[:3].tolist())
        level = round(float((back @ np.array([*there, 1.0]))[0]))
        levels.append(level + 1 if 0 <= level <= last else 0)
    return levels
