"""Row 21: names that must not leave the store: in elements, pixels, file and folder names, AE titles, UIDs."""

from __future__ import annotations

import base64
import os
import re
import signal
import subprocess
import sys
import tempfile
import urllib.request
from dataclasses import replace
from pathlib import Path
from urllib.parse import urljoin

import numpy as np
from PIL import Image, ImageDraw
from pydicom._dicom_dict import DicomDictionary
from pydicom.datadict import dictionary_VR

from edge.config import IntakeSettings
from edge.types import State
from tests.faults.row import Outcome, Row, Trial
from tests.support.box import Box, box_settings, eventually, served, storescu
from tests.support.inputs import dx, phantom, save

_NAME = "ZEBRAFISH"
_UID = "2.25.314159265358979"
_TEXT_VRS = {"PN": _NAME + "^ZOE", "LO": _NAME, "SH": _NAME, "LT": _NAME, "ST": _NAME, "UT": _NAME, "UC": _NAME}
_ENDED = (State.DONE, State.NO_RESULT, State.FAILED, State.QUARANTINED)
_LINK = re.compile(r"""(?:href|src|data-address|data-events)=["']([^"']+)["']""")


def run(trial: Trial) -> Outcome:
    """Bring the canaries in, look at every page, let a process crash, stop the box, and search all that it left."""
    drop = trial.folder / "drop"
    settings = replace(box_settings(trial.folder / "var"), intake=IntakeSettings(folder=str(drop)))
    (drop / _NAME).mkdir(parents=True)
    source = trial.folder / f"{_NAME} folder"
    source.mkdir()
    before = set(Path(tempfile.gettempdir()).glob("chest-edge-*"))
    count = trial.count(2, 20)
    with served(settings) as box:
        paths = [_canary(source / f"{_NAME}-{number}.dcm", number) for number in range(count)]
        paths.append(_broken(source / f"{_NAME}.broken.dcm"))
        assert storescu(box.receiver_port, paths, "-aet", f"{_NAME}-AE") == 0
        storescu(box.receiver_port, paths[:1], "-aet", f"{_NAME}-AE", "-aec", f"{_NAME}-CALLED")
        _canary(drop / _NAME / f"{_NAME}.dcm", count)
        eventually(lambda: len(box.rows()) == count + 2 and all(row.state in _ENDED for row in box.rows()))
        shown = sum(_NAME in row.patient_name for row in box.rows())
        addresses = _crawl(box)
        os.kill(eventually(lambda: box.pid("worker")), signal.SIGSEGV)
        eventually(lambda: box.pid("worker"))
        key = next(row.study_key for row in box.rows() if row.state in (State.DONE, State.NO_RESULT))
        box.stop()
    printed, index = _printed(trial.folder, key)
    logged = (trial.folder / "box.log").read_bytes()
    hits = [address for address in addresses if _holds(address.encode())]
    hits += ["box.log"] * _holds(logged) + [name for name, text in printed.items() if _holds(text)]
    left = [path for path in settings.data_dir.rglob("*") if not _may_hold(path, settings.data_dir)] + [index]
    images = list((trial.folder / _IMAGES).iterdir())
    left += images
    left += [path for path in Path(tempfile.gettempdir()).glob("chest-edge-*") if path not in before]
    hits += [str(path) for path in left if _found(path, settings.data_dir)]
    hits += [str(path) for path in Path.cwd().glob("core*")]
    figure = (
        f"{_CANARIES + 4} elements in {count + 1} images shown by name on {shown} rows; {len(addresses)} addresses, "
        f"{len(logged)} bytes of log, {sum(map(len, printed.values()))} printed by {len(printed)} commands "
        f"and {len(left)} files searched: {len(hits)} hits"
    )
    is_searched = (
        bool(images) and shown == count + 2 and any(path.suffix == ".log" for path in left) and all(printed.values())
    )
    return Outcome(figure=figure + (f" {hits[:5]}" if hits else ""), ok=is_searched and not hits)


_EXPORT, _IMAGES = "export --anonymized --burned-in-checked", "images"
_COMMANDS = (
    "quarantine list",
    "store check",
    "audit verify",
    "audit show --last 1000",
    "clock status",
    "clock from-modality",
    "doctor",
)


def _printed(folder: Path, study_key: str) -> tuple[dict[str, bytes], Path]:
    """What each command prints of the box, and the list that goes with exported files, which may hold names."""
    exported = folder / "exported"
    command = [sys.executable, "-m", "edge", "--config", str(folder / "box.toml")]
    told = {
        words: subprocess.run([*command, *words.split()], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        for words in (*_COMMANDS, f"quarantine export {exported}", f"{_EXPORT} {study_key} --out {folder / _IMAGES}")
    }
    names = "\n".join(path.name for path in exported.iterdir())
    printed = {words: done.stdout for words, done in told.items()}
    return {**printed, "names of exported files": names.encode()}, exported / "index.txt"


def _elements() -> list[str]:
    """Keywords of elements that can hold a text, those that people know of first."""
    wanted = ["PatientName", "PatientID", "AccessionNumber", "ReferringPhysicianName", "InstitutionName"]
    others = [
        keyword
        for tag, (vr, multiplicity, _, retired, keyword) in sorted(DicomDictionary.items())
        if vr in _TEXT_VRS and multiplicity == "1" and not retired and keyword and tag >> 16 in (0x08, 0x10, 0x20, 0x32)
    ]
    return wanted + [keyword for keyword in others if keyword not in wanted][: _CANARIES - len(wanted)]


_CANARIES = 40


def _canary(path: Path, number: int) -> Path:
    pixels = phantom()
    burnt = Image.new("L", (pixels.shape[1], 40))
    ImageDraw.Draw(burnt).text((5, 10), _NAME, fill=255)
    pixels[:40] = np.maximum(pixels[:40], np.asarray(burnt).astype(np.uint16) * 16)
    dataset = dx(pixels)
    for keyword in _elements():
        setattr(dataset, keyword, _TEXT_VRS[dictionary_VR(keyword)])
    for place, keyword in enumerate(("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")):
        setattr(dataset, keyword, f"{_UID}.{number}.{place}")
    dataset.PatientComments = f"{_NAME} {number}"
    return save(dataset, path)


def _broken(path: Path) -> Path:
    """An image that is refused, which must not repeat what is in it."""
    dataset = dx(BitsAllocated=13, BitsStored=99, HighBit=98, PatientID=_NAME, PatientName=f"{_NAME}^BROKEN")
    return save(dataset, path)


def _crawl(box: Box) -> set[str]:
    """Every address that the pages of the box lead to, itself and the one it answers with."""
    seen: set[str] = set()
    due = [box.address]
    while due:
        address = due.pop()
        if address in seen or not address.startswith(box.address) or address.endswith("/events"):
            continue
        seen.add(address)
        with urllib.request.urlopen(address, timeout=20) as answer:  # noqa: S310
            seen.add(answer.url)
            seen.update(f"{name}: {value}" for name, value in answer.headers.items())
            if "html" in answer.headers.get("Content-Type", ""):
                page = answer.read().decode()
                due += [urljoin(address, link.replace("&amp;", "&")) for link in _LINK.findall(page)]
    return seen


def _may_hold(path: Path, data_dir: Path) -> bool:
    """The store itself: the database and the objects as they came. Their names are searched all the same."""
    return not path.is_file() or path.name.startswith("chest-edge.sqlite") or path.parent == data_dir / "incoming"


def _found(path: Path, data_dir: Path) -> bool:
    return _holds(str(path).encode()) or (path.is_file() and _holds(path.read_bytes()))


def _holds(content: bytes) -> bool:
    folded = content.upper()
    plain = _NAME.encode()
    forms = (plain, _NAME.encode("utf-16-le"), _NAME.encode("utf-16-be"), plain.hex().upper().encode(), _UID.encode())
    return any(form in folded for form in forms) or base64.b64encode(plain) in content


ROW = Row(
    number=21,
    goal="canary names: no hit in logs, audit, addresses, exports, what commands print, run and temporary files",
    run=run,
)
