"""What the objects of a chest CT are made of: its pictures, its labels, and the headers of its slices.

The pictures come from whoever makes the objects, since they lie in the store, which this room does
not know. Rejected: making the labels anew from the images, which would need all pixels once more.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydicom.dataset import Dataset

from edge.errors import ObjectError, PictureError

Grey = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.uint8]
LUNG, TISSUE = "lung", "tissue"


class Meta(Protocol):
    """What the pictures are of; see ``edge.store.stack.Meta``."""

    @property
    def slices(self) -> int:
        """How many there are."""

    @property
    def size_px(self) -> tuple[int, int]:
        """Rows and columns of each picture of a slice."""

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Between slices, rows and columns."""

    @property
    def affine(self) -> Sequence[Sequence[float]]:
        """Shape (4, 4): takes (slice, row, column, 1) of the pictures to LPS millimetres."""

    @property
    def slice_uids(self) -> Sequence[str]:
        """SOP Instance UID of each slice from head to feet; empty for one that was filled in."""


class Pictures(Protocol):
    """The pictures of a series; ``edge.store.stack.StackFile`` is one."""

    @property
    def meta(self) -> Meta:
        """What they are of."""

    def picture(self, layer: str, number: int) -> bytes:
        """A slice, counted from 1 at the head, as ``lung`` (a JPEG) or ``tissue`` (a PNG of labels)."""

    def overview(self, layer: str) -> bytes:
        """The coronal plane in the same layers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slices:
    """The slices of a chest CT, as its objects are made of them.

    Attributes
    ----------
    headers : gives the headers of the files of the study without their pixels, those of the series that was read
        first; called only where an object needs more of them than the first.
    """

    pictures: Pictures
    headers: Callable[[], Iterable[Dataset]]

    @property
    def meta(self) -> Meta:
        """What the pictures are of."""
        return self.pictures.meta

    def view(self, number: int) -> tuple[Grey, Labels]:
        """A slice in the lung window and its labels, both of ``size_px``.

        Raises
        ------
        ObjectError
            ``no_picture``.
        """
        return self._decoded(lambda layer: self.pictures.picture(layer, number))

    def labels(self, number: int) -> Labels:
        """The labels of a slice: values of ``Tissue``.

        Raises
        ------
        ObjectError
            ``no_picture``.
        """
        labels = decoded(lambda: self.pictures.picture(TISSUE, number), "P")
        if labels.shape != tuple(self.meta.size_px):
            raise ObjectError("no_picture")
        return labels

    def coronal(self) -> tuple[Grey, Labels]:
        """The coronal plane in the lung window and its labels, with square pixels, head up.

        Raises
        ------
        ObjectError
            ``no_picture``.
        """
        return self._decoded(self.pictures.overview)

    def _decoded(self, picture: Callable[[str], bytes]) -> tuple[Grey, Labels]:
        grey, labels = decoded(lambda: picture(LUNG), "L"), decoded(lambda: picture(TISSUE), "P")
        if grey.shape != labels.shape:
            raise ObjectError("no_picture")
        return grey, labels


def decoded(read: Callable[[], bytes], mode: str) -> npt.NDArray[np.uint8]:
    """One picture of the store, shape (h, w).

    Parameters
    ----------
    mode : of Pillow: ``L`` for greys, ``P`` for labels, which are the indices of its palette.

    Raises
    ------
    ObjectError
        ``no_picture``: it is gone or damaged.
    """
    try:
        with Image.open(io.BytesIO(read()), formats=["JPEG", "PNG"]) as image:
            pixels: npt.NDArray[Any] = np.asarray(image if image.mode == mode else image.convert(mode))
    except (PictureError, OSError, ValueError, SyntaxError) as error:
        raise ObjectError("no_picture") from error
    return np.asarray(pixels, np.uint8)
