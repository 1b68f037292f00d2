"""Public chest images for training: manifest rows, pixels and masks out of zip archives.

The layout is that of ``cxr/`` in the data directory: ``manifest.csv`` (archive, file,
source, label, patient, age_group, view, split, mask, note) beside zip archives of
8-bit JPEG and PNG. Splits are by patient; rows of split ``external`` are never trained on.
"""

from __future__ import annotations

import csv
import zipfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

Grey = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One image of a manifest."""

    archive: str
    file: str
    source: str
    label: str
    patient: str
    age_group: str
    view: str
    split: str
    mask: str
    note: str

    @property
    def is_child(self) -> bool:
        """Whether the source says that the patient is a child."""
        return self.age_group == "child"

    @property
    def is_lateral(self) -> bool:
        """Whether the source says that this is a lateral view."""
        return self.view == "L"


def manifest(data: Path) -> list[Row]:
    """Every row of ``cxr/manifest.csv`` below the data directory."""
    return [Row(**row) for row in table(data, "manifest.csv")]


def table(data: Path, name: str) -> list[dict[str, str]]:
    """One CSV table of ``cxr/`` as dictionaries."""
    with (data / "cxr" / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def image(data: Path, archive: str, member: str) -> Grey:
    """Decode one member of an archive of ``cxr/`` or ``ct/`` as grey, shape (H, W)."""
    encoded = np.frombuffer(_archive(data / archive).read(member), np.uint8)
    decoded = cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE)
    if decoded is None:
        raise ValueError(f"expected an image at {member} of {archive}, got undecodable bytes")
    return np.asarray(decoded, np.uint8)


def pixels(data: Path, row: Row) -> Grey:
    """Pixels of a manifest row, shape (H, W)."""
    return image(data, f"cxr/{row.archive}", row.file)


def mask(data: Path, row: Row) -> Grey:
    """Label mask of a manifest row that has one, shape (H, W)."""
    archive, _, member = row.mask.rpartition(":")
    return image(data, f"cxr/{archive or row.archive}", member)


def gate_patients(root: Path, *, held_out: bool = False) -> frozenset[str]:
    """Patients of the gate images: every third, by name, is held out of training."""
    patients = sorted({row["patient"] for row in table(root, "gate_manifest.csv")})
    return frozenset(p for i, p in enumerate(patients) if (i % 3 == 0) == held_out)


def to_unit(grey: Grey) -> npt.NDArray[np.float32]:
    """Grey values 0..255 as float32 in [0, 1]."""
    return np.asarray(grey, np.float32) / np.float32(255)


LESION_GROUND_GLASS, LESION_CONSOLIDATION, LESION_RIGHT, LESION_LEFT, LESION_MEDIASTINUM = 1, 2, 4, 8, 16
"""Bits of the masks of lesion.zip."""


def lesion_rows(root: Path, *, of_known_patients: bool) -> list[dict[str, str]]:
    """Rows of lesion.zip with both lungs outlined, of patients known from cohen.zip or of the others."""
    rows = (r for r in table(root, "lesion_manifest.csv") if r["right_lung"] == r["left_lung"] == "1")
    return [r for r in rows if (r["in_cohen_zip"] == "1") == of_known_patients]


def lesion_patients(root: Path) -> frozenset[str]:
    """Patients of cohen.zip whose images were used in training through lesion.zip."""
    stems = {Path(r["file"]).stem for r in lesion_rows(root, of_known_patients=True)}
    return frozenset(r.patient for r in manifest(root) if r.archive == "cohen.zip" and Path(r.file).stem in stems)


def severity_patients(root: Path) -> frozenset[str]:
    """Patients of cohen.zip whose severity was scored: the opacity model has seen them."""
    lines = (root / "cxr" / "covid_severity_scores.csv").read_text(encoding="utf-8-sig").splitlines()
    scored = [line for line in lines if not line.startswith("##")]
    scored += (root / "cxr" / "brixia_scores.csv").read_text(encoding="utf-8-sig").splitlines()
    stems = {Path(line.split(",")[0]).stem for line in scored}
    return frozenset(r.patient for r in manifest(root) if r.archive == "cohen.zip" and Path(r.file).stem in stems)


def cohen_patients(root: Path) -> dict[str, str]:
    """Patients of the images of Cohen's collection, by file name without its suffix."""
    return {Path(r.file).stem: r.patient for r in manifest(root) if r.source == "Cohen"}


def box_corners(box: dict[str, str]) -> tuple[float, float, float, float]:
    """(x0, y0, x1, y1) of a row of boxes.csv, in shares of width and height."""
    x, y, width, height = (float(box[name]) for name in "xywh")
    return x, y, x + width, y + height


@cache
def _archive(path: Path) -> zipfile.ZipFile:
    return zipfile.ZipFile(path)
