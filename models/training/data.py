"""Public chest images for training: manifest rows, pixels and masks out of zip archives.

The layout is that of ``cxr/`` in the data directory: ``manifest.csv`` (archive, file,
source, label, patient, age_group, view, split, mask, note) beside zip archives of
8-bit JPEG and PNG. Splits are by patient; rows of split ``external`` never teach a classifier.
Severity scores and lesion masks are of Cohen's collection, which is external: whatever learns
from them says so, and its patients leave the external figures (``lesion_patients``,
``severity_patients``).
"""

from __future__ import annotations

import csv
import re
import zipfile
from collections.abc import Mapping
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


def cohen_scores(root: Path) -> dict[str, npt.NDArray[np.float32]]:
    """Extent and opacity (Cohen 2020), mean of three readers, by file name without suffix."""
    lines = (root / "cxr" / "covid_severity_scores.csv").read_text(encoding="utf-8-sig").splitlines()
    rows = csv.DictReader(line for line in lines if not line.startswith("##"))
    return {
        Path(row["filename"]).stem: np.array([row["geographic_mean"], row["opacity_mean"]], np.float32) for row in rows
    }


def brixia_scores(root: Path) -> dict[str, npt.NDArray[np.float32]]:
    """Scores of the six zones in the order of ``Zone``, mean of both readers, by file name without suffix.

    Brixia's A, B, C are the patient's right lung from above, D, E, F the left one.
    """
    with (root / "cxr" / "brixia_scores.csv").open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    readers = {Path(r["filename"]).stem: [[float(r[f"{who}-{z}"]) for z in "ABCDEF"] for who in "SJ"] for r in rows}
    return {stem: np.mean(both, axis=0, dtype=np.float32) for stem, both in readers.items()}


def severity_patients(root: Path) -> frozenset[str]:
    """Patients of cohen.zip whose severity was scored: the opacity model has seen them."""
    scored = cohen_scores(root).keys() | brixia_scores(root).keys()
    return frozenset(r.patient for r in manifest(root) if r.archive == "cohen.zip" and Path(r.file).stem in scored)


def collection_patient(root: Path, stem: str) -> str:
    """The patient of an image of Cohen's collection by its file name without suffix.

    Images of lesion.zip that are in no other archive under their name may be so under another
    one; the rest are grouped by what stands before the first number of their name, so that no
    patient falls into two groups.
    """
    return _cohen_patients(root).get(stem) or lesion_twins(root).get(stem) or re.split(r"-(?:day)?\d", stem)[0]


@cache
def _cohen_patients(root: Path) -> Mapping[str, str]:
    return {Path(r.file).stem: r.patient for r in manifest(root) if r.source == "Cohen"}


@cache
def lesion_twins(root: Path) -> Mapping[str, str]:
    """Patients of images of lesion.zip, by name without suffix, whose copy lies in unseen_hospitals.zip."""
    rows = [r for r in manifest(root) if r.archive == "unseen_hospitals.zip" and r.source == "Cohen"]
    seen = [(r.patient, _thumbnail(pixels(root, r))) for r in rows]
    found = {}
    for row in table(root, "lesion_manifest.csv"):
        shown = _thumbnail(image(root, "cxr/lesion.zip", row["file"]))
        likeness, patient = max((float(np.corrcoef(shown, other)[0, 1]), name) for name, other in seen)
        if likeness > _SAME_IMAGE:
            found[Path(row["file"]).stem] = patient
    return found


_SAME_IMAGE = 0.995


def _thumbnail(grey: Grey) -> npt.NDArray[np.float64]:
    return np.asarray(cv2.resize(grey, (32, 32), interpolation=cv2.INTER_AREA), np.float64).ravel()


def box_corners(box: dict[str, str]) -> tuple[float, float, float, float]:
    """(x0, y0, x1, y1) of a row of boxes.csv, in shares of width and height."""
    x, y, width, height = (float(box[name]) for name in "xywh")
    return x, y, x + width, y + height


@cache
def _archive(path: Path) -> zipfile.ZipFile:
    return zipfile.ZipFile(path)
