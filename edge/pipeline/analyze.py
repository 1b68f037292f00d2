"""``chest-edge analyze``: the same reading without servers, for files, folders and pictures.

DICOM files of one study are read together; a picture is a study of its own. Headers are
read first and pixels study by study, so that a folder of thousands needs the memory of a
few images. A step has no budget here: whoever waits ends the command when it takes too long.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.config import Settings
from edge.dicom.reader import NoRoomError, Reader
from edge.dicom.readers import Readers
from edge.errors import SetupError, UnreadableError
from edge.pipeline.masks import MaskWriter
from edge.pipeline.reading import Engines, SourceImage, load_engines, read_study
from edge.pipeline.schema import DISCLAIMER, to_json
from edge.types import State, StudyResult

if TYPE_CHECKING:
    from edge.pipeline.objects import ObjectWriter

_BAR_FROM_FILES = 4
_BAR_WIDTH = 30
_DECISIONS = {"normal": "no pneumonia seen", "abnormal": "abnormality suspected"}
_DECISIONS_CT = {
    "normal": "no opacity above that of normal lungs measured",
    "abnormal": "opacities measured in the lungs",
}
_READERS = 2


@dataclass(frozen=True, slots=True)
class _File:
    """A file to read; ``error`` where its header already says that it cannot be."""

    path: Path
    study: str
    sop_instance_uid: str | None = None
    error: UnreadableError | None = None


def analyze(
    paths: Sequence[Path], settings: Settings, *, as_json: bool, masks: Path | None = None, objects: Path | None = None
) -> int:
    """Read studies and print one line a study.

    Returns
    -------
    0 where every file could be read and every object be made, else 1.

    Raises
    ------
    SetupError
        For a path that does not exist, or masks or objects that cannot be written.
    """
    found = list(dict.fromkeys(_files(paths)))  # a file that is named twice is read once
    if not found:
        raise SetupError("no_files")
    engines = load_engines(settings)
    writers = _writers(found, settings, masks, objects)
    has_unread = False
    with Reader() as reader, Readers(*(Reader() for _ in range(_READERS))) as readers:
        studies = _studies(found, reader)
        with _Progress("reading", sum(map(len, studies))) as progress:
            for study in studies:
                result = _read(study, readers, engines, progress)
                report = to_json(result)
                for writer in writers:
                    writer.write(result, report)
                progress.clear()
                print(json.dumps(report) if as_json else _line(report), flush=True)
                has_unread |= result.state in (State.QUARANTINED, State.FAILED) or bool(report.get("objects_refused"))
    if not as_json:
        print(DISCLAIMER)
    return int(has_unread)


def _writers(
    found: list[Path], settings: Settings, masks: Path | None, objects: Path | None
) -> list[MaskWriter | ObjectWriter]:
    writers: list[MaskWriter | ObjectWriter] = []
    if objects:  # first: an object says nothing of the files that lie beside it
        from edge.pipeline.objects import ObjectWriter

        writers.append(ObjectWriter(objects, found, settings))
    return writers + ([MaskWriter(masks, found)] if masks else [])


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from _files_below(path)
        elif path.exists():
            yield path
        else:
            raise SetupError("file_not_found", path=path)


def _files_below(top: Path) -> Iterator[Path]:
    def refuse(error: OSError) -> None:
        raise SetupError("unreadable_folder", path=error.filename) from error

    for folder, folders, names in os.walk(top, onerror=refuse):  # does not follow links, so no loop
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found = (Path(folder) / name for name in sorted(names) if not name.startswith("."))
        # A link to nothing is named as unreadable; a pipe or a socket would never end.
        yield from (path for path in found if path.is_file() or not path.exists())


def _studies(paths: list[Path], reader: Reader) -> list[list[_File]]:
    """Files by study, in the order of each study's first file; a second copy of an object is left out."""
    studies: dict[str, list[_File]] = {}
    seen: dict[str, Path] = {}
    for file in _identified(paths, reader):
        first = seen.setdefault(file.sop_instance_uid, file.path) if file.sop_instance_uid else file.path
        if first != file.path and _is_broken(first, reader):  # a whole copy counts, whatever came before it
            seen[file.sop_instance_uid or ""] = first = file.path
        if first == file.path:
            studies.setdefault(file.study, []).append(file)
        elif _sha256(first) != _sha256(file.path):
            studies[f"file {file.path}"] = [replace(file, error=UnreadableError("conflicting_duplicate"))]
    return list(studies.values())


def _identified(paths: list[Path], reader: Reader) -> Iterator[_File]:
    with _Progress("looking", len(paths)) as progress:
        for path in paths:
            yield _identify(path, reader)
            progress.step()


def _identify(path: Path, reader: Reader) -> _File:
    own_study = f"file {path}"
    try:
        header = reader.read_header(path)
    except UnreadableError as error:
        return _File(path, own_study, error=error)
    return _File(path, header.study_instance_uid or own_study, header.sop_instance_uid)


def _is_broken(path: Path, reader: Reader) -> bool:
    try:
        reader.read(path)
    except UnreadableError:
        return True
    return False


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _read(study: list[_File], readers: Readers, engines: Engines, progress: _Progress) -> StudyResult:
    def images() -> Iterator[SourceImage]:
        outcomes = readers.read_all(file.path for file in study if file.error is None)
        for file in study:
            outcome = file.error or next(outcomes)
            if isinstance(outcome, NoRoomError):
                raise outcome
            yield SourceImage(os.fsencode(file.path).decode("utf-8", errors="replace"), outcome)  # as JSON needs it
            progress.step()

    return read_study(images(), engines, study_key=secrets.token_hex(16))


def _line(report: dict[str, Any]) -> str:
    """A result in one line for people."""
    source = report["source"][0] + (f" (+{len(report['source']) - 1})" if len(report["source"]) > 1 else "")
    words = [source, report["state"].replace("_", " ")]
    classification = report["classification"]
    if classification and classification["decision"] != "refer":
        probabilities = sorted(classification["probabilities"].items(), key=lambda item: -item[1])
        words.append((_DECISIONS_CT if report["series"] else _DECISIONS)[classification["decision"]])
        words += [", ".join(_percent(name, p) for name, p in probabilities)] if probabilities else []
        words += [_severity(report["severity"])] if report["severity"] else []
    elif classification:
        words.append("no claim, a doctor must read it")
    words += [reason["text"] for reason in report["reasons"]]
    said = {reason["code"] for reason in report["reasons"]}
    words += [r["text"] for r in report["quality"] if r["severity"] == "warn" and r["code"] not in said]
    words += [report["objects_refused"]["text"]] if report.get("objects_refused") else []
    # A name of a file may hold what a terminal would obey, or what cannot be written at all.
    return "".join(letter if letter.isprintable() else "?" for letter in " | ".join(words))


def _severity(severity: dict[str, Any]) -> str:
    if "ct_score" in severity:
        shares = severity["affected_percent"]
        return (
            f"severity {severity['grade']}, {shares['both']:.1f}% of the lungs affected, score {severity['ct_score']}"
        )
    return f"severity {severity['grade']}, {severity['percent']:.0f}% of the lungs opaque"


def _percent(name: str, probability: float) -> str:
    return f"{name} <1%" if probability < 0.01 else f"{name} {probability:.0%}"


class _Progress:
    """A bar on standard error for many files, where somebody looks at it."""

    def __init__(self, word: str, total: int) -> None:
        self._word, self._total, self._done = word, total, 0
        self._is_shown = total >= _BAR_FROM_FILES and sys.stderr.isatty()

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    def step(self) -> None:
        """One more file was read."""
        self._done += 1
        if self._is_shown:
            filled = _BAR_WIDTH * self._done // self._total
            sys.stderr.write(f"\r{self._word} [{'#' * filled:<{_BAR_WIDTH}}] {self._done}/{self._total}")
            sys.stderr.flush()

    def clear(self) -> None:
        """Make room for a line of output."""
        if self._is_shown:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()
