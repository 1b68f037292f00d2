"""A radiograph on its way through the stages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edge.types import Mask, Radiograph


@dataclass(frozen=True, slots=True, kw_only=True)
class Alignment:
    """How an image lies on the atlas of the lungs.

    Attributes
    ----------
    matrix : float64, shape (2, 3): takes (column, row, 1) of the upright image, in shares of its
        width and height, to (column, row) of the atlas, in shares of its side.
    residual : 1 minus the Dice overlap of lungs and atlas.
    fits : whether the residual is small enough; else ``matrix`` only crops to the lungs.
    zones : uint8, shape (Z, Z), in the frame of the atlas: the zone of each pixel of the lungs, 1 to 6
        in the order of ``Zone``, else 0.
    """

    matrix: npt.NDArray[np.float64]
    residual: float
    fits: bool
    zones: npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One radiograph on its way through the stages.

    Attributes
    ----------
    pixels : float32, shape (H, W): the radiograph upright, bone bright.
    turned_deg : by how much, counter-clockwise, the source lay turned.
    lungs : right lung 1, left lung 2, both with the part behind the heart; a smaller image than
        ``pixels``; None before segmentation and where it was not plausible.
    heart : uint8 of zeros and ones, shape as ``lungs.labels``; None likewise, or where no heart was plausible.
    alignment : how the lungs lie on the atlas; None before registration and without lungs.
    opacity : float32, shape (3, S, S): what detection saw in the frame of the atlas; None before it.
    is_opaque : whether detection saw more than it does in normal lungs; None before it.
    prior : ``severity`` of an earlier result of the same patient, with its ``study_key`` and ``completed_at``;
        a stage takes it away where this image cannot be compared.
    """

    radiograph: Radiograph
    pixels: npt.NDArray[np.float32]
    turned_deg: int = 0
    lungs: Mask | None = None
    heart: npt.NDArray[np.uint8] | None = None
    alignment: Alignment | None = None
    opacity: npt.NDArray[np.float32] | None = None
    is_opaque: bool | None = None
    prior: Mapping[str, Any] | None = None

    def to_source(self, labels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Turn an upright label image back to the way the source lies."""
        return np.ascontiguousarray(np.rot90(labels, self.turned_deg // 90))


def first_case(radiograph: Radiograph) -> Case:
    """The case before any stage."""
    return Case(radiograph=radiograph, pixels=radiograph.pixels)
