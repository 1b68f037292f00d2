"""How fast the box reads a chest CT, through its real front door: ``python -m tests.bench.tomography FOLDER``.

The slices of a series go to a running box by storescu; the clock runs from the moment at which the
sender has its last acknowledgement to that at which the page has the result. A longer series is made of the
same one, by interpolation between its slices. Memory is the most that the worker and the processes
that decode for it had resident at one time.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from pydicom import Dataset, dcmread
from pydicom.uid import JPEG2000Lossless, generate_uid

from tests.support.box import Box, box_settings, eventually, served, storescu

_LONGEST_S = 300.0


@dataclass(frozen=True)
class Turn:
    """One series through the box.

    Attributes
    ----------
    sent_s : for the sending of all slices, with all acknowledgements.
    read_s : from then on until the page had the result.
    stages_s : by stage, as the result tells.
    most_mib : resident memory of the worker with its readers.
    """

    slices: int
    sent_s: float
    read_s: float
    stages_s: dict[str, float]
    most_mib: float


def main() -> None:
    """Measure and print a table: median and largest in seconds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="one CT series as DICOM files")
    parser.add_argument("--slices", type=int, nargs="*", default=[], help="also as a series of so many slices")
    parser.add_argument("--repeat", type=int, default=5)
    given = parser.parse_args()
    series = sorted((dcmread(path) for path in given.folder.iterdir()), key=lambda one: one.ImagePositionPatient[2])
    print(f"{'slices':>6} {'sent (s)':>9} {'read (s): median, largest':>26} {'MiB':>6}  stages (s)")
    for count in [len(series), *given.slices]:
        turns = list(_measured(series, count, given.repeat))
        read = [turn.read_s for turn in turns]
        middle = turns[read.index(statistics.median_low(read))]
        stages = ", ".join(f"{name} {seconds:.2f}" for name, seconds in middle.stages_s.items())
        most = max(turn.most_mib for turn in turns)
        print(f"{count:6} {middle.sent_s:9.1f} {statistics.median(read):17.1f}, {max(read):6.1f} {most:7.0f}  {stages}")
        sys.stdout.flush()


def _measured(series: list[Dataset], count: int, repeat: int) -> Iterator[Turn]:
    with tempfile.TemporaryDirectory() as folder, served(box_settings(Path(folder) / "box")) as box:
        for number in range(repeat):
            files = Path(folder) / "sent"
            files.mkdir(exist_ok=True)
            paths = [_saved(one, files / f"{place:04d}.dcm") for place, one in enumerate(_renamed(series, count))]
            yield _turn(box, paths, number + 1)


def _renamed(series: list[Dataset], count: int) -> Iterator[Dataset]:
    """The series as a new study of so many slices."""
    study, of_series = generate_uid(), generate_uid()
    for number, place in enumerate(np.linspace(0, len(series) - 1, count)):
        made = _between(series[int(place)], series[min(int(place) + 1, len(series) - 1)], place % 1)
        made.StudyInstanceUID, made.SeriesInstanceUID, made.InstanceNumber = study, of_series, number + 1
        made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        yield made


def _between(one: Dataset, other: Dataset, share: float) -> Dataset:
    made = dcmread(one.filename)
    if share > 0:
        pixels = (1 - share) * one.pixel_array + share * other.pixel_array
        made.compress(JPEG2000Lossless, np.rint(pixels).astype(one.pixel_array.dtype), generate_instance_uid=False)
    steps = zip(one.ImagePositionPatient, other.ImagePositionPatient, strict=True)
    made.ImagePositionPatient = [round((1 - share) * float(a) + share * float(b), 4) for a, b in steps]
    return made


def _saved(dataset: Dataset, path: Path) -> Path:
    dataset.save_as(path)
    return path


def _turn(box: Box, paths: list[Path], studies: int) -> Turn:
    watch = _Memory(eventually(lambda: box.pid("worker")))
    began = time.monotonic()
    if storescu(box.receiver_port, paths, "-xv") != 0:
        sys.exit("the box did not take the series")
    sent = time.monotonic()
    answer = eventually(lambda: _result(box, studies), _LONGEST_S)
    ended = time.monotonic()
    stages = {stage["name"]: stage["seconds"] for stage in answer["stages"]}
    return Turn(len(paths), sent - began, ended - sent, stages, watch.end())


def _result(box: Box, studies: int) -> dict[str, Any] | None:
    """What the page shows of the newest study, once there are so many."""
    rows = box.rows()
    if len(rows) != studies:
        return None
    try:
        with urllib.request.urlopen(f"{box.address}/study/{rows[0].study_key}.json", timeout=10) as answer:  # noqa: S310
            found: dict[str, Any] = json.load(answer)
            return found
    except urllib.error.HTTPError:
        return None


class _Memory(threading.Thread):
    """Looks ten times a second at what a process and its children have resident."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._process, self._most, self._is_over = psutil.Process(pid), 0, threading.Event()
        self.start()

    def run(self) -> None:
        while not self._is_over.wait(0.1):
            family = [self._process, *self._process.children(recursive=True)]
            self._most = max(self._most, sum(one.memory_info().rss for one in family))

    def end(self) -> float:
        """Stop, and return the most in MiB."""
        self._is_over.set()
        return self._most / (1 << 20)


if __name__ == "__main__":
    main()
