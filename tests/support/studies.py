"""Puts studies into a database through the functions that the box itself uses."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from sqlite_utils import Database

from edge import clock
from edge.config import DestinationSettings, Settings
from edge.store import instances, queue, studies
from edge.store.database import connect, migrate
from edge.types import Instance, Remark, State
from tests.support.page import make_result

ATTRIBUTES = instances.Attributes(
    study_instance_uid=None,
    series_instance_uid=None,
    modality="DX",
    accession_number="A-17",
    patient_name="Example, Pat",
    patient_id="P-0042",
    birth_date=date(1961, 5, 4),
    sex="F",
)


def ready_box(data_dir: Path) -> Settings:
    """Settings of a box with its folders and an empty database."""
    settings = Settings(data_dir=data_dir)
    for folder in (settings.incoming, settings.results, settings.run_dir):
        folder.mkdir(parents=True, exist_ok=True)
    migrate(settings.database)
    return settings


def new_instance(**changes: Any) -> Instance:
    """A received object with random identifiers."""
    token = secrets.token_hex(8)
    instance = Instance(
        sop_class_uid="1.2.840.10008.5.1.4.1.1.1",
        sop_instance_uid=f"1.2.826.0.1.{int(token, 16)}",
        series_instance_uid="",
        study_instance_uid="",
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        path=Path(f"{token}.dcm"),
        sha256=secrets.token_hex(32),
        size_bytes=1000,
        calling_ae_title="MODALITY",
        received_at=clock.utc(),
        clock_trusted=True,
    )
    return replace(instance, **changes)


def put_ready_study(database: Database, **attributes: Any) -> str:
    """A study that waits for its reading; returns its key."""
    receipt = instances.add_received(database, new_instance())
    return instances.attach(database, receipt.instance_id, replace(ATTRIBUTES, **attributes))


def put_finished_study(
    settings: Settings,
    result: dict[str, Any],
    reasons: Sequence[dict[str, Any]] = (),
    state: State = State.DONE,
    **attributes: Any,
) -> str:
    """A study with one result (``chest-edge/result/1``) and, where done, its two pictures; returns its key."""
    database = connect(settings.database)
    try:
        study_key = put_ready_study(database, **attributes)
        claimed = queue.claim(database)
        assert claimed is not None and claimed.study_key == study_key
        has_preview = state is State.DONE
        if has_preview:
            _write_pictures(settings, study_key, claimed.next_version)
        outcome = queue.Outcome(
            state=state,
            decision=(result.get("classification") or {}).get("decision"),
            reasons=reasons,
            result=result,
            completed_at=clock.utc(),
            has_preview=has_preview,
        )
        queue.complete(database, claimed, outcome, settings.destination)
    finally:
        database.close()
    return study_key


def finish(database: Database, claimed: queue.Claim, destinations: Sequence[DestinationSettings] = ()) -> None:
    """End a reading that was begun with a normal result."""
    outcome = queue.Outcome(
        state=State.DONE,
        decision="normal",
        reasons=[],
        result=make_result("normal", normal=0.9),
        completed_at=clock.utc(),
        has_preview=False,
    )
    queue.complete(database, claimed, outcome, destinations)


def put_quarantined(settings: Settings, remark: Remark) -> str:
    """An object without a readable header that was set aside; returns the key of its row."""
    database = connect(settings.database)
    try:
        receipt = instances.add_received(database, new_instance())
        return instances.quarantine(database, receipt.instance_id, remark, None)
    finally:
        database.close()


def _write_pictures(settings: Settings, study_key: str, version: int) -> None:
    picture = np.tile(np.linspace(0, 255, 640, dtype=np.uint8), (800, 1))
    for path, side in (
        (studies.preview_path(settings, study_key, version), 800),
        (studies.thumbnail_path(settings, study_key, version), 160),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        small = cv2.resize(picture, (side * 4 // 5, side), interpolation=cv2.INTER_AREA)
        path.write_bytes(cv2.imencode(".jpg", small)[1].tobytes())


def next_arrival(database: Database, run_id: str = "") -> instances.Arrival | None:
    """Take the oldest unparsed object alone, or None where there is none."""
    return next(iter(instances.next_arrivals(database, 1, run_id)), None)
