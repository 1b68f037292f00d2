"""A whole box that gets studies which spoil its worker, each between two good ones, while its doors are watched."""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from edge.config import StudySettings
from edge.store.studies import WorklistRow
from edge.types import State
from tests.faults.row import Trial
from tests.support import inputs
from tests.support.box import WAIT_S, Box, box_settings, eventually, served
from tests.support.sender import associated, send

_ENDED = frozenset({State.DONE, State.NO_RESULT, State.FAILED, State.QUARANTINED})
_LOOK_S = 0.2
_STUDY_S = 60


@dataclass(frozen=True, kw_only=True)
class Spoilt:
    """What came of it.

    Attributes
    ----------
    bad : by height in pixels, what became of each of the studies that spoil the worker.
    good : what became of the others.
    exits : (exit code, seconds of delay) of the worker, each time that it ended.
    asked, silent : how often receiver and page were asked, and how often one did not answer.
    """

    bad: list[tuple[int, WorklistRow]]
    good: list[WorklistRow]
    exits: list[tuple[int | None, float]]
    asked: int
    silent: int

    @property
    def good_read(self) -> int:
        """How many of the good ones were read to the end."""
        return sum(row.state in {State.DONE, State.NO_RESULT} for row in self.good)


def spoil(trial: Trial, heights_px: Sequence[int], stage_s: int) -> Spoilt:
    """Send one study of each height, and one good one after each."""
    settings = replace(box_settings(trial.folder / "var"), study=StudySettings(stage_s=stage_s))
    with served(settings, program="tests.support.faulty_box") as box:
        with _watched(box) as seen:
            for number, height in enumerate(heights_px):
                send(box.receiver_port, inputs.dx(inputs.phantom(height), PatientID=f"BAD-{number}"))
                send(box.receiver_port, inputs.dx(PatientID=f"GOOD-{number}"))
            eventually(lambda: _all_ended(box, 2 * len(heights_px)), timeout_s=60 + _STUDY_S * len(heights_px))
        rows = {row.patient_id: row for row in box.rows(len(heights_px) * 2)}
        exits = _exits(box)
    count = range(len(heights_px))
    return Spoilt(
        bad=[(heights_px[number], rows[f"BAD-{number}"]) for number in count],
        good=[rows[f"GOOD-{number}"] for number in count],
        exits=exits,
        asked=seen["asked"],
        silent=seen["silent"],
    )


def _all_ended(box: Box, count: int) -> bool:
    rows = box.rows(count)
    return len(rows) == count and all(row.state in _ENDED for row in rows)


def _exits(box: Box) -> list[tuple[int | None, float]]:
    lines = (box.settings.data_dir.parent / "box.log").read_text().splitlines()
    events = [json.loads(line) for line in lines if line.startswith("{")]
    ended = [event for event in events if event["event"] == "process_ended" and event["process"] == "worker"]
    return [(event["exit_code"], event["seconds"]) for event in ended]


@contextmanager
def _watched(box: Box) -> Generator[dict[str, int], None, None]:
    """Ask receiver and page again and again for the length of the block."""
    seen = {"asked": 0, "silent": 0}
    port, stopped = box.receiver_port, threading.Event()

    def watch() -> None:
        while not stopped.wait(_LOOK_S):
            seen["asked"] += 1
            seen["silent"] += 1  # until both have answered
            with associated(port) as association:
                association.release()
            seen["silent"] -= _page_answers(box.address)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        stopped.set()
        thread.join()


def _page_answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=WAIT_S) as answer:  # noqa: S310
            return int(answer.status) == 200
    except OSError:
        return False
