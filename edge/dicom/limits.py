"""How large and how small an image may be, and how much of a header is read.

The limits of a header are kept by the file itself: pydicom's reader asks it for one element after
the other, nested ones too, and is refused before it has built more than a radiograph needs. Rejected:
a parser of our own that walks the file first, which would have to agree with pydicom on every
broken file.
"""

from __future__ import annotations

import io
import os
from pathlib import Path

from edge.errors import UnreadableError

MAX_SIDE_PX = 10_000
MIN_SIDE_PX = 64
MAX_HEADER_READS = 200_000
"""A header element takes one to three; pydicom needs 100 MiB for so many (measured)."""
MAX_HEADER_MIB = 32
LONGEST_VALUE_BYTES = 1 << 20
"""Longer values at the top of a header, such as a maker's own data, are skipped."""
MAX_VOXELS = 300_000_000
"""Of one multi-frame object: 1144 slices of 512 x 512."""
MAX_FRAMES = 4_000
VOXELS_PER_S = 1_000_000
"""The slowest codec on a slow processor decodes more."""
_MILLION = 1_000_000


class LimitedFile(io.BufferedReader):
    """A file that gives a parser no more than a header may have.

    Attributes
    ----------
    size_bytes : of the whole file.
    refusal : why it stopped giving; what the parser made of that says less.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path))
        self.size_bytes = os.fstat(self.fileno()).st_size
        self.refusal: UnreadableError | None = None
        self._reads, self._read_bytes = 0, 0

    def read(self, size: int | None = -1) -> bytes:
        """At most ``size`` bytes; a claimed length allocates nothing that the file does not hold.

        Raises
        ------
        UnreadableError
            ``unsupported_transfer_syntax``, ``too_many_elements`` or ``header_too_large``.
        """
        if size is None or size < 0:  # pydicom asks for all the rest only to inflate it
            raise self._refused(UnreadableError("unsupported_transfer_syntax"))
        content = super().read(min(size, max(0, self.size_bytes - self.tell())))
        self._reads += 1
        self._read_bytes += len(content)
        if self._reads > MAX_HEADER_READS:
            raise self._refused(UnreadableError("too_many_elements"))
        if self._read_bytes > MAX_HEADER_MIB << 20:
            raise self._refused(UnreadableError("header_too_large", limit=MAX_HEADER_MIB))
        return content

    def piece(self, offset: int, length: int) -> bytes:
        """Bytes of the image, which no limit of the header counts."""
        self.seek(offset)
        return super().read(length)

    def _refused(self, refusal: UnreadableError) -> UnreadableError:
        self.refusal = refusal
        return refusal


def check_sides(rows: int, columns: int) -> None:
    """Refuse sizes that no radiograph has, before anything is decoded.

    Raises
    ------
    UnreadableError
        ``image_too_large`` or ``image_too_small``.
    """
    if max(rows, columns) > MAX_SIDE_PX:
        raise UnreadableError("image_too_large", columns=columns, rows=rows, limit=MAX_SIDE_PX)
    if min(rows, columns) < MIN_SIDE_PX:
        raise UnreadableError("image_too_small", columns=columns, rows=rows, limit=MIN_SIDE_PX)


def check_pixels(rows: int, columns: int, limit_px: int) -> None:
    """Refuse what would not fit into the reader's memory once decoded whole.

    Raises
    ------
    UnreadableError
        ``too_many_pixels``.
    """
    if rows * columns > limit_px:
        raise UnreadableError("too_many_pixels", columns=columns, rows=rows, limit=limit_px // _MILLION)


def check_frames(frames: int, rows: int, columns: int) -> None:
    """Refuse more frames than the box holds at once.

    Raises
    ------
    UnreadableError
        ``too_many_frames``.
    """
    if frames > MAX_FRAMES or frames * rows * columns > MAX_VOXELS:
        raise UnreadableError("too_many_frames", frames=frames, columns=columns, rows=rows)
