"""``chest-edge/result/1``: exactly the documented keys, whatever became of the study."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

import numpy as np
import pytest

from edge.pipeline.schema import to_json
from edge.types import Finding, Mask, Remark, Severity, StageResult, StageStatus, State, StudyResult, Zone

KEYS = [
    "schema",
    "disclaimer",
    "source",
    "study_instance_uid",
    "modality",
    "state",
    "reasons",
    "quality",
    "series",
    "gate",
    "segmentation",
    "positioning",
    "registration",
    "detection",
    "classification",
    "severity",
    "findings",
    "stages",
    "software_version",
    "completed_at",
]
LUNGS = Mask(labels=np.ones((64, 64), np.uint8), names={1: "right lung"})
CLAIM = {"group": "adult", "probabilities": {"normal": 0.9, "covid19": 0.1}, "set": ["normal"], "decision": "normal"}
OUTLINES = {"contours": {"right_lung": [[[1.0, 2.0]]]}, "image_size_px": [64, 64]}
TURNED = Remark(code="turned", text="Turned by %(degrees)s degrees.", severity=Severity.WARN, values={"degrees": "90"})
REFUSED = Remark(code="not_frontal_chest", text="Not a frontal chest radiograph, no result.", severity=Severity.STOP)


def stage(name: str, values: dict[str, Any] | None = None, **changes: Any) -> StageResult:
    fields: dict[str, Any] = {"status": StageStatus.OK, "seconds": 0.123456, "values": values or {}}
    return StageResult(stage=name, **fields | changes)


def report(state: State = State.DONE, *stages: StageResult, **changes: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "study_key": "0" * 32,
        "source": ("a.dcm", "b.dcm"),
        "study_instance_uid": "1.2.3",
        "modality": "DX",
        "reasons": (),
        "software_version": "1.2.3",
        "completed_at": datetime(2026, 3, 1, 10, 15, 2, 987654, tzinfo=timezone.utc),
        "view_pixels": np.zeros((64, 64), np.uint8),
    }
    return to_json(StudyResult(state=state, stages=stages, **fields | changes))


READ = (
    stage("quality", remarks=(TURNED,), model="gate", model_version="1.0", model_sha256="ab", model_precision="int8"),
    stage("segmentation", OUTLINES, masks={"lungs": LUNGS}),
    stage("classification", CLAIM),
)


@pytest.mark.parametrize(
    "made",
    [
        report(State.DONE, *READ),
        report(State.NO_RESULT, stage("quality", remarks=(REFUSED,)), reasons=(REFUSED,)),
        report(State.FAILED, stage("quality", status=StageStatus.FAILED)),
        report(State.QUARANTINED, study_instance_uid=None, modality=None, view_pixels=None),
    ],
    ids=["done", "no_result", "failed", "quarantined"],
)
def test_the_keys_are_the_documented_ones_and_json_holds_them(made: dict[str, Any]) -> None:
    assert list(made) == KEYS
    assert made["schema"] == "chest-edge/result/1"
    assert json.loads(json.dumps(made, allow_nan=False)) == made


def test_a_read_study_carries_its_parts() -> None:
    made = report(State.DONE, *READ)
    assert made["source"] == ["a.dcm", "b.dcm"]
    assert (made["state"], made["classification"], made["segmentation"]) == ("done", CLAIM, OUTLINES)
    assert (made["findings"], made["severity"], made["reasons"]) == ([], None, [])
    assert made["completed_at"] == "2026-03-01T10:15:02+00:00"


def test_a_stage_has_exactly_these_keys() -> None:
    assert report(State.DONE, *READ)["stages"][0] == {
        "name": "quality",
        "status": "ok",
        "seconds": 0.1235,
        "model": "gate",
        "model_version": "1.0",
        "model_sha256": "ab",
        "model_precision": "int8",
    }


def test_a_remark_has_its_words_filled_in_and_what_a_translation_needs() -> None:
    assert report(State.DONE, *READ)["quality"] == [
        {
            "code": "turned",
            "severity": "warn",
            "text": "Turned by 90 degrees.",
            "message": "Turned by %(degrees)s degrees.",
            "values": {"degrees": "90"},
            "advice": None,
        }
    ]


def test_remarks_of_stages_come_before_those_of_the_study() -> None:
    note = Remark(code="no_dicom_header", text="A picture.")
    assert [remark["code"] for remark in report(State.DONE, *READ, remarks=(note,))["quality"]] == [
        "turned",
        "no_dicom_header",
    ]


def test_a_refused_study_says_no_probability_even_if_one_was_computed() -> None:
    made = report(State.NO_RESULT, stage("quality", remarks=(REFUSED,)), *READ[1:], reasons=(REFUSED,))
    assert (made["classification"], made["segmentation"]) == (None, None)
    assert made["reasons"][0]["code"] == "not_frontal_chest"


def test_a_referral_is_done_and_keeps_its_probabilities() -> None:
    refer = stage("classification", CLAIM | {"decision": "refer"})
    made = report(State.DONE, *READ[:2], refer)
    assert (made["state"], made["classification"]["decision"]) == ("done", "refer")
    assert made["classification"]["probabilities"] == CLAIM["probabilities"]


@pytest.mark.parametrize("status", [StageStatus.FAILED, StageStatus.SKIPPED])
def test_a_stage_that_did_not_succeed_has_no_part(status: StageStatus) -> None:
    made = report(State.DONE, READ[0], stage("segmentation", OUTLINES, status=status), READ[2])
    assert made["segmentation"] is None
    assert made["classification"] == CLAIM
    assert made["stages"][1]["status"] == status.value


def test_findings_of_the_detection_stand_in_the_report_of_a_study_that_is_read() -> None:
    mark = Finding(
        code="consolidation",
        confidence=0.87654,
        peak=0.9,
        box_px=(1, 2, 3, 4),
        contour=((1.0, 2.0), (3.0, 4.0)),
        laterality="left",
        zone=Zone.LEFT_LOWER,
        lung_percent=12.345,
    )
    detection = stage("detection", {"percent": {"both": 5.0}}, findings=(mark,))
    assert report(State.DONE, *READ, detection)["findings"] == [
        {
            "code": "consolidation",
            "confidence": 0.8765,
            "box_px": [1, 2, 3, 4],
            "contour": [[1.0, 2.0], [3.0, 4.0]],
            "laterality": "left",
            "zone": "left_lower",
            "lung_percent": 12.3,
        }
    ]
    refused = report(State.NO_RESULT, stage("quality", remarks=(REFUSED,)), detection, reasons=(REFUSED,))
    assert (refused["findings"], refused["detection"]) == ([], None)


def test_a_stage_that_had_nothing_to_say_has_no_part() -> None:
    assert report(State.DONE, *READ, stage("severity"))["severity"] is None


def test_masks_and_pictures_stay_out_of_the_json() -> None:
    text = json.dumps(report(State.DONE, *READ))
    assert "labels" not in text and "pixels" not in text


def test_nothing_that_is_changed_in_a_report_changes_the_result() -> None:
    made = report(State.DONE, *READ)
    made["segmentation"]["mask_file"] = "a.png"
    assert "mask_file" not in OUTLINES
