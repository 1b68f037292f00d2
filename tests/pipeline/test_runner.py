"""The runner: every stage gets its turn, and nothing is claimed of an image that was not accepted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
import pytest

from edge.engines.engine import Engine
from edge.errors import ModelError
from edge.pipeline.runner import RADIOGRAPH_STAGES, Engines, run
from edge.stages.radiograph.case import Case, first_case
from edge.stages.stage import Outcome, Stage
from edge.types import Mask, Radiograph, Remark, Severity, StageResult, StageStatus
from tests.support import engines
from tests.support.engines import ScriptedEngine

NOTE = Remark(code="note", text="A note.", severity=Severity.WARN)
STOP = Remark(code="stop", text="No.", severity=Severity.STOP)
ENGINES: Engines = {name: ScriptedEngine(engines.card(name), lambda image: [0]) for name in "abc"}

Read = Callable[[Case, Engine], Outcome[Case]]


def first() -> Case:
    return first_case(Radiograph(pixels=np.zeros((64, 64), np.float32)))


def good(case: Case, engine: Engine) -> Outcome[Case]:
    return Outcome(case=case, values={"by": engine.card.name})


def noting(case: Case, engine: Engine) -> Outcome[Case]:
    return Outcome(case=case, remarks=(NOTE,))


def stopping(case: Case, engine: Engine) -> Outcome[Case]:
    return Outcome(case=case, remarks=(NOTE, STOP))


def breaking(case: Case, engine: Engine) -> Outcome[Case]:
    raise ZeroDivisionError("CANARY^NAME")


def run_all(*readers: Read, by: Engines = ENGINES) -> list[StageResult]:
    stages = tuple(Stage(name=f"stage {name}", model=name, read=r) for name, r in zip("abc", readers, strict=False))
    return run(first(), by, stages)[1]


def statuses(results: list[StageResult]) -> list[str]:
    return [result.status.value for result in results]


@pytest.mark.parametrize("error", [MemoryError(), cv2.error()])
def test_a_lack_of_memory_is_no_fault_of_one_stage(error: Exception) -> None:
    if isinstance(error, cv2.error):
        error.code = cv2.Error.StsNoMem

    def greedy(case: Case, engine: Engine) -> Outcome[Case]:
        raise error

    with pytest.raises(MemoryError):
        run_all(good, greedy, good)


def test_each_stage_is_announced_before_it_runs() -> None:
    told: list[str] = []

    def checking(case: Case, engine: Engine) -> Outcome[Case]:
        assert told[-1] == f"stage {engine.card.name}"
        return Outcome(case=case)

    stages = tuple(Stage(name=f"stage {name}", model=name, read=checking) for name in "abc")
    assert statuses(run(first(), ENGINES, stages, told.append)[1]) == ["ok"] * 3


def test_stages_run_in_their_order_and_name_their_models() -> None:
    results = run_all(good, noting, good)
    assert statuses(results) == ["ok", "ok", "ok"]
    assert [result.stage for result in results] == ["stage a", "stage b", "stage c"]
    assert [(r.model, r.model_version, r.model_sha256) for r in results] == [(n, "9.9.9", "ab" * 32) for n in "abc"]
    assert [result.values for result in results] == [{"by": "a"}, {}, {"by": "c"}]
    assert results[1].remarks == (NOTE,)
    assert all(result.seconds >= 0 for result in results)


def test_a_stage_sees_what_the_one_before_it_left() -> None:
    def turning(case: Case, engine: Engine) -> Outcome[Case]:
        return Outcome(case=replace(case, turned_deg=case.turned_deg + 90))

    stages = tuple(Stage(name=name, model=name, read=turning) for name in "abc")
    assert run(first(), ENGINES, stages)[0].turned_deg == 270


def test_masks_are_kept() -> None:
    mask = Mask(labels=np.ones((64, 64), np.uint8), names={1: "lung"})
    (result,) = run_all(lambda case, engine: Outcome(case=case, masks={"lungs": mask}))
    assert result.masks == {"lungs": mask}


def test_a_stage_that_breaks_hides_none_of_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    results = run_all(good, breaking, good)
    assert statuses(results) == ["ok", "failed", "ok"]
    assert [(remark.code, remark.severity) for remark in results[1].remarks] == [("stage_failed", Severity.WARN)]
    assert results[1].model_sha256 == "ab" * 32
    logged = capsys.readouterr().err
    assert '"error_type": "ZeroDivisionError"' in logged and '"stage": "stage b"' in logged
    assert "CANARY" not in logged


def test_a_broken_stage_leaves_the_case_as_it_found_it() -> None:
    def half_done(case: Case, engine: Engine) -> Outcome[Case]:
        replace(case, turned_deg=90)
        raise ValueError

    stages = (Stage(name="half", model="a", read=half_done),)
    case = first()
    assert run(case, ENGINES, stages)[0] is case


def test_a_stop_skips_the_rest() -> None:
    results = run_all(good, stopping, good)
    assert statuses(results) == ["ok", "ok", "skipped"]
    assert (results[2].values, results[2].remarks, results[2].seconds, results[2].model) == ({}, (), 0.0, None)


def test_a_gate_that_fails_skips_the_rest() -> None:
    assert statuses(run_all(breaking, good, good)) == ["failed", "skipped", "skipped"]


@pytest.mark.parametrize("code", ["model_hash_mismatch", "model_missing", "threshold_mismatch", "model_unknown"])
def test_a_model_that_must_not_be_used_fails_its_stage_with_its_text(code: str) -> None:
    results = run_all(good, good, good, by={**ENGINES, "b": ModelError(code, model="b")})
    assert statuses(results) == ["ok", "failed", "ok"]
    (remark,) = results[1].remarks
    assert (remark.code, remark.severity, remark.values) == (code, Severity.WARN, {"model": "b"})
    assert (results[1].model, results[1].model_sha256, results[1].model_version) == ("b", None, None)


def test_a_runtime_that_fails_while_it_runs_is_said() -> None:
    def failing(case: Case, engine: Engine) -> Outcome[Case]:
        raise ModelError("model_broken", model=engine.card.name)

    results = run_all(good, failing, good)
    assert [result.status for result in results] == [StageStatus.OK, StageStatus.FAILED, StageStatus.OK]
    assert results[1].remarks[0].code == "model_broken"


def test_the_gate_comes_first_and_the_lungs_before_what_looks_at_them() -> None:
    assert [stage.name for stage in RADIOGRAPH_STAGES] == [
        "quality",
        "segmentation",
        "positioning",
        "registration",
        "detection",
        "classification",
        "severity",
    ]
