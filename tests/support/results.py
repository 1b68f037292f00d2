"""A complete ``chest-edge/result/1`` as the whole pipeline writes it, for whoever shows or stores one."""

from __future__ import annotations

from typing import Any

from edge.types import Remark, Severity
from tests.support.page import LEFT_LUNG, RIGHT_LUNG

ZONES = ("right_upper", "right_middle", "right_lower", "left_upper", "left_middle", "left_lower")
STAGES = {
    "quality": "frontal_gate",
    "segmentation": "lung_field",
    "positioning": "lung_field",
    "registration": "lung_field",
    "detection": "opacities",
    "classification": "pneumonia",
    "severity": "severity",
}
"""Every stage in its order, with the model that it needs."""
CUT_OFF = Remark(
    code="cut_off_left_angle",
    text="The left costophrenic angle reaches the edge of the image.",
    severity=Severity.WARN,
    advice="The left costophrenic angle is cut off: re-centre and repeat.",
)
ROTATED = Remark(
    code="patient_rotated",
    text="The upper lungs are unequally wide: the patient may have been rotated, or one lung is small.",
    advice="Compare the collarbones. If they lie unevenly, straighten the patient and repeat.",
)
COARSE = Remark(
    code="low_resolution",
    text="The image has %(columns)s x %(rows)s pixels, fewer than the box uses; fine detail is missing.",
    values={"columns": "640", "rows": "800"},
)
AGE_UNKNOWN = Remark(
    code="age_unknown",
    text="The age of the patient is unknown; the reading for adults and that for children were combined.",
    severity=Severity.WARN,
)
GROUND_GLASS = {
    "code": "ground_glass_opacity",
    "confidence": 0.83,
    "box_px": [420, 100, 680, 260],
    "contour": [[420, 120], [420, 240], [560, 260], [680, 200], [640, 100]],
    "laterality": "right",
    "zone": "right_lower",
    "lung_percent": 21.4,
}
CONSOLIDATION = {
    "code": "consolidation",
    "confidence": 0.64,
    "box_px": [500, 400, 640, 500],
    "contour": [[500, 420], [520, 500], [640, 480], [620, 400]],
    "laterality": "left",
    "zone": "left_middle",
    "lung_percent": 9.2,
}


def complete_result(decision: str = "abnormal", **parts: Any) -> dict[str, Any]:
    """A finished reading of an adult with every part; ``parts`` take the place of its own."""
    whole = {
        "schema": "chest-edge/result/1",
        "disclaimer": "Research use, not a medical device.",
        "source": ["0123456789abcdef.dcm"],
        "study_instance_uid": "1.2.3",
        "modality": "DX",
        "state": "done",
        "reasons": [],
        "quality": [remark.as_json() for remark in (CUT_OFF, ROTATED, COARSE)],
        "gate": {"view": {"frontal": 0.99, "lateral": 0.01, "other": 0.0}, "turned_deg": 0},
        "segmentation": _segmentation(),
        "positioning": {"apex_margin": 0.04, "apex_margin_limit": 0.01},
        "registration": {"aligned": True, "residual": 0.08, "matrix": [[1.3, 0.0, -0.15], [0.0, 1.2, -0.1]]},
        "detection": {
            "percent": {"right_lung": 21.4, "left_lung": 9.2, "both": 15.6},
            "zones": dict(zip(ZONES, (0.0, 8.0, 52.0, 0.0, 20.0, 0.4), strict=True)),
            "ground_glass_percent": 11.0,
            "consolidation_percent": 4.6,
        },
        "findings": [GROUND_GLASS, CONSOLIDATION],
        "classification": {
            "group": "adult",
            "probabilities": {
                "normal": 0.06,
                "covid19": 0.31,
                "other_pneumonia": 0.55,
                "tuberculosis": 0.05,
                "other": 0.03,
            },
            "set": ["other_pneumonia", "covid19"],
            "decision": decision,
            "distance": 0.41,
        },
        "severity": make_severity(),
        "stages": [_stage(name, model) for name, model in STAGES.items()],
        "software_version": "0",
        "completed_at": "2026-03-01T10:20:00+00:00",
    }
    return whole | parts


def make_severity(**changes: Any) -> dict[str, Any]:
    """A moderate severity without an earlier study."""
    severity = {
        "extent": 3.4,
        "opacity": 2.1,
        "zones": dict(zip(ZONES, (0.0, 1.1, 2.8, 0.2, 1.9, 1.0), strict=True)),
        "brixia": 7.0,
        "percent": 15.6,
        "grade": "moderate",
        "change": None,
    }
    return severity | changes


def make_change(study_key: str, verdict: str = "worse") -> dict[str, Any]:
    """A change against an earlier study: one zone got worse, one better, and their sum."""
    return {
        "study_key": study_key,
        "completed_at": "2026-02-20T08:05:00+00:00",
        "zones": dict(zip(ZONES, (0.0, 0.3, 2.1, -0.2, 1.2, -1.4), strict=True)),
        "brixia": 2.0,
        "verdict": verdict,
    }


def _segmentation() -> dict[str, Any]:
    return {
        "image_size_px": [800, 640],
        "turned_deg": 0,
        "contours": {
            "right_lung": [RIGHT_LUNG],
            "left_lung": [LEFT_LUNG],
            "heart": [[[400, 260], [400, 400], [640, 440], [640, 240]]],
        },
        "area_share": {"right_lung": 0.23, "left_lung": 0.23, "heart": 0.08},
        "plausible": True,
        "cardiothoracic": {
            "ratio": 0.4167,
            "heart_line": [[560, 240], [560, 440]],
            "thorax_line": [[660, 80], [660, 560]],
        },
    }


def _stage(name: str, model: str) -> dict[str, Any]:
    sha256 = "0123456789abcdef" * 4
    return {
        "name": name,
        "status": "ok",
        "seconds": 0.1234,
        "model": model,
        "model_version": "1",
        "model_sha256": sha256,
        "model_precision": "int8",
    }
