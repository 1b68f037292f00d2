"""CT images that could be slices of one volume: those of one series, size, direction, kernel and breath.

Rejected: parting acquisitions by their numbers alone, since units count each rotation of the tube as one.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge.dicom.geometry import SAME_PLACE_MM, depths_mm
from edge.dicom.image import Plane

_CHEST = re.compile(r"CHEST|THOR|LUNG|PULM|HEART|CARD|TRUNK|TORSO|BODY|\bCAP\b")
_SAME_DIRECTION = 0.0087  # between cosines: half a degree
_FEW = 2
_BESIDE_STEPS = 0.75
_BETWEEN_STEPS = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One image, or one frame of it, that lies across the body: frame ``frame`` of the header at index ``header``."""

    header: int
    frame: int
    plane: Plane
    instance_number: int
    sop_instance_uid: str
    series_instance_uid: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """Images of one series that could be slices of one volume, from head to feet, and others at the same places.

    ``kind`` is the same for those that differ by their acquisition alone.
    """

    images: tuple[Candidate, ...]
    doubles: int
    kind: int

    @property
    def first(self) -> Candidate:
        return self.images[0]

    @property
    def planes(self) -> list[Plane]:
        return [image.plane for image in self.images]

    @property
    def is_derived(self) -> bool:
        return bool({"DERIVED", "SECONDARY"} & {*self.first.plane.image_type[:2]})

    @property
    def is_elsewhere(self) -> bool:
        body_part = self.first.plane.body_part
        return bool(body_part) and not _CHEST.search(body_part)

    @property
    def coverage_mm(self) -> float:
        depths = depths_mm(self.planes)
        return float(depths[-1] - depths[0])

    @property
    def step_mm(self) -> float:
        steps = np.diff(depths_mm(self.planes))
        return float(np.median(steps)) if len(steps) else 0.0


def stacks(images: Iterable[Candidate]) -> list[Stack]:
    """All images, put together as volumes."""
    groups: dict[object, list[list[Candidate]]] = defaultdict(list)
    for image in images:
        plane = image.plane
        spacing = tuple(round(value, 3) for value in plane.spacing_mm or ())
        size = (plane.rows, plane.columns, plane.kernel, plane.frame_of_reference_uid, plane.image_type[:2])
        alike = groups[(image.series_instance_uid, spacing, *size)]
        group = next((group for group in alike if _is_parallel(group[0].plane, plane)), None)
        if group is None:
            alike.append([image])
        else:
            group.append(image)
    parted = enumerate(group for alike in groups.values() for group in alike)
    return [_stack(images, kind) for kind, group in parted for images in _acquisitions(group)]


def _is_parallel(one: Plane, other: Plane) -> bool:
    # Not by rounded cosines: noise of the last digit would part slices wherever a value lies between two steps.
    pairs = zip(one.orientation or (), other.orientation or (), strict=True)
    return all(abs(a - b) <= _SAME_DIRECTION for a, b in pairs)


def _acquisitions(images: list[Candidate]) -> list[list[Candidate]]:
    """Acquisitions that follow each other together, those that show the same part of the body apart."""
    groups: dict[int | None, list[Candidate]] = defaultdict(list)
    for image in images:
        groups[image.plane.acquisition_number].append(image)
    runs: list[list[Candidate]] = []
    for _, group in sorted(groups.items(), key=lambda pair: (-len(pair[1]), pair[0] or 0)):
        run = next((run for run in runs if not _shows_the_same(group, run)), None)
        if run is None:
            runs.append([*group])
        else:
            run += group
    return runs


def _shows_the_same(group: list[Candidate], run: list[Candidate]) -> bool:
    """Whether most of a group lies beside slices of the run; a slice taken again, or one in a gap, does not."""
    if len(group) <= _FEW:
        return False
    distances, step_mm = _distances_mm(group, run)
    return bool((distances < _BESIDE_STEPS * step_mm).mean() > 0.5)


def _distances_mm(images: Sequence[Candidate], slices: Sequence[Candidate]) -> tuple[npt.NDArray[np.float64], float]:
    """How far each image lies from the nearest of the slices along their normal, and the usual step of these."""
    depths = depths_mm([image.plane for image in (*slices, *images)])
    levels = np.sort(depths[: len(slices)])
    after = np.searchsorted(levels, depths[len(slices) :]).clip(1, max(len(levels) - 1, 1))
    nearest = levels[np.stack([after - 1, after.clip(max=len(levels) - 1)])]
    steps = np.diff(levels)
    return np.abs(nearest - depths[len(slices) :]).min(axis=0), float(np.median(steps)) if len(steps) else 0.0


def between(stack: Stack, other: Stack) -> int:
    """How many images of another stack lie where a slice of this one could be missing."""
    depths = depths_mm([image.plane for image in (*stack.images, *other.images)])
    inside = (depths > depths[0]) & (depths < depths[len(stack.images) - 1])
    distances, step_mm = _distances_mm(other.images, stack.images)
    return int((inside[len(stack.images) :] & (distances > _BETWEEN_STEPS * step_mm)).sum())


def _stack(images: list[Candidate], kind: int) -> Stack:
    """Of several images at one place, that of the acquisition with most images is taken, then the lowest number."""
    sizes = Counter(image.plane.acquisition_number for image in images)
    depths = depths_mm([image.plane for image in images])

    def order(pair: tuple[float, Candidate]) -> tuple[object, ...]:
        image = pair[1]
        number = image.plane.acquisition_number
        return (-sizes[number], number or 0, image.instance_number, image.header, image.frame)

    kept: list[Candidate] = []
    here: list[tuple[float, Candidate]] = []
    for depth, image in sorted(zip(depths.tolist(), images, strict=True), key=lambda pair: pair[0]):
        if here and depth - here[0][0] > SAME_PLACE_MM:
            kept.append(min(here, key=order)[1])
            here = []
        here.append((depth, image))
    kept.append(min(here, key=order)[1])
    return Stack(images=tuple(kept), doubles=len(images) - len(kept), kind=kind)
