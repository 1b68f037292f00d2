"""Chest CTs with their results for the making of objects: the phantom as files, and as pictures with its tissues."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge.dicom.attributes import header_of
from edge.dicom.planes import planes
from edge.dicom.series import Arrangement, arrange
from edge.dicom.source import source_header
from edge.objects.case import Case
from edge.objects.tomography.slices import Slices
from edge.store import stack
from edge.store.stack import StackFile
from tests.support import cases, ct_files, ct_result
from tests.support.ct_files import Way
from tests.support.ct_phantom import Chest, chest

MODEL = {"model": "ct_segmentation", "model_version": "1", "model_sha256": "ab" * 32, "model_precision": "int8"}
STAGES = [
    {"name": "quality", "status": "ok", "seconds": 0.2} | dict.fromkeys(MODEL),
    {"name": "segmentation", "status": "ok", "seconds": 0.9} | MODEL,
    {"name": "detection", "status": "ok", "seconds": 0.1} | dict.fromkeys(MODEL),
]
SPACING_MM = (10.0, 3.0, 3.0)
WAYS = {
    name: replace(way, spacing_mm=tuple(2 * step for step in way.spacing_mm))
    for name, way in ct_files.GEOMETRIES.items()
}
"""Those of ``ct_files``, twice as coarse."""
Points = npt.NDArray[np.float64]


def report(decision: str | None = "abnormal", **parts: Any) -> dict[str, Any]:
    """The result of a chest CT as the box keeps it."""
    return ct_result.chest_result(decision, software_version="0", stages=STAGES, **parts)


def phantom() -> Chest:
    """A chest with a consolidation in the right lung."""
    return chest(SPACING_MM, from_head=True, consolidated=True)


def tissue_at(made: Chest, tissue: npt.NDArray[np.uint8], points: Points) -> npt.NDArray[np.uint8]:
    """What a phantom holds at points of the patient, shape (..., 3), LPS millimetres; 0 outside."""
    shape = np.array(tissue.shape)
    sense = np.array([-1, 1, 1])
    index = np.rint(points[..., ::-1] / np.array(made.volume.spacing_mm) * sense + (shape - 1) / 2).astype(int)
    inside = ((index >= 0) & (index < shape)).all(axis=-1)
    index = np.clip(index, 0, shape - 1)
    return np.where(inside, tissue[index[..., 0], index[..., 1], index[..., 2]], 0).astype(np.uint8)


def case(folder: Path, way: Way = WAYS["plain"], *, enhanced: bool = False, **changes: Any) -> Case:
    """The phantom as files in a folder, and a case of its result; ``changes`` are attributes of it."""
    made, files = phantom(), folder / "files"
    written = ct_files.write(files, made, way) if not enhanced else [_enhanced(files, made, way)]
    return of_files(written, made, folder / "stack.zip", **changes)


def _enhanced(folder: Path, made: Chest, way: Way) -> Path:
    folder.mkdir()
    return ct_files.write_enhanced(folder / "ct.dcm", made, way)


def of_files(files: Sequence[Path], made: Chest, at: Path, shrunk: int = 1, **changes: Any) -> Case:
    """A case of a series of the phantom, its pictures ``shrunk`` times smaller than its slices."""
    read = [source_header(path) for path in files]
    headers = [replace(header_of(source), planes=planes(source)) for source in read]
    arranged = arrange(headers)
    order = list(dict.fromkeys(place.header for place in arranged.places))
    sources = [files[number] for number in order]
    stack.write(at, pictures(arranged, made, shrunk))
    slices = Slices(pictures=StackFile(at), headers=lambda: (source_header(path) for path in sources))
    attributes = {"report": report(), "source": source_header(sources[0]), "slices": slices}
    return cases.case(**attributes | changes)


def pictures(arranged: Arrangement, made: Chest, shrunk: int = 1) -> stack.Stack:
    """The pictures of a series as the pipeline writes them, with what the phantom holds there as labels."""
    _, rows, columns = arranged.shape
    affine = arranged.affine.copy()
    affine[:3, 3] += affine[:3, 1:3].sum(1) * (shrunk - 1) / 2
    affine[:3, 1:3] *= shrunk
    count = arranged.slots[-1] + 1
    index = np.stack(np.meshgrid(range(count), range(rows // shrunk), range(columns // shrunk), indexing="ij"), -1)
    points = index @ affine[:3, :3].T + affine[:3, 3]
    hu = np.where(tissue_at(made, (made.right | made.left).astype(np.uint8), points) > 0, -850, 40).astype(np.int16)
    uids = dict(zip(arranged.slots, (place.sop_instance_uid for place in arranged.places), strict=True))
    between, row, column = arranged.spacing_mm
    whole = ct_result.stack_of(hu, tissue_at(made, ct_result.tissue_of(made), points))
    meta = replace(
        whole.meta,
        affine=tuple(map(tuple, affine.tolist())),
        spacing_mm=(between, row * shrunk, column * shrunk),
        slice_uids=tuple(uids.get(number, "") for number in range(count)),
    )
    return replace(whole, meta=meta)
