"""PNG and JPEG pictures of radiographs: a film photographed or exported without its header.

Sizes are checked on the header, before anything is decoded. Rejected: OpenCV, which
decodes first and is told of limits afterwards.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from edge.dicom.image import Header, ParsedImage
from edge.dicom.limits import check_sides
from edge.dicom.pixels import Pixels, grey_of_colour, stretch
from edge.errors import UnreadableError
from edge.types import Radiograph

SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")


def parse_picture(path: Path) -> ParsedImage:
    """Read one picture.

    Raises
    ------
    UnreadableError
        With the reason.
    """
    try:
        with Image.open(path, formats=("PNG", "JPEG")) as picture:
            check_sides(rows=picture.height, columns=picture.width)
            frames = getattr(picture, "n_frames", 1)
            if frames > 1 and picture.format != "MPO":  # phones append a small copy to a JPEG
                raise UnreadableError("multi_frame", frames=frames)
            pixels = _grey(picture)
    except UnidentifiedImageError as error:
        raise UnreadableError("undecodable") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise UnreadableError("truncated" if "truncated" in str(error) else "undecodable") from error
    return ParsedImage.of(Header(is_picture=True), Radiograph(pixels=pixels))


def _grey(picture: Image.Image) -> Pixels:
    upright = ImageOps.exif_transpose(picture)
    if upright.mode in {"I", "I;16", "F"}:  # 16 bits hold images of 10 to 16; the range in use is the image's
        return stretch(np.asarray(upright))
    if upright.mode in {"1", "L", "LA"}:
        levels: Pixels = np.array(upright.convert("L"), dtype=np.float32)
        levels /= np.float32(255)
        return levels
    return grey_of_colour(np.asarray(upright.convert("RGB")))
