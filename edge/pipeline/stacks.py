"""The pictures of a CT: each slice in two windows, what was found on it, and one coronal plane."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from edge.errors import PictureError
from edge.pipeline.pictures import encoded
from edge.pipeline.volumes import of_larger_pixels
from edge.stages.tomography.scan import PriorScan
from edge.store import stack
from edge.store.stack import Layer, Meta, Stack, StackFile
from edge.types import Tissue, Tomogram

Grey = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.uint8]
_MOST_SIDE_PX = 512
_QUALITY = 85
_THREADS = 2
_PRIOR_SHRUNK = 2
_PALETTE = [stack.COLOURS.get(label, (0, 0, 0, 0)) if label else (0, 0, 0, 0) for label in [0, *Tissue]]


def windowed(hu: npt.NDArray[np.int16], layer: Layer) -> Grey:
    """Hounsfield units of any shape as greys of a window (PS3.3 section C.11.2.1.2)."""
    centre, width = stack.WINDOWS[layer.value]
    low, high = round(centre - width / 2), round(centre + width / 2)
    return _ramp(low, high)[np.clip(hu, low, high) - low]


def _ramp(low: int, high: int) -> Grey:
    """By a table: a quarter of the time of a division a pixel."""
    return np.rint(np.linspace(0, 255, high - low + 1)).astype(np.uint8)


def write_stack(path: Path, tomogram: Tomogram) -> None:
    """Write all pictures of a CT in one file, into a folder that is there.

    Raises
    ------
    StorageError
        Where the disk has no room for them.
    """
    with ThreadPoolExecutor(_THREADS) as pool:  # the encoders let go of Python's lock
        pictures = list(pool.map(lambda number: _of_slice(tomogram, number), range(len(tomogram.planes))))
    row = _coronal_row(tomogram)
    made = Stack(
        meta=_meta(tomogram),
        lung=(lung for lung, _, _ in pictures),
        mediastinum=(mediastinum for _, mediastinum, _ in pictures),
        tissue=(tissue for _, _, tissue in pictures),
        coronal_lung=encoded(
            _square(windowed(_coronal(tomogram, row), Layer.LUNG), tomogram, cv2.INTER_LINEAR), _QUALITY
        ),
        coronal_tissue=_png(_square(_coronal_tissue(tomogram, row), tomogram, cv2.INTER_NEAREST)),
    )
    stack.write(path, made)


def _of_slice(tomogram: Tomogram, number: int) -> tuple[bytes, bytes, bytes]:
    plane = _shown(tomogram.planes[number])
    grey = (encoded(windowed(plane, layer), _QUALITY) for layer in (Layer.LUNG, Layer.MEDIASTINUM))
    return (*grey, _png(tissue_of(tomogram, number, plane.shape)))  # type: ignore[return-value]


def _shrunk(shape: tuple[int, ...]) -> int:
    """By how much the pictures are smaller than slices of this shape."""
    return max(1, math.ceil(max(shape) / _MOST_SIDE_PX))


def _shown(plane: npt.NDArray[np.int16]) -> npt.NDArray[np.int16]:
    shrunk = _shrunk(plane.shape)
    size = (plane.shape[1] // shrunk, plane.shape[0] // shrunk)
    return plane if shrunk == 1 else np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA), np.int16)


def tissue_of(tomogram: Tomogram, number: int, shape: tuple[int, ...]) -> Labels:
    """What was found on a slice, at the size of a picture of it."""
    rows, columns = tomogram.planes[0].shape
    whole = np.zeros((rows, columns), np.uint8)
    if tomogram.tissue is not None:
        large = tomogram.tissue[number].repeat(tomogram.shrunk, 0).repeat(tomogram.shrunk, 1)
        whole[: large.shape[0], : large.shape[1]] = large
    if whole.shape == tuple(shape):
        return whole
    return np.asarray(cv2.resize(whole, (shape[1], shape[0]), interpolation=cv2.INTER_NEAREST), np.uint8)


def _png(labels: Labels) -> bytes:
    picture = Image.fromarray(labels, "P")
    picture.putpalette([channel for colour in _PALETTE for channel in colour[:3]])
    content = io.BytesIO()
    picture.save(content, "PNG", transparency=bytes(colour[3] for colour in _PALETTE), compress_level=1)
    return content.getvalue()


def _meta(tomogram: Tomogram) -> Meta:
    shrunk = _shrunk(tomogram.planes[0].shape)
    rows, columns = _shown(tomogram.planes[0]).shape
    between, row, column = tomogram.spacing_mm
    return Meta(
        slices=len(tomogram.planes),
        size_px=(rows, columns),
        spacing_mm=(between, row * shrunk, column * shrunk),
        affine=of_larger_pixels(tomogram.affine, shrunk).tolist(),
        slice_uids=tomogram.slice_uids,
        windows=stack.WINDOWS,
    )


def _coronal_row(tomogram: Tomogram) -> int:
    """The row that shows most of what was found, else the middle one."""
    if tomogram.tissue is None or not tomogram.tissue.any():
        return int(tomogram.planes[0].shape[0] // 2)
    opaque = tomogram.tissue >= Tissue.RIGHT_GROUND_GLASS
    counted = opaque if opaque.any() else tomogram.tissue > 0
    most = int(counted.sum((0, 2)).argmax())
    return int(most * tomogram.shrunk + tomogram.shrunk // 2)


def _coronal(tomogram: Tomogram, row: int) -> npt.NDArray[np.int16]:
    return np.stack([plane[row] for plane in tomogram.planes])


def _coronal_tissue(tomogram: Tomogram, row: int) -> Labels:
    shape = tomogram.planes[0].shape
    return np.stack([tissue_of(tomogram, number, shape)[row] for number in range(len(tomogram.planes))])


def _square(plane: Grey, tomogram: Tomogram, interpolation: int) -> Grey:
    """Slices one below the other, with pixels as high as they are wide."""
    shrunk = _shrunk(tomogram.planes[0].shape)
    height = max(1, round(len(plane) * tomogram.spacing_mm[0] / tomogram.spacing_mm[2] / shrunk))
    size = (plane.shape[1] // shrunk, height)
    return np.asarray(cv2.resize(plane, size, interpolation=interpolation), np.uint8)


def prior_scan(path: Path, severity: Mapping[str, Any]) -> PriorScan | None:
    """An earlier CT as its pictures tell, with pixels twice as large; None where they are gone.

    Parameters
    ----------
    severity : see ``PriorScan``.
    """
    try:
        file = StackFile(path)
        grey = np.stack([_half(content) for content in file.pictures(Layer.LUNG)])
        tissue = np.stack([_labels(content) for content in file.pictures(Layer.TISSUE)])
    except (PictureError, OSError, ValueError):  # gone, damaged, or of sizes that do not fit
        return None
    affine = of_larger_pixels(np.array(file.meta.affine), _PRIOR_SHRUNK)
    return PriorScan(grey=grey, tissue=tissue[:, : grey.shape[1], : grey.shape[2]], affine=affine, severity=severity)


def _half(content: bytes) -> Grey:
    decoded = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_REDUCED_GRAYSCALE_2)
    if decoded is None:
        raise PictureError("no_picture")
    return np.asarray(decoded, np.uint8)


def _labels(content: bytes) -> Labels:
    with Image.open(io.BytesIO(content), formats=["PNG"]) as picture:
        return np.asarray(picture)[::_PRIOR_SHRUNK, ::_PRIOR_SHRUNK]
