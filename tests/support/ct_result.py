"""A chest CT that was read: the phantom as a result (``chest-edge/result/1``) and as a stack of pictures."""

from __future__ import annotations

import io
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from edge.config import Settings
from edge.store import stack, studies
from edge.store.stack import COLOURS, WINDOWS, Layer, Meta, Stack
from edge.types import State, Tissue
from tests.support.ct_phantom import Chest, chest
from tests.support.studies import put_finished_study

SPACING_MM = (10.0, 3.0, 3.0)
ZONES = ("right_upper", "right_middle", "right_lower", "left_upper", "left_middle", "left_lower")
Labels = npt.NDArray[np.uint8]


def phantom() -> Chest:
    """A chest of 30 slices with a consolidation in the right lung, head first."""
    return chest(SPACING_MM, from_head=True, consolidated=True)


def tissue_of(made: Chest) -> Labels:
    """What the box would label: lungs, the dense piece as consolidation, a shell around it as ground glass."""
    labels = np.zeros(made.right.shape, np.uint8)
    labels[made.right], labels[made.left] = Tissue.RIGHT_LUNG, Tissue.LEFT_LUNG
    shell = np.stack([cv2.dilate(plane.astype(np.uint8), np.ones((5, 5), np.uint8)) for plane in made.dense])
    labels[(shell > 0) & made.right] = Tissue.RIGHT_GROUND_GLASS
    labels[made.dense] = Tissue.RIGHT_CONSOLIDATION
    return labels


FILLED = 2
"""The slice that was missing."""


def stack_of(hu: npt.NDArray[np.int16], tissue: Labels, spacing_mm: tuple[float, float, float] = SPACING_MM) -> Stack:
    """The stack of a volume that lies head first; hu and tissue of shape (D, H, W)."""
    side = (hu.shape[0] * round(spacing_mm[0] / spacing_mm[1]), hu.shape[2])
    middle = hu.shape[1] // 2
    hu_level = cv2.resize(hu[:, middle], side[::-1], interpolation=cv2.INTER_NEAREST).astype(np.int16)
    tissue_level = cv2.resize(tissue[:, middle], side[::-1], interpolation=cv2.INTER_NEAREST).astype(np.uint8)
    return Stack(
        meta=Meta(
            slices=len(hu),
            size_px=(hu.shape[1], hu.shape[2]),
            spacing_mm=spacing_mm,
            affine=tuple(map(tuple, np.diag([-spacing_mm[0], *spacing_mm[1:], 1.0])[[2, 1, 0, 3]].tolist())),
            slice_uids=tuple("" if number == FILLED else f"1.2.3.{number}" for number in range(1, len(hu) + 1)),
            windows=WINDOWS,
        ),
        lung=(grey(plane, Layer.LUNG) for plane in hu),
        mediastinum=(grey(plane, Layer.MEDIASTINUM) for plane in hu),
        tissue=(labelled(plane) for plane in tissue),
        coronal_lung=grey(hu_level, Layer.LUNG),
        coronal_tissue=labelled(tissue_level),
    )


def grey(plane: npt.NDArray[np.int16], layer: Layer) -> bytes:
    """A plane of Hounsfield units as a JPEG in the window of a layer."""
    centre, width = WINDOWS[layer.value]
    shown = np.clip((plane.astype(np.float32) - centre) / width + 0.5, 0, 1) * 255
    return cv2.imencode(".jpg", shown.astype(np.uint8))[1].tobytes()


def labelled(plane: Labels) -> bytes:
    """A plane of tissues as a PNG with a palette."""
    image = Image.fromarray(plane, mode="P")
    colours = [(0, 0, 0, 0)] + [COLOURS[Tissue(value)] for value in range(1, 7)]
    image.putpalette([value for colour in colours for value in colour[:3]])
    file = io.BytesIO()
    image.save(file, "PNG", transparency=bytes(colour[3] for colour in colours))
    return file.getvalue()


def put_stack(settings: Settings, study_key: str, made: Stack, version: int = 1) -> None:
    """Lay a stack where the page looks for that of a result."""
    path = studies.stack_path(settings, study_key, version)
    path.parent.mkdir(parents=True, exist_ok=True)
    stack.write(path, made)


def put_ct(settings: Settings, result: dict[str, Any] | None = None, made: Stack | None = None, **kept: Any) -> str:
    """A CT study with its result and its stack; returns its key."""
    shown = chest_result() if result is None else result
    state = State(shown["state"])
    key = put_finished_study(settings, shown, shown["reasons"], state, modality="CT", **kept)
    if state is State.DONE:
        whole = phantom()
        version = studies.study(settings.database, key)
        assert version is not None
        put_stack(settings, key, made or stack_of(whole.volume.hu, tissue_of(whole)), version.version)
    return key


def lesion(code: str = "consolidation", number: int = 15, **changes: Any) -> dict[str, Any]:
    """One measured lesion."""
    found = {
        "code": code,
        "laterality": "right",
        "zone": "right_middle",
        "volume_ml": 11.4,
        "lung_percent": 0.6,
        "mean_hu": 34.0,
        "slice": number,
        "slices": [number - 1, number + 1],
    }
    return found | changes


def chest_result(decision: str | None = "abnormal", **parts: Any) -> dict[str, Any]:
    """What the box would make of the phantom; without a decision the series was refused. ``parts`` take its place."""
    refused = dict.fromkeys(("segmentation", "registration", "detection", "classification", "severity"))
    read = _read(decision) if decision else refused | {"findings": []}
    return {
        "schema": "chest-edge/result/1",
        "completed_at": "2026-11-24T10:20:00+00:00",
        "software_version": "0",
        "modality": "CT",
        "state": "done" if decision else "no_result",
        "reasons": [],
        "quality": [],
        "series": _series(),
        "gate": None,
        "positioning": None,
        "stages": [{"name": "quality", "status": "ok", "seconds": 0.2, "model": None, "model_sha256": None}],
    } | {**read, **parts}


def change(study_key: str, **parts: Any) -> dict[str, Any]:
    """A change against an earlier CT: one zone got worse, one better."""
    compared = {
        "study_key": study_key,
        "completed_at": "2026-02-20T08:05:00+00:00",
        "acquired_at": "2026-02-20T07:50:00",
        "zones": dict(zip(ZONES, (0.0, 9.0, 2.0, 0.0, -3.0, 0.0), strict=True)),
        "percent": 2.4,
        "verdict": "worse",
    }
    return compared | parts


def severity(**parts: Any) -> dict[str, Any]:
    """Severity of a mildly ill chest."""
    affected = dict(zip(ZONES, (0.0, 14.1, 5.2, 0.1, 3.0, 0.4), strict=True))
    graded = {
        "affected_percent": {"both": 4.2, "right_lung": 6.9, "left_lung": 1.1} | affected,
        "ct_score": 4,
        "ct_score_max": 24,
        "zones": dict(zip(ZONES, (0, 2, 1, 0, 1, 0), strict=True)),
        "grade": "mild",
        "change": None,
    }
    return graded | parts


def _read(decision: str) -> dict[str, Any]:
    return {
        "segmentation": {
            "method": "network",
            "lung_volume_ml": {"right_lung": 1805.2, "left_lung": 1590.7, "both": 3395.9},
            "airways_ml": 41.0,
            "plausible": True,
            "fault": None,
        },
        "registration": {"to": "atlas", "aligned": True, "residual": 0.04},
        "detection": {
            "percent": {"right_lung": 6.9, "left_lung": 1.1, "both": 4.2},
            "zones": dict(zip(ZONES, (0.0, 14.1, 5.2, 0.1, 3.0, 0.4), strict=True)),
            "ground_glass_percent": 3.6,
            "consolidation_percent": 0.6,
            "ground_glass_ml": {"right_lung": 113.1, "left_lung": 17.5, "both": 130.6},
            "consolidation_ml": {"right_lung": 11.4, "left_lung": 0.0, "both": 11.4},
            "mean_hu": {"right_lung": -801.0, "left_lung": -842.0, "both": -820.0},
            "distribution": {"bilateral": True, "peripheral_percent": 71.0, "basal_percent": 22.0},
        },
        "classification": {"decision": decision, "probabilities": {}, "set": [], "measured_percent": 4.2},
        "severity": severity(),
        "findings": [
            lesion("ground_glass_opacity", 14, volume_ml=113.1, lung_percent=6.3, mean_hu=-560.0),
            lesion(),
            lesion("ground_glass_opacity", 20, volume_ml=17.5, laterality="left", zone="left_middle", mean_hu=-602.0),
        ],
    }


def _series() -> dict[str, Any]:
    scout = {
        "code": "scout",
        "text": "A scout view of 2 images",
        "message": "A scout view of %(count)s images",
        "values": {"count": "2"},
        "images": 2,
    }
    return {
        "series_instance_uid": "1.2.3",
        "slices": 30,
        "spacing_mm": list(SPACING_MM),
        "thickness_mm": 10.0,
        "kernel": "B70f",
        "image_size_px": [100, 133],
        "left_out": [scout],
        "key_slices": [10, 15, 20],
    }
