"""Slices of a chest CT as pictures, without and with what the box found on them.

Lungs are outlined, so that what lies in them stays visible; opacities are tinted and outlined, ground glass in
another colour and a brightness of its own, for printers without any.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
from PIL import Image

from edge.objects.content import Content
from edge.objects.tomography.slices import Grey, Labels, Slices
from edge.types import Tissue

Picture = npt.NDArray[np.uint8]
"""RGB, shape (h, w, 3)."""
COLOURS: Mapping[str, tuple[int, int, int]] = MappingProxyType(
    {
        "right_lung": (0x3F, 0xD0, 0xFF),
        "left_lung": (0xFF, 0xD2, 0x4A),
        "ground_glass_opacity": (0x9D, 0xFF, 0x6B),
        "consolidation": (0xFF, 0x9D, 0x3C),
    }
)
"""Those of the page."""
_TISSUES: Mapping[str, tuple[Tissue, ...]] = MappingProxyType(
    {
        "right_lung": (Tissue.RIGHT_LUNG, Tissue.RIGHT_GROUND_GLASS, Tissue.RIGHT_CONSOLIDATION),
        "left_lung": (Tissue.LEFT_LUNG, Tissue.LEFT_GROUND_GLASS, Tissue.LEFT_CONSOLIDATION),
        "ground_glass_opacity": (Tissue.RIGHT_GROUND_GLASS, Tissue.LEFT_GROUND_GLASS),
        "consolidation": (Tissue.RIGHT_CONSOLIDATION, Tissue.LEFT_CONSOLIDATION),
    }
)
_LUNGS = ("right_lung", "left_lung")
_TINT = 0.3
_MOST_SLICES = 4


def key_slices(content: Content, slices: Slices) -> list[int]:
    """The numbers of the slices that are shown, from head to feet; that in the middle where the result names none."""
    count = slices.meta.slices
    named = (content.report.get("series") or {}).get("key_slices") or ()
    found = [number for number in named if isinstance(number, int) and 1 <= number <= count]
    return found[:_MOST_SLICES] or [(count + 1) // 2]


def plain(grey: Grey) -> Picture:
    """A slice without any marks."""
    return np.repeat(grey[:, :, None], 3, axis=2)


def marked(grey: Grey, labels: Labels, content: Content) -> Picture:
    """A slice with outlined lungs, and with its opacities where the box makes a claim."""
    picture = plain(grey).astype(np.float32)
    names = (*(_LUNGS if content.segmentation else ()), *(list(_TISSUES)[2:] if content.detection else ()))
    for name in names:
        inside, colour = np.isin(labels, _TISSUES[name]), np.array(COLOURS[name], np.float32)
        if name not in _LUNGS:
            picture[inside] += _TINT * (colour - picture[inside])
        picture[_edge(inside)] = colour
    return np.rint(picture).astype(np.uint8)


def _edge(inside: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Pixels of a region that lie beside one that is not of it."""
    padded = np.pad(inside, 1)
    core = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return inside & ~core


def shown(picture: Picture, spacing_mm: Sequence[float], width_px: int) -> Image.Image:
    """A picture as wide as wanted and as high as its body is.

    Parameters
    ----------
    spacing_mm : between its rows and between its columns.
    """
    height = picture.shape[0] * spacing_mm[0] / (picture.shape[1] * spacing_mm[1])
    return Image.fromarray(picture).resize((width_px, max(1, round(width_px * height))), Image.Resampling.LANCZOS)
