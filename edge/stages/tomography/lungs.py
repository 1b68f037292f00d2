"""Right and left lung of a CT volume without a network: thresholds, growing, closing, a watershed.

The steps are those of Hu, Hoffman and Reinhardt 2001 (air in the body, airways taken out by a
growing region, the two lungs parted, holes closed), and a closing at the chest wall that gets dense
consolidation back, which no threshold tells from muscle. Reference masks for the network come from
here, and the box falls back on it. Rejected: a threshold and the two largest components alone, which
lose every consolidation at the wall, keep the trachea, and join the lungs in front of the heart.

It works on any grid; half of the resolution of a scanner is enough and four times as fast.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from edge.stages.tomography import airways, planes
from edge.types import Volume

Bits = npt.NDArray[np.bool_]
Labels = npt.NDArray[np.uint8]
RIGHT, LEFT = 1, 2

AERATED_BELOW_HU = -400
"""Half way between aerated lung and soft tissue: where the edge of a lung lies."""
_TISSUE_FROM_HU = -300
_GAS_BELOW_HU = -940
"""Mean of the gas in stomach and bowel; of a lung, vessels keep it higher."""
_BONE_FROM_HU = 180
LEAST_SHARE = 0.08
"""Volume of a lung, as a share of the largest piece of air."""
_CLOSED_MM, _WALL_MM, _WALL_ZONE_MM = 4.0, 24.0, 30.0
_AIRWAY_EDGE_MM = 1.5
"""The blurred edge of an airway, which the growing region does not reach, and its wall."""
_SMALL_HOLE_MM2 = 300.0
_OPEN_BELOW = 0.5
"""Share of the mean area of a hole below which tissue goes on: more, and it is the dome of the diaphragm."""
_MOST_SHRINKING_MM, _LEAST_APART_MM = 16.0, 60.0


@dataclass(frozen=True, slots=True)
class Lungs:
    """Labels of shape (D, H, W): 1 the right lung, 2 the left one; and the trachea with the main airways."""

    labels: Labels
    airways: Bits


def segment(volume: Volume) -> Lungs:
    """Both lungs of a volume whose slices are axial, in any order from head to foot; empty where there are none."""
    hu = planes.smoothed(volume.hu)
    inside = planes.each(hu, lambda plane: body(plane, volume.spacing_mm))
    is_air = (hu < AERATED_BELOW_HU) & inside
    tree = planes.grown(airways.grown(hu, inside, volume), _AIRWAY_EDGE_MM, volume.spacing_mm) & is_air
    air = is_air & ~planes.grown(tree, _AIRWAY_EDGE_MM, volume.spacing_mm)
    parted = _parted(lung_pieces(hu, air), volume)
    return Lungs(with_dense(parted, hu, tree, volume), tree)


def with_dense(aerated: Labels, hu: npt.NDArray[np.float32], tree: Bits, volume: Volume) -> Labels:
    """Right and left lung with what is dense in them, from what of them is aerated."""
    whole = np.zeros_like(aerated)
    wall = _wall(aerated > 0, hu, volume.spacing_mm)
    for side in (RIGHT, LEFT):
        closed = _closed(aerated == side, wall, volume) & ~tree & (aerated != 3 - side) & (whole == 0)
        whole[closed] = side
    return whole


def body(plane: npt.NDArray[np.float32], spacing_mm: tuple[float, float, float]) -> Bits:
    """The largest piece of tissue with all that it encloses; table, blankets and arms are other pieces.

    The wall of a thin chest is a few millimetres thick between two ribs, or noise breaks it.
    """
    tissue = planes.opened((plane >= _TISSUE_FROM_HU).astype(np.uint8), 1.0, spacing_mm)
    return planes.filled(planes.closed(planes.largest(tissue), 5.0, spacing_mm))


def lung_pieces(hu: npt.NDArray[np.float32], air: Bits) -> Bits:
    """Pieces of air that are large and hold vessels: the lungs together or one by one, without gas of the bowel."""
    pieces, sizes = components(air)
    if not len(sizes):
        return air
    kept = np.zeros(len(sizes) + 1, bool)
    for piece in np.flatnonzero(sizes >= LEAST_SHARE * sizes[0]) + 1:
        kept[piece] = float(hu[pieces == piece].mean()) > _GAS_BELOW_HU
    return np.asarray(kept[pieces])


def components(mask: Bits) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]:
    """Pieces numbered from 1 on by size, and their sizes in voxels, the largest first."""
    numbered = np.zeros(mask.shape, np.uint32)
    box = planes.box(mask)
    relabel = sitk.RelabelComponentImageFilter()
    image = sitk.GetImageFromArray(mask[box].astype(np.uint8))
    found = relabel.Execute(sitk.ConnectedComponent(image)) if mask[box].size else None
    if found is not None:
        numbered[box] = sitk.GetArrayViewFromImage(found)
    return numbered, np.array(relabel.GetSizeOfObjectsInPixels() if found is not None else (), np.int64)


def _parted(lungs: Bits, volume: Volume) -> Labels:
    """Each voxel of the lungs as right or left."""
    cores = _cores(lungs, volume)
    if cores is None:
        return np.where(lungs, _side_of(lungs, volume, lungs), 0).astype(np.uint8)
    image = sitk.GetImageFromArray(lungs.astype(np.uint8))
    image.SetSpacing(volume.spacing_mm[::-1])
    depth = sitk.SignedMaurerDistanceMap(image, insideIsPositive=False, squaredDistance=False, useImageSpacing=True)
    markers = sitk.GetImageFromArray(cores)
    markers.CopyInformation(depth)
    basins = sitk.MorphologicalWatershedFromMarkers(depth, markers, markWatershedLine=False)
    return np.where(lungs, sitk.GetArrayFromImage(basins), 0).astype(np.uint8)


def _cores(lungs: Bits, volume: Volume) -> Labels | None:
    """What is left of either lung when both are shrunk until they part; None where they never do."""
    for shrunk_mm in np.arange(0, _MOST_SHRINKING_MM, 2.0):
        core = planes.shrunk(lungs, float(shrunk_mm), volume.spacing_mm)
        pieces, sizes = components(core)
        if len(sizes) > 1 and sizes[1] > 0.2 * sizes[0] and _apart_mm(pieces, volume) > _LEAST_APART_MM:
            first = _side_of(pieces == 1, volume, lungs)
            labels = np.zeros(lungs.shape, np.uint8)
            labels[pieces == 1], labels[pieces == 2] = first, 3 - first
            return _with_small_pieces(labels, pieces, sizes)
    return None


def _apart_mm(pieces: npt.NDArray[np.uint32], volume: Volume) -> float:
    """From the middle of the largest piece to that of the second, from right to left."""
    first, second = (float(np.argwhere(pieces == piece)[:, 2].mean()) for piece in (1, 2))
    return abs(first - second) * volume.spacing_mm[2]


def _with_small_pieces(labels: Labels, pieces: npt.NDArray[np.uint32], sizes: npt.NDArray[np.int64]) -> Labels:
    """Pieces beside the two large ones belong to the side whose centre is nearer."""
    centres = [np.argwhere(labels == side).mean(0) for side in (RIGHT, LEFT)]
    for piece in range(3, min(len(sizes), 12) + 1):
        centre = np.argwhere(pieces == piece).mean(0)
        distances = [abs(float(centre[2] - other[2])) for other in centres]
        labels[pieces == piece] = (RIGHT, LEFT)[int(np.argmin(distances))]
    return labels


def _side_of(piece: Bits, volume: Volume, lungs: Bits) -> int:
    """The side of a piece by its place against the middle of all; the patient's left is +x (PS3.3 C.7.6.2.1.1)."""
    columns = np.flatnonzero(lungs.any((0, 1)))
    middle = float(columns[[0, -1]].mean()) if piece is not lungs else volume.hu.shape[2] / 2
    is_left = (float(np.argwhere(piece)[:, 2].mean()) - middle) * volume.affine[0, 2] > 0 if piece.any() else False
    return LEFT if is_left else RIGHT


def _closed(lung: Bits, wall: Bits, volume: Volume) -> Bits:
    """A lung with its vessels, its nodules, and dense consolidation at the wall."""
    spacing_mm = volume.spacing_mm
    near = planes.each(lung, lambda plane: planes.closed(plane, _CLOSED_MM, spacing_mm))
    wide = planes.each(lung, lambda plane: planes.closed(plane, _WALL_MM, spacing_mm))
    holes = planes.each(near, lambda plane: planes.filled(plane) & ~plane)
    return near | _no_dome(holes, near, volume) | _no_dome(wide & wall & ~near & ~holes, near, volume)


def _wall(lungs: Bits, hu: npt.NDArray[np.float32], spacing_mm: tuple[float, float, float]) -> Bits:
    """What lies near the wall of the chest, inside of the ribs: near the border of the hull of both lungs."""
    hull = planes.each(lungs, planes.hull)
    reach = round(_WALL_ZONE_MM / spacing_mm[1])
    depths = (cv2.distanceTransform(plane.astype(np.uint8), cv2.DIST_L2, 5) for plane in hull)
    return hull & (np.stack(list(depths)) < reach) & (hu < _BONE_FROM_HU)


def _no_dome(holes: Bits, lung: Bits, volume: Volume) -> Bits:
    """Those holes that are small or end downwards in lung again; the dome of the diaphragm does not."""
    pieces, sizes = components(holes)
    below = np.roll(~lung & ~holes, 1 if volume.affine[2, 0] > 0 else -1, 0)
    open_below = np.bincount(pieces[holes & below], minlength=len(sizes) + 1)[1:]
    slices = np.sum([np.bincount(np.unique(plane), minlength=len(sizes) + 1) for plane in pieces], 0)[1:]
    mean_area = sizes / np.maximum(slices, 1)
    is_small = mean_area * volume.spacing_mm[1] * volume.spacing_mm[2] < _SMALL_HOLE_MM2
    return np.asarray(np.concatenate([[False], is_small | (open_below < _OPEN_BELOW * mean_area)])[pieces])
