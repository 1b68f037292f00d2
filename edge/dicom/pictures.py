"""PNG and JPEG pictures of radiographs: a film photographed or exported without its header.

Sizes are checked on the header, before anything is decoded. Rejected: OpenCV, which
decodes first and is told of limits afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from edge.dicom.image import Header, Readable
from edge.dicom.limits import check_pixels, check_sides
from edge.dicom.pixels import BAND_PX, Bands, Pixels, Stored, grey_of_colour, stretch
from edge.errors import UnreadableError

SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")

_MAX_BYTES = 160_000_000
"""Of a decoded picture; a turned one is held twice (measured)."""
_GREYS = {"1": 1, "L": 1, "LA": 4, "I;16": 2, "I;16B": 2, "I": 4, "F": 4}


def parse_picture(path: Path) -> tuple[Readable, Iterator[Pixels]]:
    """Read one picture: its size, and its pixels in bands from the top.

    Raises
    ------
    UnreadableError
        With the reason.
    """
    try:
        with Image.open(path, formats=("PNG", "JPEG")) as picture:
            check_sides(rows=picture.height, columns=picture.width)
            check_pixels(picture.height, picture.width, _MAX_BYTES // _GREYS.get(picture.mode, 4))
            frames = getattr(picture, "n_frames", 1)
            if frames > 1 and picture.format != "MPO":  # phones append a small copy to a JPEG
                raise UnreadableError("multi_frame", frames=frames)
            picture.load()
            upright = picture.copy() if picture.format == "MPO" else picture
            ImageOps.exif_transpose(upright, in_place=True)
    except UnidentifiedImageError as error:
        raise UnreadableError("undecodable") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise UnreadableError("truncated" if "truncated" in str(error) else "undecodable") from error
    return Readable.of(Header(is_picture=True), shape=(upright.height, upright.width)), _grey(upright)


def _grey(upright: Image.Image) -> Iterator[Pixels]:
    if upright.mode in {"I", "I;16", "I;16B", "F"}:  # 16 bits hold images of 10 to 16; the range in use is the image's
        return stretch(_bands(upright, None))
    if upright.mode in {"1", "L", "LA"}:
        return (band.astype(np.float32) / np.float32(255) for band in _bands(upright, "L")())
    return grey_of_colour(_bands(upright, "RGB"))


def _bands(picture: Image.Image, mode: str | None) -> Bands:
    width, height = picture.size
    step = max(1, BAND_PX // width)

    def bands() -> Iterator[Stored]:
        for top in range(0, height, step):
            band = picture.crop((0, top, width, min(top + step, height)))
            yield np.asarray(band.convert(mode) if mode else band)

    return bands
