"""The chest of ellipsoids as DICOM files, in the ways in which CT units and archives write a series.

The chest is sampled where the planes lie, so that a tilted gantry or a prone patient shows the same body. Its
volumes are those of ``ct_phantom.Chest``, whatever the geometry.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    CTImageStorage,
    EnhancedCTImageStorage,
    ExplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
    generate_uid,
)

from tests.support.ct_phantom import Chest, Millimetres
from tests.support.inputs import new_object, save, set_elements

Vector = npt.NDArray[np.float64]
Cosines = tuple[float, float, float, float, float, float]

SUPINE: Cosines = (1, 0, 0, 0, 1, 0)
PRONE: Cosines = (-1, 0, 0, 0, -1, 0)
FROM_ABOVE: Cosines = (-1, 0, 0, 0, 1, 0)
"""As seen from the head."""
TURNED: Cosines = (0, 1, 0, 1, 0, 0)
_SIZE_MM = 300.0, 300.0, 400.0


@dataclass(frozen=True, kw_only=True)
class Way:
    """How a series is taken and written.

    Attributes
    ----------
    spacing_mm : along the table, between rows, between columns.
    orientation : of the planes; with ``tilt_deg`` they lean by so much about the axis from right to left.
    counts_from_feet : the first instance number is that of the lowest slice.
    missing, doubled : numbers of slices, counted from the head, that are not written, or twice.
    offset : what is taken from Hounsfield units before they are stored; the intercept tells it unless
        ``tells_scale`` is False.
    padding : the stored value outside of a circle, which the header names.
    low_bits : so many unused bits lie below the values.
    elements : further attributes of each file.
    """

    spacing_mm: Millimetres = (5.0, 1.5, 1.5)
    orientation: Cosines = SUPINE
    tilt_deg: float = 0.0
    counts_from_feet: bool = False
    missing: tuple[int, ...] = ()
    doubled: tuple[int, ...] = ()
    offset: int = -1024
    is_signed: bool = False
    bits: int = 12
    low_bits: int = 0
    tells_scale: bool = True
    padding: int | None = None
    kernel: str = "B30f"
    study_uid: str = "1.2.826.0.1.3680043.10.1.1"
    elements: dict[str, Any] = field(default_factory=dict)


PLAIN = Way()
GEOMETRIES = {
    "plain": PLAIN,
    "tilted": Way(tilt_deg=15),
    "anisotropic": Way(spacing_mm=(2.5, 1.2, 1.8)),
    "reversed": Way(counts_from_feet=True),
    "prone": Way(orientation=PRONE),
    "from above": Way(orientation=FROM_ABOVE),
    "turned": Way(orientation=TURNED, spacing_mm=(5.0, 1.4, 1.7)),
    "signed": Way(is_signed=True, offset=0, bits=16),
    "padded": Way(is_signed=True, offset=0, bits=16, padding=-2000),
    "low bits": Way(low_bits=4),
    "unscaled": Way(is_signed=True, offset=0, bits=16, tells_scale=False),
    "one missing": Way(missing=(20,)),
    "doubled": Way(doubled=(3, 30)),
}
"""Ways from which the same volumes must come."""


def write(folder: Path, chest: Chest, way: Way = PLAIN) -> list[Path]:
    """Write the series into the folder, a file a slice; in the order of their instance numbers."""
    folder.mkdir(parents=True, exist_ok=True)
    origins = _origins(way)
    numbers = [number for number in range(len(origins)) if number not in way.missing]
    numbers = sorted([*numbers, *way.doubled], reverse=way.counts_from_feet)
    series_uid = generate_uid(entropy_srcs=[str(folder)])
    paths = []
    for instance, number in enumerate(numbers, start=1):
        dataset = _slice(sampled(chest, way, origins[number]), way)
        dataset.SeriesInstanceUID, dataset.InstanceNumber = series_uid, instance
        dataset.ImagePositionPatient = [round(value, 6) for value in origins[number]]
        set_elements(dataset, way.elements)
        paths.append(save(dataset, folder / f"{instance:04d}.dcm"))
    return paths


def write_enhanced(path: Path, chest: Chest, way: Way = PLAIN, *, frames_of: int | None = None) -> Path:
    """Write the series as one Enhanced CT Image (PS3.3 section A.38), a frame a slice.

    Parameters
    ----------
    frames_of : repeat the frames, each at a place of its own, until there are so many.
    """
    origins = _origins(way)
    frames = [_slice(sampled(chest, way, origin), way) for origin in origins]
    made, shared = frames[0], _shared(frames[0])
    count = frames_of or len(frames)
    made.SOPClassUID = EnhancedCTImageStorage
    made.NumberOfFrames = count
    made.PixelData = b"".join(frames[number % len(frames)].PixelData for number in range(count))
    for keyword in _IN_GROUPS:
        if keyword in made:
            delattr(made, keyword)
    made.SharedFunctionalGroupsSequence = Sequence([shared])
    step = origins[1] - origins[0]
    made.PerFrameFunctionalGroupsSequence = Sequence(
        [_of_frame(origins[0] + number * step, number, way) for number in range(count)]
    )
    set_elements(made, way.elements)
    return save(made, path)


def write_scout(path: Path, way: Way = PLAIN) -> Path:
    """Write a frontal scout image of the same study."""
    dataset = _slice(np.zeros((256, 256)), way)
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    dataset.ImagePositionPatient, dataset.ImageOrientationPatient = [-200, 0, 150], [1, 0, 0, 0, 0, -1]
    return save(dataset, path)


def write_dose_report(path: Path, way: Way = PLAIN) -> Path:
    """Write a dose report as CT units do: a picture of words."""
    dataset = _slice(np.zeros((256, 256)), way)
    dataset.SOPClassUID, dataset.ConversionType = SecondaryCaptureImageStorage, "WSD"
    dataset.ImageType = ["DERIVED", "SECONDARY", "SCREEN SAVE"]
    del dataset.ImageOrientationPatient
    set_elements(dataset, way.elements)
    return save(dataset, path)


def compressed(path: Path, syntax: UID, frames: list[bytes], target: Path) -> Path:
    """A copy of a file with these encoded frames."""
    from pydicom import dcmread

    dataset = dcmread(path)
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.PixelData = encapsulate(frames)
    dataset["PixelData"].VR = "OB"
    return save(dataset, target)


def sampled(chest: Chest, way: Way, origin: Vector) -> Vector:
    """The chest's Hounsfield units at the pixels of one plane, shape (rows, columns); air beside it."""
    along_row, along_column = _axes(way)
    rows, columns = _matrix(way)
    row, column = np.arange(rows)[:, None, None], np.arange(columns)[None, :, None]
    points = origin + row * way.spacing_mm[1] * along_column + column * way.spacing_mm[2] * along_row
    shape = np.array(chest.volume.hu.shape)
    middle = (shape - 1) / 2
    steps = np.array([np.linalg.norm(chest.volume.affine[:3, axis]) for axis in range(3)])
    sense = np.array([-1 if chest.volume.affine[2, 0] < 0 else 1, 1, 1])
    index = np.rint(points[..., ::-1] / steps * sense + middle).astype(int)
    inside = ((index >= 0) & (index < shape)).all(axis=-1)
    index = np.clip(index, 0, shape - 1)
    hu = chest.volume.hu[index[..., 0], index[..., 1], index[..., 2]]
    return np.where(inside, hu, -1000).astype(float)


def _axes(way: Way) -> tuple[Vector, Vector]:
    along_row, along_column = np.array(way.orientation, dtype=float).reshape(2, 3)
    angle = np.radians(way.tilt_deg)
    lean = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    return lean @ along_row, lean @ along_column


def _matrix(way: Way) -> tuple[int, int]:
    high_mm, wide_mm = _SIZE_MM[1:] if way.orientation[1] == 0 else _SIZE_MM[:0:-1]
    return round(high_mm / way.spacing_mm[1]), round(wide_mm / way.spacing_mm[2])


def _origins(way: Way) -> list[Vector]:
    """Where the first pixel of each slice lies, from head to feet; the table moves along the body."""
    along_row, along_column = _axes(way)
    rows, columns = _matrix(way)
    corner = -(rows - 1) / 2 * way.spacing_mm[1] * along_column - (columns - 1) / 2 * way.spacing_mm[2] * along_row
    height_mm = _SIZE_MM[0] + _SIZE_MM[1] * abs(np.sin(np.radians(way.tilt_deg)))
    count = round(height_mm / way.spacing_mm[0])
    heights = ((count - 1) / 2 - np.arange(count)) * way.spacing_mm[0]
    return [corner + np.array([0, 0, height]) for height in heights]


def _slice(hu: Vector, way: Way) -> Dataset:
    dataset = new_object(CTImageStorage, "CT", ExplicitVRLittleEndian)
    along_row, along_column = _axes(way)
    low = way.low_bits
    elements = {
        "StudyInstanceUID": way.study_uid,
        "FrameOfReferenceUID": f"{way.study_uid}.1",
        "SeriesInstanceUID": generate_uid(),
        "SeriesNumber": 2,
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
        "BodyPartExamined": "CHEST",
        "SliceThickness": way.spacing_mm[0],
        "ConvolutionKernel": way.kernel,
        "GantryDetectorTilt": way.tilt_deg,
        "PixelSpacing": list(way.spacing_mm[1:]),
        "ImageOrientationPatient": [round(float(value), 9) for value in (*along_row, *along_column)],
        "Rows": hu.shape[0],
        "Columns": hu.shape[1],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 16,
        "BitsStored": way.bits,
        "HighBit": way.bits - 1 + low,
        "PixelRepresentation": int(way.is_signed),
    }
    if way.tells_scale:
        elements |= {"RescaleSlope": 1, "RescaleIntercept": way.offset, "RescaleType": "HU"}
    set_elements(dataset, elements)
    values = np.rint(hu - way.offset)
    if way.padding is not None:
        dataset.add_new("PixelPaddingValue", "SS" if way.is_signed else "US", way.padding)
        y, x = np.ogrid[-1 : 1 : hu.shape[0] * 1j, -1 : 1 : hu.shape[1] * 1j]
        values[np.hypot(x, y) > 1] = way.padding
    stored = values.astype("<i2" if way.is_signed else "<u2")
    dataset.PixelData = (stored << low).tobytes()
    return dataset


_IN_GROUPS = (
    "ImageOrientationPatient",
    "PixelSpacing",
    "SliceThickness",
    "ConvolutionKernel",
    "GantryDetectorTilt",
    "RescaleSlope",
    "RescaleIntercept",
    "RescaleType",
)
"""Attributes that an Enhanced CT Image has in its functional groups alone."""


def _group(**elements: Any) -> Sequence:
    made = Dataset()
    set_elements(made, elements)
    return Sequence([made])


def _shared(plain: Dataset) -> Dataset:
    shared = Dataset()
    shared.PlaneOrientationSequence = _group(ImageOrientationPatient=plain.ImageOrientationPatient)
    shared.PixelMeasuresSequence = _group(PixelSpacing=plain.PixelSpacing, SliceThickness=plain.SliceThickness)
    shared.CTReconstructionSequence = _group(ConvolutionKernel=plain.ConvolutionKernel)
    shared.CTAcquisitionDetailsSequence = _group(GantryDetectorTilt=float(plain.GantryDetectorTilt))
    return shared


def _of_frame(origin: Vector, number: int, way: Way) -> Dataset:
    """The groups of one frame, among them some that the box does not read."""
    made = Dataset()
    made.FrameContentSequence = _group(
        StackID="1", InStackPositionNumber=number + 1, TemporalPositionIndex=1, FrameAcquisitionNumber=1
    )
    made.PlanePositionSequence = _group(ImagePositionPatient=[round(value, 6) for value in origin])
    made.CTImageFrameTypeSequence = _group(FrameType=["ORIGINAL", "PRIMARY", "VOLUME", "NONE"])
    made.CTExposureSequence = _group(ExposureTimeInms=500.0, XRayTubeCurrentInmA=100.0, CTDIvol=4.0)
    if way.tells_scale:
        made.PixelValueTransformationSequence = _group(RescaleIntercept=way.offset, RescaleSlope=1, RescaleType="HU")
    return made
