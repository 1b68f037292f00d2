"""Images that were decoded when they came, kept for the reading that follows.

A study is read soon after its last image came. What was decoded meanwhile need not be decoded again: a
lone radiograph, and the slices of a CT while further ones still arrive.
"""

from __future__ import annotations

from collections.abc import Iterable

from edge.dicom.image import ParsedImage, ParsedSlices

Image = ParsedImage | ParsedSlices
_MOST_BYTES = 512 << 20
"""A thousand CT slices of 512 x 512."""


class Decoded:
    """Images by the number of their instance; the oldest ones go where the limit is reached.

    Parameters
    ----------
    most_bytes : of pixels.
    """

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._images: dict[int, Image] = {}

    def keep(self, instance_id: int, image: Image) -> None:
        """Keep one more image; of radiographs only the newest, since they are read one by one."""
        if isinstance(image, ParsedImage):
            self._drop(number for number, kept in [*self._images.items()] if isinstance(kept, ParsedImage))
        self._drop([instance_id] if instance_id in self._images else [])
        self._images[instance_id] = image
        self._bytes += _size_bytes(image)
        while self._bytes > self._most_bytes and self._images:
            self._drop([next(iter(self._images))])

    def take(self, instance_ids: Iterable[int]) -> dict[int, Image]:
        """Those of these images that are here; they are not kept any longer."""
        found = {number: self._images[number] for number in instance_ids if number in self._images}
        self._drop(found)
        return found

    def _drop(self, instance_ids: Iterable[int]) -> None:
        for number in instance_ids:
            self._bytes -= _size_bytes(self._images.pop(number))


def _size_bytes(image: Image) -> int:
    return image.radiograph.pixels.nbytes if isinstance(image, ParsedImage) else image.hu.nbytes
