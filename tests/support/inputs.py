"""Inputs for tests, good and bad: built with pydicom where they are DICOM, the same every time.

Each function writes to the path it is given and returns it. The good ones show a phantom:
a bright body with two dark lungs, which no network has to take for a patient.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
    SecondaryCaptureImageStorage,
    UltrasoundMultiFrameImageStorage,
    generate_uid,
)

HUGE_SIDE_PX = 20_000

Writer = Callable[[Path], Path]


# Good inputs


def phantom(height: int = 512, width: int = 448, bits: int = 12) -> npt.NDArray[np.uint16]:
    """A frontal chest as two dark ellipses in a bright body: uint16, shape (height, width), bone bright."""
    row, column = np.mgrid[0:height, 0:width]
    y, x = row / height - 0.5, column / width - 0.5
    body = (x / 0.47) ** 2 + (y / 0.75) ** 2 < 1
    lungs = ((abs(x) - 0.21) / 0.14) ** 2 + ((y + 0.02) / 0.33) ** 2 < 1
    brightness = 0.05 + 0.65 * body - 0.5 * lungs + 0.15 * (abs(x) < 0.04)
    grain = np.random.default_rng(0).normal(0, 0.01, (height, width))
    return np.round(np.clip(brightness + grain, 0, 1) * (2**bits - 1)).astype(np.uint16)


def dx(pixels: npt.NDArray[np.uint16] | None = None, bits: int = 12, **elements: Any) -> Dataset:
    """A digital radiograph (PS3.3 A.26) with invented names; further elements by keyword."""
    pixels = phantom(bits=bits) if pixels is None else pixels
    dataset = new_object(DigitalXRayImageStorageForPresentation, "DX", ExplicitVRLittleEndian)
    dataset.ViewPosition = "PA"
    dataset.ImagerPixelSpacing = [0.8, 0.8]
    _describe(dataset, pixels.shape[0], pixels.shape[1], bits)
    dataset.PixelData = pixels.astype("<u2").tobytes()
    set_elements(dataset, elements)
    return dataset


def save(dataset: Dataset, path: Path) -> Path:
    """Write a dataset as a DICOM file (PS3.10) under the SOP Instance UID that it has now."""
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.save_as(path, enforce_file_format=True)
    return path


def chest_dicom(path: Path) -> Path:
    """The phantom as a digital radiograph."""
    return save(dx(), path)


def chest_png(path: Path) -> Path:
    """The phantom as an 8-bit grey picture."""
    Image.fromarray((phantom(bits=8)).astype(np.uint8)).save(path, "PNG")
    return path


def monochrome_twins(folder: Path) -> tuple[Path, Path]:
    """One image stored as MONOCHROME2 and, inverted, as MONOCHROME1."""
    pixels = phantom()
    two = save(dx(pixels, PhotometricInterpretation="MONOCHROME2"), folder / "monochrome2.dcm")
    one = save(dx(4095 - pixels, PhotometricInterpretation="MONOCHROME1"), folder / "monochrome1.dcm")
    return two, one


def example(name: str) -> Path:
    """A file of the package pydicom-data, such as ``RG1_UNCR.dcm``; never fetched."""
    import data_store

    return Path(str(data_store.__file__)).parent / "data" / name


# Not DICOM at all


def empty_file(path: Path) -> Path:
    """A file of no bytes."""
    path.write_bytes(b"")
    return path


def text_file(path: Path) -> Path:
    """Words, whatever the name of the file says."""
    path.write_text("Dear radiologist,\nplease find no image here.\n" * 20, encoding="utf-8")
    return path


def zip_file(path: Path) -> Path:
    """An archive that holds a good radiograph."""
    content = io.BytesIO()
    dx().save_as(content, enforce_file_format=True, implicit_vr=False, little_endian=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("image.dcm", content.getvalue())
    return path


def noise_file(path: Path, size_bytes: int = 50_000) -> Path:
    """Random bytes."""
    path.write_bytes(np.random.default_rng(1).bytes(size_bytes))
    return path


def noise_behind_a_preamble(path: Path) -> Path:
    """Random bytes where the elements of a DICOM file should stand."""
    path.write_bytes(bytes(128) + b"DICM" + np.random.default_rng(2).bytes(5_000))
    return path


# DICOM with something wrong


def truncated(path: Path, source: Path | None = None, keep: float = 0.5) -> Path:
    """The first part of a file; of RG1 unless told otherwise."""
    content = (source or example("RG1_UNCR.dcm")).read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    return path


def no_pixel_data(path: Path) -> Path:
    """A radiograph's header and nothing behind it."""
    dataset = dx()
    del dataset.PixelData
    return save(dataset, path)


def empty_pixel_data(path: Path) -> Path:
    """Pixel Data of length zero."""
    return save(dx(PixelData=b""), path)


def short_pixel_data(path: Path) -> Path:
    """Pixel Data of half the length that the header tells, in a file that is whole."""
    dataset = dx()
    dataset.PixelData = dataset.PixelData[: len(dataset.PixelData) // 4 * 2]
    return save(dataset, path)


def impossible_bits(path: Path) -> Path:
    """Bits Allocated 13, Bits Stored 99: neither can be."""
    return save(dx(BitsAllocated=13, BitsStored=99, HighBit=98), path)


def impossible_size(path: Path) -> Path:
    """An image of no rows."""
    return save(dx(Rows=0), path)


def small_image(path: Path) -> Path:
    """An image of 20 x 20 pixels."""
    return save(dx(phantom(20, 20)), path)


def duplicate_uid_pair(folder: Path) -> tuple[Path, Path]:
    """Two images of one SOP Instance UID with other pixels."""
    first = dx()
    second = dx(np.flipud(phantom()))
    for keyword in ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"):
        setattr(second, keyword, getattr(first, keyword))
    return save(first, folder / "first.dcm"), save(second, folder / "second.dcm")


# Images that are no radiograph


def photograph() -> npt.NDArray[np.uint8]:
    """A landscape in colour: uint8, shape (480, 640, 3)."""
    row, column = np.mgrid[0:480, 0:640]
    blue_sky = np.stack([90 + row // 8, 140 + row // 8, 240 - row // 8], axis=-1)
    green_hill = np.stack([60 + column // 16, 160 - column // 16, 50 + 0 * row], axis=-1)
    return np.where((row > 260 + 60 * np.sin(column / 90))[..., None], green_hill, blue_sky).astype(np.uint8)


def colour_png(path: Path) -> Path:
    """A photograph as PNG."""
    Image.fromarray(photograph()).save(path, "PNG")
    return path


def colour_jpeg(path: Path) -> Path:
    """A photograph as JPEG."""
    Image.fromarray(photograph()).save(path, "JPEG", quality=90)
    return path


def colour_dicom(path: Path) -> Path:
    """A photograph as a Secondary Capture in RGB."""
    pixels = photograph()
    dataset = new_object(SecondaryCaptureImageStorage, "OT", ExplicitVRLittleEndian)
    _describe(dataset, 480, 640, bits=8)
    set_elements(dataset, {"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3, "PlanarConfiguration": 0})
    dataset.PixelData = pixels.tobytes()
    return save(dataset, path)


def ultrasound_multi_frame(path: Path, frames: int = 12) -> Path:
    """A sequence of ultrasound frames."""
    pixels = np.random.default_rng(3).integers(0, 256, (frames, 120, 160), dtype=np.uint8)
    dataset = new_object(UltrasoundMultiFrameImageStorage, "US", ExplicitVRLittleEndian)
    _describe(dataset, 120, 160, bits=8)
    set_elements(dataset, {"NumberOfFrames": frames, "FrameTime": 40.0, "PixelData": pixels.tobytes()})
    return save(dataset, path)


# Images of 20000 x 20000 pixels


def huge_header(path: Path) -> Path:
    """A header that tells 20000 x 20000 pixels, and 2 KiB of them."""
    dataset = dx(Rows=HUGE_SIDE_PX, Columns=HUGE_SIDE_PX)
    dataset.PixelData = dataset.PixelData[:2048]
    return save(dataset, path)


def huge_png(path: Path, side_px: int = HUGE_SIDE_PX) -> Path:
    """A real black picture of that side: 400 MB that were squeezed into 400 kB."""
    squeeze = zlib.compressobj(9)
    rows = [squeeze.compress(bytes(side_px + 1)) for _ in range(side_px)]
    header = struct.pack(">IIBBBBB", side_px, side_px, 8, 0, 0, 0, 0)
    image = b"".join(rows) + squeeze.flush()
    chunks = _png_chunk(b"IHDR", header) + _png_chunk(b"IDAT", image) + _png_chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)
    return path


def huge_rle_dicom(path: Path, side_px: int = HUGE_SIDE_PX) -> Path:
    """A real black image of that side in RLE (PS3.5 annex G): 6 MB for 400 MB."""
    runs, rest = divmod(side_px, 128)
    row = b"\x81\x00" * runs + (bytes([257 - rest, 0]) if rest > 1 else b"")
    segment = row * side_px
    frame = struct.pack("<16I", 1, 64, *[0] * 14) + segment + b"\x00" * (len(segment) % 2)
    return _save_encapsulated(frame, RLELossless, path, side_px)


def huge_jpeg2000_dicom(path: Path, header_side_px: int = HUGE_SIDE_PX) -> Path:
    """A small JPEG 2000 codestream whose SIZ marker (ISO 15444-1 A.5.1) tells 20000 x 20000 pixels.

    Parameters
    ----------
    header_side_px : what the DICOM header tells; 512 makes an object that hides its size.
    """
    content = io.BytesIO()
    Image.new("L", (64, 64)).save(content, "JPEG2000", no_jp2=True)
    codestream = bytearray(content.getvalue())
    siz = codestream.index(b"\xff\x51")
    struct.pack_into(">II", codestream, siz + 6, HUGE_SIDE_PX, HUGE_SIDE_PX)
    struct.pack_into(">II", codestream, siz + 22, HUGE_SIDE_PX, HUGE_SIDE_PX)
    return _save_encapsulated(bytes(codestream), JPEG2000Lossless, path, header_side_px)


# Folders


def looping_folder(folder: Path) -> Path:
    """A folder with one good file, a link to itself, a link to its parent and a link to nothing."""
    inside = folder / "inside"
    inside.mkdir(parents=True)
    chest_dicom(inside / "image.dcm")
    (inside / "self").symlink_to(inside, target_is_directory=True)
    (inside / "parent").symlink_to(folder, target_is_directory=True)
    (inside / "nothing").symlink_to(folder / "absent")
    return folder


# Every file that must be refused, with the code of the refusal (edge.errors.UnreadableError).
REFUSED: dict[str, tuple[Writer, str]] = {
    "empty file": (empty_file, "empty_file"),
    "text": (text_file, "not_dicom"),
    "zip archive": (zip_file, "not_dicom"),
    "random bytes": (noise_file, "not_dicom"),
    "truncated image": (truncated, "truncated"),
    "no pixel data": (no_pixel_data, "no_pixel_data"),
    "short pixel data": (short_pixel_data, "truncated"),
    "empty pixel data": (empty_pixel_data, "no_pixel_data"),
    "small image": (small_image, "image_too_small"),
    "colour PNG": (colour_png, "colour_image"),
    "colour JPEG": (colour_jpeg, "colour_image"),
    "colour DICOM": (colour_dicom, "colour_image"),
    "ultrasound frames": (ultrasound_multi_frame, "multi_frame"),
    "huge header": (huge_header, "image_too_large"),
    "huge PNG": (huge_png, "image_too_large"),
    "huge RLE": (huge_rle_dicom, "image_too_large"),
    "huge JPEG 2000": (huge_jpeg2000_dicom, "image_too_large"),
}


def new_object(sop_class: UID, modality: str, transfer_syntax: UID) -> Dataset:
    """An object of this kind of an invented patient, without an image."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = transfer_syntax
    elements = {
        "SOPClassUID": sop_class,
        "SOPInstanceUID": generate_uid(),
        "SeriesInstanceUID": generate_uid(),
        "StudyInstanceUID": generate_uid(),
        "Modality": modality,
        "PatientName": "Phantom^Test",
        "PatientID": "PHANTOM-1",
        "PatientBirthDate": "19700102",
        "PatientAge": "056Y",
        "PatientSex": "O",
        "StudyDate": "20260301",
        "StudyTime": "101500",
        "AccessionNumber": "ACC-1",
        "InstanceNumber": 1,
    }
    set_elements(dataset, elements)
    return dataset


def _describe(dataset: Dataset, rows: int, columns: int, bits: int) -> None:
    elements = {
        "Rows": rows,
        "Columns": columns,
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 8 if dataset.Modality != "DX" and bits == 8 else 16,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "PixelRepresentation": 0,
    }
    set_elements(dataset, elements)


def set_elements(dataset: Dataset, elements: dict[str, Any]) -> None:
    """Set attributes by keyword."""
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)


def _save_encapsulated(frame: bytes, transfer_syntax: UID, path: Path, side_px: int) -> Path:
    dataset = dx(bits=8)
    dataset.file_meta.TransferSyntaxUID = transfer_syntax
    set_elements(dataset, {"Rows": side_px, "Columns": side_px, "BitsAllocated": 8, "PixelData": encapsulate([frame])})
    dataset["PixelData"].VR = "OB"
    return save(dataset, path)


def _png_chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
