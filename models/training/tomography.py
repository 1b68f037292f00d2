"""Public CT for training: three DICOM series, and single slices out of a zip archive.

The layout is that of ``ct/`` in the data directory. The series are of COVID-CT-MD (one patient
each: COVID-19, another pneumonia, normal). The slices are pictures of unknown window, field of view
and size, squashed to 224 x 224; class, window and source follow each other (see its README).
"""

from __future__ import annotations

import csv
import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom

from edge.types import Volume
from models.training import data

SERIES = ("covid_p001", "cap_cap001", "normal_normal001")
SOURCES = ("SARS-CoV-2 CT", "UCSD COVID-CT", "MosMed")
"""MosMed CT-0, CT-1 and CT-2 are one source: the folders are degrees of the disease."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceRow:
    """One picture of ``ct/slices.zip``.

    Attributes
    ----------
    patient : as far as it is known; else a name of its own, so that no two pictures count as one patient.
    aspect : width of the original picture by its height; the stored one is square.
    degree : of MosMed, 0 to 2: none, up to a quarter, and up to half of the lungs are diseased; else None.
    """

    file: str
    source: str
    is_covid: bool
    patient: str
    split: str
    aspect: float
    degree: int | None = None


def slice_rows(root: Path) -> list[SliceRow]:
    """Every row of ``ct/manifest.csv``."""
    with (root / "ct" / "manifest.csv").open(newline="", encoding="utf-8") as file:
        return [_slice_row(row) for row in csv.DictReader(file)]


def _slice_row(row: dict[str, str]) -> SliceRow:
    return SliceRow(
        file=row["file"],
        source=SOURCES[2] if row["source"].startswith(SOURCES[2]) else row["source"],
        is_covid=row["label"] == "covid",
        patient=row["patient"] or row["file"],
        split=row["split"],
        aspect=int(row["width"]) / int(row["height"]),
        degree=int(row["source"][-1]) if row["source"].startswith(SOURCES[2]) else None,
    )


def picture(root: Path, row: SliceRow) -> data.Grey:
    """Pixels of a slice, shape (224, 224), uint8."""
    return data.image(root, "ct/slices.zip", row.file)


def series(root: Path, name: str) -> Volume:
    """One of ``SERIES``, from foot to head."""
    with zipfile.ZipFile(root / "ct" / f"{name}.zip") as file:
        slices = [pydicom.dcmread(io.BytesIO(file.read(n))) for n in file.namelist() if n.endswith(".dcm")]
    slices.sort(key=lambda s: float(s.ImagePositionPatient[2]))
    first, last = slices[0], slices[-1]
    ends = [np.array(one.ImagePositionPatient, float) for one in (first, last)]
    step = (ends[1] - ends[0]) / (len(slices) - 1)
    rows_mm, columns_mm = (float(v) for v in first.PixelSpacing)
    affine = np.eye(4)
    affine[:3, 0] = step
    affine[:3, 1] = np.array(first.ImageOrientationPatient[3:], float) * rows_mm
    affine[:3, 2] = np.array(first.ImageOrientationPatient[:3], float) * columns_mm
    affine[:3, 3] = first.ImagePositionPatient
    hu = [s.pixel_array * float(s.RescaleSlope) + float(s.RescaleIntercept) for s in slices]
    return Volume(
        hu=np.stack(hu).astype(np.int16),
        affine=affine,
        spacing_mm=(float(np.linalg.norm(step)), rows_mm, columns_mm),
        slice_uids=tuple(str(s.SOPInstanceUID) for s in slices),
    )
