"""Images that a frontal-chest model must refuse, by kind, for training and for testing.

Real ones: lateral radiographs and CT figures from papers (split by patient), axial CT
slices, lateral projections computed from CT series, the MR, US and test images of
``pydicom-data`` (never its leg RG3, which is kept for the tests), photographs that come
with scikit-image. Made ones: limb-like phantoms, noise, shuffled and cut-out radiographs.
"""

from __future__ import annotations

import csv
import io
import zipfile
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.errors import InvalidDicomError

from models.training import data
from models.training.augment import Image, Rng, random_affine, warp

HELD_OUT_PHOTOS = frozenset({"astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "brick.png"})
Point = npt.NDArray[np.float64]
Volume = npt.NDArray[np.float32]

_CT_SERIES = ("covid_p001", "cap_cap001", "normal_normal001")


def gate_figures(root: Path, kind: str, *, held_out: bool) -> list[data.Grey]:
    """Lateral radiographs or CT figures; every third patient is held out of training."""
    rows = [row for row in data.table(root, "gate_manifest.csv") if row["kind"] == kind]
    patients = data.gate_patients(root, held_out=held_out)
    return [data.image(root, "cxr/gate.zip", r["file"]) for r in rows if r["patient"] in patients]


def ct_slices(root: Path, split: str, most: int) -> list[data.Grey]:
    """Axial CT slices of a split, evenly thinned to at most so many."""
    with (root / "ct" / "manifest.csv").open(newline="", encoding="utf-8") as file:
        names = [row["file"] for row in csv.DictReader(file) if row["split"] == split]
    step = max(1, len(names) // most)
    return [data.image(root, "ct/slices.zip", name) for name in names[::step][:most]]


def lateral_projections(root: Path) -> list[data.Grey]:
    """Lateral views computed from three CT series, turned about the vertical axis.

    The attenuation along each line is summed and shown with an exponent that leaves
    the lungs dark: a digitally reconstructed radiograph without scatter.
    """
    views: list[data.Grey] = []
    for name in _CT_SERIES:
        volume = _ct_volume(root / "ct" / f"{name}.zip")
        for turn_deg in (*range(60, 125, 5), *range(240, 305, 5)):
            views.append(_project(volume, turn_deg))
    return views


def _ct_volume(archive: Path) -> Volume:
    with zipfile.ZipFile(archive) as file:
        names = [n for n in file.namelist() if n.endswith(".dcm")]
        slices = [pydicom.dcmread(io.BytesIO(file.read(n))) for n in names]
    slices.sort(key=lambda s: -float(s.ImagePositionPatient[2]))
    step_mm = abs(float(slices[0].ImagePositionPatient[2]) - float(slices[1].ImagePositionPatient[2]))
    small = [cv2.resize(s.pixel_array.astype(np.float32), (192, 192), interpolation=cv2.INTER_AREA) for s in slices]
    hu = np.stack(small) + float(slices[0].get("RescaleIntercept", -1024))
    pixel_mm = float(slices[0].PixelSpacing[0]) * slices[0].Rows / 192
    rows = round(len(small) * step_mm / pixel_mm)
    attenuation = np.clip(hu + 1000, 0, 2500) / 1000
    # Resampled along the body so that a pixel is as high as it is wide: (rows, 192, 192).
    coronal = [cv2.resize(attenuation[:, row], (192, rows), interpolation=cv2.INTER_LINEAR) for row in range(192)]
    return np.stack(coronal, axis=1)


def _project(volume: Volume, turn_deg: float) -> data.Grey:
    matrix = cv2.getRotationMatrix2D((96, 96), turn_deg, 1)
    turned = (cv2.warpAffine(axial, matrix, (192, 192)) for axial in volume)
    path = np.stack([axial.sum(0) for axial in turned])
    shown = 1 - np.exp(-path / 55)
    low, high = np.percentile(shown, (1, 99))
    return np.asarray(np.clip((shown - low) / (high - low), 0, 1) * 255, np.uint8)


def other_dicom() -> list[data.Grey]:
    """Every distinct image of ``pydicom-data`` that is no radiograph."""
    import data_store

    folder = Path(data_store.__file__).parent / "data"
    names = sorted(p for p in folder.glob("*.dcm") if not p.name.startswith(("RG1", "RG3")))
    found = (_dicom_grey(path) for path in names)
    return [grey for grey in found if grey is not None]


def _dicom_grey(path: Path) -> data.Grey | None:
    try:
        pixels = pydicom.dcmread(path).pixel_array.astype(np.float32)
    except (AttributeError, InvalidDicomError, RuntimeError, ValueError, NotImplementedError):
        return None  # some of these files are broken on purpose
    while pixels.ndim > 2:
        pixels = pixels.mean(-1) if pixels.shape[-1] == 3 else pixels[0]
    low, high = float(pixels.min()), float(pixels.max())
    return np.asarray((pixels - low) / max(1, high - low) * 255, np.uint8)


def photographs(*, held_out: bool) -> list[data.Grey]:
    """Photographs that come with scikit-image, as grey."""
    import skimage

    folder = Path(skimage.__file__).parent / "data"
    paths = sorted(p for p in folder.iterdir() if p.suffix in (".png", ".jpg"))
    chosen = [p for p in paths if (p.name in HELD_OUT_PHOTOS) == held_out]
    found = (cv2.imread(str(p), cv2.IMREAD_GRAYSCALE) for p in chosen)
    return [np.asarray(grey, np.uint8) for grey in found if grey is not None]


def limb(rng: Rng, side: int) -> Image:
    """A phantom of one to five limb-like cylinders with a bone inside, some with a joint."""
    image = np.full((side, side), rng.uniform(0, 0.1), np.float32)
    for _ in range(rng.integers(1, 6)):
        start = rng.uniform(-0.1, 1.1, 2) * side
        angle, width = rng.uniform(0, np.pi), rng.uniform(0.04, 0.3) * side
        for _ in range(rng.integers(1, 4)):
            end = start + np.array([np.cos(angle), np.sin(angle)]) * rng.uniform(0.3, 1.0) * side
            _cylinder(rng, image, start, end, width)
            start, angle = end, angle + rng.uniform(-0.5, 0.5)
    return np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.6, 2.0)), np.float32)


def _cylinder(rng: Rng, image: Image, start: Point, end: Point, width: float) -> None:
    points = tuple(map(int, start)), tuple(map(int, end))
    bone = width * rng.uniform(0.25, 0.5)
    soft = rng.uniform(0.15, 0.4)
    for thickness, grey in ((width, soft), (bone, soft + 0.35), (bone * 0.6, soft + 0.2)):
        layer = np.zeros_like(image)
        cv2.line(layer, *points, float(grey), max(1, int(thickness)), cv2.LINE_AA)
        np.maximum(image, layer, out=image) if thickness == width else np.copyto(image, layer, where=layer > 0)


def noise(rng: Rng, side: int) -> Image:
    """Smooth noise, a gradient, or a flat field."""
    cells = int(rng.choice([2, 4, 8, 16, 64]))
    coarse = rng.random((cells, cells)).astype(np.float32)
    return np.asarray(cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC), np.float32)


def shuffled(rng: Rng, image: Image) -> Image:
    """The same image cut into tiles in another order."""
    cells = int(rng.integers(2, 5))
    step = image.shape[0] // cells
    cut = image[: step * cells, : step * cells].reshape(cells, step, cells, step).swapaxes(1, 2).reshape(-1, step, step)
    mixed = cut[rng.permutation(len(cut))].reshape(cells, cells, step, step).swapaxes(1, 2)
    joined = mixed.reshape(step * cells, step * cells)
    return np.asarray(cv2.resize(joined, image.shape[::-1]), np.float32)


def cut_out(rng: Rng, image: Image) -> Image:
    """A small part of a radiograph, enlarged: a shoulder, an abdomen, one lung apex."""
    side = image.shape[0]
    zoom = rng.uniform(3.2, 7.0)
    matrix = random_affine(rng, side, turn_deg=180, zoom=0.05, shift=0.0)
    centre = rng.uniform(0, side, 2)
    matrix = np.asarray(matrix * zoom)
    matrix[:, 2] = side / 2 - matrix[:, :2] @ centre
    return warp(image, matrix)


def panels(rng: Rng, first: Image, second: Image) -> Image:
    """Two images side by side or above each other, as in a figure."""
    both = np.concatenate([first, second], axis=int(rng.integers(2)))
    return np.asarray(cv2.resize(both, first.shape[::-1], interpolation=cv2.INTER_AREA), np.float32)
