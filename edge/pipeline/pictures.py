"""The two pictures of a result that the page shows."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from edge.config import Settings
from edge.errors import StorageError
from edge.store.files import write_durably
from edge.store.studies import preview_path, thumbnail_path

_PREVIEW_SIDE_PX = 1600
_THUMBNAIL_SIDE_PX = 160
_QUALITY = 88


def write_pictures(settings: Settings, study_key: str, version: int, view: npt.NDArray[np.uint8]) -> None:
    """Write preview and thumbnail of an image as shown, uint8, shape (h, w).

    Raises
    ------
    StorageError
        Where the disk has no room for them.
    """
    _write(preview_path(settings, study_key, version), view, _PREVIEW_SIDE_PX)
    _write(thumbnail_path(settings, study_key, version), view, _THUMBNAIL_SIDE_PX)


def _write(path: Path, view: npt.NDArray[np.uint8], side_px: int) -> None:
    scale = min(1.0, side_px / max(view.shape))
    size = (max(1, round(view.shape[1] * scale)), max(1, round(view.shape[0] * scale)))
    small = cv2.resize(view, size, interpolation=cv2.INTER_AREA)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError("write_failed") from error
    write_durably(path, [encoded(np.asarray(small, np.uint8), _QUALITY)])


def encoded(grey: npt.NDArray[np.uint8], quality: int) -> bytes:
    """A grey image, shape (h, w), as JPEG."""
    return cv2.imencode(".jpg", grey, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
