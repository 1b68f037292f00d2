"""A chest made of ellipsoids: every volume is known, whatever the grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge.types import Volume

Bits = npt.NDArray[np.bool_]
Millimetres = tuple[float, float, float]
_NOISE_HU = 12.0


@dataclass(frozen=True, slots=True)
class Chest:
    """A phantom and what is in it, bool arrays of the shape of its voxels."""

    volume: Volume
    right: Bits
    left: Bits
    trachea: Bits
    dense: Bits

    @property
    def lungs(self) -> Bits:
        """Both lungs, with what is dense in them."""
        return self.right | self.left


def chest(
    spacing_mm: Millimetres = (5.0, 1.5, 1.5),
    *,
    from_head: bool = False,
    consolidated: bool = False,
    joined: bool = False,
    vessel_mm: float = 6.0,
) -> Chest:
    """A body of 340 x 240 mm, 300 mm long, on a table, with two lungs, a heart, a dome of the diaphragm and a trachea.

    Parameters
    ----------
    from_head : the first slice is the uppermost one.
    consolidated : a piece of the right lung, 28 mm wide, is as dense as muscle, at the wall behind.
    joined : the lungs touch in front of the heart.
    vessel_mm : how wide vessels are, all over the lungs.
    """
    z, y, x = _axes(spacing_mm)
    hu = np.full(np.broadcast_shapes(z.shape, y.shape, x.shape), -1000.0)
    table = (y > 132) & (y < 140) & (abs(x) < 180)
    hu[np.broadcast_to((np.hypot(x / 170, y / 120) < 1) | table, hu.shape)] = 40
    right, left = (np.hypot(np.hypot((x + sign * 78) / 62, y / 88), z / 125) < 1 for sign in (1, -1))
    heart = np.hypot(np.hypot((x - 25) / 55, (y + 25) / 45), (z + 40) / 50) < 1
    dome = np.hypot(np.hypot((x + 78) / 45, y / 60), (z + 125) / 60) < 1
    right, left = right & ~heart & ~dome, left & ~heart
    if joined:
        bridge = (abs(x) < 30) & (y < -40) & (y > -47) & (abs(z - 40) < 20)
        right, left = right | (bridge & (x <= 0)), left | (bridge & (x > 0))
    trachea = np.broadcast_to((np.hypot(x, y + 10) < 9) & (z > 20), hu.shape)
    hu[right | left] = -850
    for vessel in range(-60, 61, 20):
        hu[(right | left) & (np.hypot(y - vessel, z - vessel / 2) < vessel_mm / 2)] = 30
    hu[np.broadcast_to(np.hypot(x, y + 10) < 12, hu.shape) & ~(right | left) & (z > 20)] = 40
    hu[trachea] = -1000
    dense = np.zeros(hu.shape, bool)
    if consolidated:
        dense = right & (np.hypot(np.hypot(x + 117, y - 57), z) < 14)
        hu[dense] = 35
    hu += np.random.default_rng(0).normal(0, _NOISE_HU, hu.shape)
    affine = np.zeros((4, 4))
    affine[2, 0], affine[1, 1], affine[0, 2], affine[3, 3] = spacing_mm[0], spacing_mm[1], spacing_mm[2], 1
    parts = [np.clip(hu, -1024, 3071).astype(np.int16), right, left, trachea, dense]
    if from_head:
        affine[2, 0] *= -1
        parts = [np.ascontiguousarray(part[::-1]) for part in parts]
    return Chest(Volume(hu=parts[0], affine=affine, spacing_mm=spacing_mm), *parts[1:])


def _axes(spacing_mm: Millimetres) -> list[npt.NDArray[np.float64]]:
    """Coordinates in millimetres from the middle, as open grids of slices, rows and columns."""
    sizes = (300.0, 300.0, 400.0)
    counts = [round(size / step) for size, step in zip(sizes, spacing_mm, strict=True)]
    middles = ((np.arange(count) - (count - 1) / 2) * step for count, step in zip(counts, spacing_mm, strict=True))
    return list(np.ix_(*middles))
