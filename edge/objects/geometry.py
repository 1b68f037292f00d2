"""From the upright image that was read to the image as it is stored, which objects refer to.

Points of a result are (row, column) of pixel middles of the upright image; points of DICOM objects
are (column, row) with 0\\0 at the corner of the first pixel (PS3.3 sections C.10.5.1.2 and
C.18.6.1.1), hence the half pixel. Rejected: objects that refer to a second, upright copy of the
image: they would lie over no image that the PACS has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

Points = npt.NDArray[np.float64]
Line = Sequence[Sequence[float]]


@dataclass(frozen=True, slots=True)
class Frame:
    """Size of the upright image, and how the stored one lies.

    Attributes
    ----------
    turned_deg : by how much, counter-clockwise, the stored image lies turned.
    """

    height: int
    width: int
    turned_deg: int

    @classmethod
    def of(cls, segmentation: Mapping[str, Any]) -> Frame:
        """The frame of a result's ``segmentation``."""
        height, width = segmentation["image_size_px"]
        return cls(height, width, segmentation["turned_deg"])

    @property
    def stored_shape(self) -> tuple[int, int]:
        """Rows and columns of the stored image."""
        return (self.width, self.height) if self.turned_deg % 180 else (self.height, self.width)

    @property
    def orientation(self) -> tuple[str, str]:
        """Where the patient lies along rows and columns of the stored frontal image (Patient Orientation)."""
        return {0: ("L", "F"), 90: ("F", "R"), 180: ("R", "H"), 270: ("H", "L")}[self.turned_deg]

    def stored(self, line: Line, offset: float = 0.5) -> Points:
        """(row, column) points of the upright image as (column, row) points of the stored one, shape (N, 2).

        Parameters
        ----------
        offset : 0.5 for middles of pixels, 0 for corners.
        """
        y, x = np.asarray(line, np.float64).T + offset
        column, row = {
            0: (x, y),
            90: (y, self.width - x),
            180: (self.width - x, self.height - y),
            270: (self.height - y, x),
        }[self.turned_deg]
        rows, columns = self.stored_shape
        return np.column_stack([np.clip(column, 0, columns), np.clip(row, 0, rows)])

    def mask(self, contours: Sequence[Line]) -> npt.NDArray[np.uint8]:
        """What closed lines enclose, as zeros and ones in the stored image."""
        canvas = Image.new("1", (self.width, self.height))
        draw = ImageDraw.Draw(canvas)
        for contour in contours:
            draw.polygon([(float(column), float(row)) for row, column in contour], fill=1, outline=1)
        return np.ascontiguousarray(np.rot90(np.asarray(canvas, np.uint8), self.turned_deg // 90))


def closed(points: Points) -> Points:
    """A line that ends where it began."""
    return np.vstack([points, points[:1]])
