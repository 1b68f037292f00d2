"""Label masks as PNG files, under the name of the image that they belong to."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2

from edge.pipeline.names import OwnNames
from edge.types import Mask, StudyResult


class MaskWriter:
    """Writes masks into one folder; two images of one name get different files.

    Parameters
    ----------
    sources : every file that is read; where one lies in this folder, no mask takes its name.

    Raises
    ------
    SetupError
        Where the folder cannot be written.
    """

    def __init__(self, folder: Path, sources: Iterable[Path]) -> None:
        self._names = OwnNames(folder, sources)

    def write(self, result: StudyResult, report: dict[str, Any]) -> None:
        """Write the masks of a result, and their path and labels into its report."""
        for stage in result.stages:
            for mask in stage.masks.values():
                path = self._names.take(Path(result.source[0]), ".png")
                self._save(path, mask)
                report[stage.stage] = {
                    **(report[stage.stage] or {}),
                    "mask_file": str(path),
                    "mask_labels": {str(label): name for label, name in mask.names.items()},
                }

    def _save(self, path: Path, mask: Mask) -> None:
        # Not by OpenCV: a name that is no UTF-8 ends the process there.
        encoded = cv2.imencode(".png", mask.labels)[1]
        self._names.write(path, encoded.tobytes())
