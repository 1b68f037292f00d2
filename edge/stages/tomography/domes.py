"""The dome of the diaphragm, where an outline has taken its top for dense lung.

A network that sees one slice cannot tell the top of the dome from consolidation: both are a piece of tissue with
lung all around. From slice to slice they can be told: the dome goes on downwards outside of the lungs, and a
consolidation ends in lung again (the rule of ``lungs.segment``).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edge.stages.tomography import planes
from edge.stages.tomography.lungs import components
from edge.types import Volume

Bits = npt.NDArray[np.bool_]
Labels = npt.NDArray[np.uint8]

_AERATED_HU, _TISSUE_HU, _EDGE_HU = -500.0, -200.0, -700.0
_LEAST_MM2 = 300.0
"""Mean area; vessels are narrower."""
_OPEN_BELOW = 0.5
_EDGE_MM = 3.0
"""The blurred edge of the dome, which is no ground glass either."""


def without_domes(labels: Labels, hu: npt.NDArray[np.float32], volume: Volume) -> Labels:
    """Lungs without the domes in them.

    Parameters
    ----------
    labels : of the lungs, shape (D, H, W), the first slice nearest to the head.
    hu : smoothed Hounsfield units, same shape.
    """
    dome = _domes(labels > 0, hu, volume)
    if not dome.any():
        return labels
    edge = planes.grown(dome, _EDGE_MM, volume.spacing_mm) & (hu >= _EDGE_HU)
    return np.where(edge, np.uint8(0), labels)


def _domes(lungs: Bits, hu: npt.NDArray[np.float32], volume: Volume) -> Bits:
    enclosed = planes.each(lungs & (hu < _AERATED_HU), planes.filled) & (hu >= _TISSUE_HU)
    pieces, sizes = components(enclosed)
    below = np.zeros_like(lungs)
    below[:-1] = ~lungs[1:] & (hu[1:] >= _TISSUE_HU)
    open_below = np.bincount(pieces[enclosed & below], minlength=len(sizes) + 1)[1:]
    slices = _slices(pieces, enclosed, len(sizes))
    mean_area = sizes / np.maximum(slices, 1)
    is_dome = mean_area * volume.spacing_mm[1] * volume.spacing_mm[2] >= _LEAST_MM2
    is_dome &= open_below >= _OPEN_BELOW * mean_area
    return np.asarray(np.concatenate([[False], is_dome])[pieces])


def _slices(pieces: npt.NDArray[np.uint32], enclosed: Bits, count: int) -> npt.NDArray[np.int64]:
    """On how many slices each piece lies, from the first piece on."""
    numbers = np.flatnonzero(enclosed) // enclosed[0].size
    both = np.unique(numbers * (count + 1) + pieces[enclosed])
    return np.bincount(both % (count + 1), minlength=count + 1)[1:]
