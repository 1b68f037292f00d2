"""The DICOM objects of a result as files, under the name of the image that they belong to."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from edge.config import Settings
from edge.dicom.source import source_header
from edge.errors import ObjectError
from edge.objects.case import Case, kinds, make, whole_file
from edge.objects.receipt import UNSIGNED
from edge.objects.tomography.slices import Grey, Slices
from edge.pipeline.names import OwnNames
from edge.pipeline.stacks import write_stack
from edge.store.stack import StackFile
from edge.types import StudyResult

_NO_BOX = "analyze"
"""Device serial number of objects that no box made."""


class ObjectWriter:
    """Writes objects into one folder; two images of one name get different files.

    Parameters
    ----------
    sources : every file that is read; where one lies in this folder, no object takes its name.
    settings : the language of what is burnt in and printed, and the size of paper.

    Raises
    ------
    SetupError
        Where the folder cannot be written.
    """

    def __init__(self, folder: Path, sources: Iterable[Path], settings: Settings) -> None:
        self._names, self._web = OwnNames(folder, sources), settings.web

    def write(self, result: StudyResult, report: dict[str, Any]) -> None:
        """Write the objects of a result, and their paths by kind, or why there are none, into its report."""
        if result.view_pixels is None:
            return
        with TemporaryDirectory() as folder:
            slices = _slices(result, Path(folder))
            self._write(self._case(result, report, result.view_pixels, slices), report)

    def _case(self, result: StudyResult, report: dict[str, Any], view: Grey, slices: Slices | None) -> Case:
        return Case(
            report={**report},
            study_key=result.study_key,
            version=1,
            source=source_header(Path(result.source[0])),
            view=view,
            box_id=_NO_BOX,
            language=self._web.language,
            paper=self._web.paper,
            receipt=UNSIGNED,  # a signature would tell that a box keeps this reading
            slices=slices,
        )

    def _write(self, case: Case, report: dict[str, Any]) -> None:
        report["objects"], report["objects_refused"] = {}, None
        for kind in kinds(case):
            try:
                if not case.source:
                    raise ObjectError("no_header")
                made = make(case, kind)
            except ObjectError as error:
                report["objects_refused"] = error.remark().as_json()
                continue
            path = self._names.take(Path(report["source"][0]), f".{kind.value}.dcm")
            self._names.write(path, whole_file(made))
            report["objects"][kind.value] = str(path)


def _slices(result: StudyResult, folder: Path) -> Slices | None:
    """The slices of a CT by the same pictures as on a box, which lie in that folder as long as it is there."""
    if result.tomogram is None:
        return None
    path = folder / "stack.zip"
    write_stack(path, result.tomogram)
    return Slices(pictures=StackFile(path), headers=lambda: (source_header(Path(file)) for file in result.source))
