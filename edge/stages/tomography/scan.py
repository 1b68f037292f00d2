"""A chest CT on its way through the stages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from edge.types import Mask, Remark, Volume

Bits = npt.NDArray[np.bool_]
Labels = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class Acquisition:
    """How a series was made, as its headers tell; what they do not tell is None or empty.

    Attributes
    ----------
    slice_count : of the series as it came.
    spacing_mm : between its slices, rows and columns, before the box made the pixels of the volume larger.
    thickness_mm : of its slices.
    kernel : ConvolutionKernel.
    has_contrast : whether a contrast agent is named.
    gaps_mm : the distance from slice to slice where it is larger than elsewhere.
    is_scaled : whether the headers say how values become Hounsfield units.
    """

    slice_count: int
    spacing_mm: tuple[float, float, float]
    thickness_mm: float | None = None
    kernel: str = ""
    has_contrast: bool = False
    gaps_mm: tuple[float, ...] = ()
    is_scaled: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class PriorScan:
    """An earlier CT of the same patient, as the box kept it.

    Attributes
    ----------
    grey : uint8, shape (D, H, W): its slices from head to feet in the lung window.
    tissue : uint8, same shape: values of ``Tissue``.
    affine : float64, shape (4, 4): as in ``Volume``.
    severity : of its result, with ``study_key``, ``version``, ``completed_at`` and ``acquired_at``.
    """

    grey: npt.NDArray[np.uint8]
    tissue: Labels
    affine: npt.NDArray[np.float64]
    severity: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """One CT series on its way through the stages; all arrays have the shape of ``volume.hu``.

    Attributes
    ----------
    volume : from head to feet; its pixels are at least 1.1 mm wide, since finer ones measure nothing better.
    lungs : right lung 1, left lung 2; None before segmentation and where it was not plausible.
    airways : trachea and main airways, which are no lung; None likewise.
    zones : of each voxel of the lungs, 1 to 6 in the order of ``Zone``, else 0; None likewise.
    tissue : values of ``Tissue``; None before detection.
    prior : an earlier CT of the same patient.
    prior_tissue : its ``tissue`` laid on this scan; None without a prior, and where it does not lie like this one.
    noted : codes of what was remarked on so far, of the series as well: not every claim may stand beside them.
    """

    volume: Volume
    acquisition: Acquisition
    lungs: Mask | None = None
    airways: Bits | None = None
    zones: Labels | None = None
    tissue: Labels | None = None
    prior: PriorScan | None = None
    prior_tissue: Labels | None = None
    noted: tuple[str, ...] = ()

    def noting(self, remarks: Iterable[Remark]) -> Scan:
        """The same with the codes of further remarks."""
        return replace(self, noted=(*self.noted, *(remark.code for remark in remarks)))
