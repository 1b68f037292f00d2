"""Lung masks of single slices of unknown window, by a classical method in two dimensions.

Two grey values are found in every picture, of lung and of soft tissue; what is darker than
their mean and does not reach the border is lung. Masks that are implausible teach nothing: of 4,288
pictures 1,288 are kept. The masks are no truth: they lose dense consolidation and the parts
of a lung that reach the border of the picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from edge.stages.tomography import planes
from edge.stages.tomography.slices import to_unit
from models.training import tomography
from models.training.augment import Image

Labels = npt.NDArray[np.uint8]
Bits = npt.NDArray[np.bool_]
_LUNG_HU, _TISSUE_HU = -860.0, 40.0
_PIXEL = (1.0, 1.0, 1.0)
_LEAST_LUNG, _MOST_LUNG = 0.04, 0.5
"""Share of the picture that one lung covers."""
_MOST_RATIO, _LEAST_SOLID = 3.0, 0.8


def load(root: Path, side: int, splits: Sequence[str]) -> tuple[npt.NDArray[np.float16], Labels]:
    """Pictures of these splits with a plausible mask, in the greys of Hounsfield units, and labels: both (N, S, S)."""
    images, labels = [], []
    for row in tomography.slice_rows(root):
        if row.split in splits:
            found = masked(tomography.picture(root, row))
            if found is not None:
                images.append(cv2.resize(found[0], (side, side), interpolation=cv2.INTER_AREA).astype(np.float16))
                labels.append(cv2.resize(found[1], (side, side), interpolation=cv2.INTER_NEAREST))
    return np.stack(images), np.stack(labels)


def masked(grey: npt.NDArray[np.uint8]) -> tuple[Image, Labels] | None:
    """A picture in the greys of ``slices.to_unit`` and the labels of its lungs; None where they are implausible."""
    smooth = _smooth(grey)
    anchors = _anchors(smooth)
    if anchors is None:
        return None
    lung, tissue = anchors
    dark = _inner((smooth < (lung + tissue) / 2).astype(np.uint8))
    labels = _two_lungs(dark)
    if labels is None:
        return None
    return _in_hounsfield_greys(grey, lung, tissue), labels


def levelled(grey: npt.NDArray[np.uint8]) -> Image | None:
    """A picture in the greys of ``slices.to_unit``; None where no two greys stand out."""
    anchors = _anchors(_smooth(grey))
    return None if anchors is None else _in_hounsfield_greys(grey, *anchors)


def _in_hounsfield_greys(grey: npt.NDArray[np.uint8], lung: float, tissue: float) -> Image:
    hu = _LUNG_HU + (grey.astype(np.float32) - lung) / (tissue - lung) * (_TISSUE_HU - _LUNG_HU)
    return to_unit(hu)


def _smooth(grey: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    return np.asarray(cv2.GaussianBlur(grey, (0, 0), 1.0), np.uint8)


def _anchors(smooth: npt.NDArray[np.uint8]) -> tuple[float, float] | None:
    """The greys of aerated lung and of soft tissue, from the middle of the picture."""
    side = smooth.shape[0]
    inner = smooth[side // 6 : -side // 6, side // 8 : -side // 8]
    limit, _ = cv2.threshold(inner, 0, 1, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    dark, bright = inner[inner <= limit], inner[inner > limit]
    if min(dark.size, bright.size) < 0.1 * inner.size:
        return None
    lung, tissue = float(np.quantile(dark, 0.35)), float(np.median(bright))
    return (lung, tissue) if tissue - lung > 30 else None


def _inner(dark: npt.NDArray[np.uint8]) -> Bits:
    """Pieces that do not run along the border of the picture."""
    _, pieces = cv2.connectedComponents(dark, connectivity=4)
    edge = np.concatenate([pieces[0], pieces[-1], pieces[:, 0], pieces[:, -1]])
    touching = np.unique(edge)
    return np.asarray((dark > 0) & ~np.isin(pieces, touching))


def _two_lungs(dark: Bits) -> Labels | None:
    _, pieces, stats, centres = cv2.connectedComponentsWithStats(dark.astype(np.uint8), connectivity=4)
    areas = stats[1:, cv2.CC_STAT_AREA] / dark.size
    if len(areas) < 2:
        return None
    order = np.argsort(areas)[::-1][:2]
    large, small = areas[order]
    if small < _LEAST_LUNG or large > _MOST_LUNG or large > _MOST_RATIO * small:
        return None
    first, second = sorted(1 + order, key=lambda piece: float(centres[piece][0]))
    if centres[second][0] - centres[first][0] < 0.25 * dark.shape[1]:
        return None
    sides = [planes.filled(planes.closed(pieces == piece, 5.0, _PIXEL)) for piece in (first, second)]
    if min(float(one.sum() / max(1, planes.hull(one).sum())) for one in sides) < _LEAST_SOLID:
        return None
    return np.where(sides[0], 1, np.where(sides[1], 2, 0)).astype(np.uint8)
