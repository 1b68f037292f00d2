"""Results with their images for the making of objects, and the programs that judge what was made."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.dataset import Dataset
from pydicom.valuerep import PersonName

from edge.objects.case import Case
from edge.types import Kind
from tests.support.inputs import dx
from tests.support.results import complete_result

STUDY_KEY, BOX_ID = "0123456789abcdef" * 2, "fedcba9876543210" * 2
HEIGHT, WIDTH = 800, 640
MIRRORED = {"code": "mirrored", "severity": "warn", "text": "Mirrored?", "message": "", "values": {}, "advice": None}
STOP = {"code": "not_frontal_chest", "severity": "stop", "text": "No chest.", "message": "", "values": {}}
CHILD = {
    "group": "child",
    "probabilities": {"normal": 0.02, "bacterial": 0.7, "viral": 0.25, "covid19": 0.03},
    "set": ["bacterial", "viral"],
    "decision": "abnormal",
    "distance": 0.2,
}


def normal() -> dict[str, Any]:
    """A result without a finding."""
    whole = complete_result("normal", findings=[])
    whole["severity"] |= {"grade": "none", "percent": 0.0, "brixia": 0.0}
    return whole


def refused() -> dict[str, Any]:
    """What the gate stopped."""
    parts = ("segmentation", "positioning", "registration", "detection", "classification", "severity")
    stages = complete_result()["stages"][:1]
    nothing: dict[str, Any] = dict.fromkeys(parts)
    return complete_result(state="no_result", reasons=[STOP], findings=[], stages=stages, **nothing)


def reports() -> dict[str, dict[str, Any]]:
    """Every sort of result that leaves the box."""
    compared = complete_result()
    compared["severity"]["change"] = {"verdict": "worse", "zones": {}, "brixia": 2.0, "study_key": "0" * 32}
    half_read = complete_result("refer", segmentation={**complete_result()["segmentation"], "plausible": False})
    return {
        "adult": complete_result(),
        "child": complete_result(classification=CHILD),
        "normal": normal(),
        "refer": complete_result("refer"),
        "no_result": refused(),
        "mirrored": complete_result(quality=[MIRRORED]),
        "compared": compared,
        "implausible": half_read,
    }


def source(stored: npt.NDArray[np.uint16] | None = None, **elements: Any) -> Dataset:
    """The header of the phantom radiograph in the size of ``complete_result``, without pixels."""
    header = dx(stored if stored is not None else np.zeros((HEIGHT, WIDTH), np.uint16))
    del header.PixelData
    for keyword, value in elements.items():
        setattr(header, keyword, value)
    return header


def case(report: dict[str, Any] | None = None, header: Dataset | None = None, **changes: Any) -> Case:
    """A case of a finished result; ``changes`` are attributes of it."""
    attributes = {
        "report": report or complete_result(),
        "study_key": STUDY_KEY,
        "version": 1,
        "source": header if header is not None else source(),
        "view": np.full((HEIGHT, WIDTH), 90, np.uint8),
        "box_id": BOX_ID,
        "language": "en",
    }
    return Case(**attributes | changes)


def faults(made: Dataset, folder: Path) -> list[str]:
    """What dciodvfy, dcmdump and, for a report, dsr2html find wrong in an object; it is written to the folder."""
    path = folder / "object.dcm"
    made.save_as(path, enforce_file_format=True)
    verified = _run("dciodvfy", "-new", path)
    found = [line for line in _lines(verified) if line.startswith("Error") and not _counts_bytes(line, made)]
    commands: list[tuple[str | Path, ...]] = [("dcmdump", "-q", path)]
    if made.Modality == "SR":
        commands.append(("dsr2html", path, folder / "report.html"))
    for command in commands:
        result = _run(*command)
        spoken = [line for line in _lines(result) if line.startswith(("E:", "F:"))]
        found += [f"{command[0]} {result.returncode}: {spoken}"] if result.returncode or spoken else []
    return found


def _counts_bytes(fault: str, made: Dataset) -> bool:
    """Whether dciodvfy only takes bytes for characters, and a name for one of its groups (PS3.5 section 6.2)."""
    found = re.match(r"Error - <(/.*?)> - .*Length invalid for this VR = <\d+> - expected <= (\d+)$", fault)
    if not found:
        return False
    *parents, last = re.findall(r"/(\w+)\([0-9a-f,]+\)\[(\d+)\]", found[1])
    for keyword, number in parents:
        made = made[keyword].value[int(number) - 1]
    value, limit = made[last[0]].value, int(found[2])
    groups = str(value).split("=") if made[last[0]].VR == "PN" else [str(value)]
    return isinstance(value, str | PersonName) and max(map(len, groups)) <= limit


def read_back(made: Dataset, folder: Path) -> Dataset:
    """An object as whoever receives it reads it."""
    path = folder / "read.dcm"
    made.save_as(path, enforce_file_format=True)
    return pydicom.dcmread(path)


def every_kind() -> tuple[Kind, ...]:
    """The kinds that ``make`` makes."""
    return (Kind.SECONDARY_CAPTURE, Kind.STRUCTURED_REPORT, Kind.SEGMENTATION, Kind.PRESENTATION_STATE)


def _run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, errors="replace")


def _lines(result: subprocess.CompletedProcess[str]) -> list[str]:
    return (result.stdout + result.stderr).splitlines()
