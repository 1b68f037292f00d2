"""Label masks under the name of the image that they belong to: PNG files, of a CT one volume as NIfTI."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import SimpleITK

from edge.pipeline.names import OwnNames
from edge.types import Mask, StudyResult, Tissue, Tomogram


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
        if result.tomogram is not None:
            self._write_volume(result, report)
            return
        for stage in result.stages:
            for mask in stage.masks.values():
                path = self._names.take(Path(result.source[0]), ".png")
                self._save(path, mask)
                report[stage.stage] = {
                    **(report[stage.stage] or {}),
                    "mask_file": str(path),
                    "mask_labels": {str(label): name for label, name in mask.names.items()},
                }

    def _write_volume(self, result: StudyResult, report: dict[str, Any]) -> None:
        tomogram = result.tomogram
        if tomogram is None or tomogram.tissue is None:
            return
        path = self._names.take(Path(result.source[0]), ".nii.gz")
        self._names.write(path, _as_nifti(tomogram.tissue, tomogram))
        report["segmentation"] = {
            **(report["segmentation"] or {}),
            "mask_file": str(path),
            "mask_labels": {str(label.value): label.name.lower().replace("_", " ") for label in Tissue},
        }

    def _save(self, path: Path, mask: Mask) -> None:
        # Not by OpenCV: a name that is no UTF-8 ends the process there.
        encoded = cv2.imencode(".png", mask.labels)[1]
        self._names.write(path, encoded.tobytes())


def _as_nifti(labels: npt.NDArray[np.uint8], tomogram: Tomogram) -> bytes:
    """Labels with their place in the patient; the image's own axes run along columns, rows and slices."""
    image = SimpleITK.GetImageFromArray(labels)
    steps = tomogram.tissue_affine[:3, [2, 1, 0]]
    lengths = np.linalg.norm(steps, axis=0)
    image.SetSpacing(lengths.tolist())
    image.SetDirection((steps / lengths).ravel().tolist())
    image.SetOrigin(tomogram.tissue_affine[:3, 3].tolist())
    with tempfile.TemporaryDirectory() as folder:  # the library writes files alone, and not every name of one
        SimpleITK.WriteImage(image, f"{folder}/labels.nii.gz")
        return Path(folder, "labels.nii.gz").read_bytes()
