"""The DICOM objects of a result as files, under the name of the image that they belong to."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from edge.dicom.source import source_header
from edge.errors import ObjectError, SetupError
from edge.objects.case import Case, kinds, make
from edge.pipeline.names import OwnNames
from edge.types import StudyResult

_NO_BOX = "analyze"
"""Device serial number of objects that no box made."""


class ObjectWriter:
    """Writes objects into one folder; two images of one name get different files.

    Parameters
    ----------
    sources : every file that is read; where one lies in this folder, no object takes its name.
    language : of what is burnt in.

    Raises
    ------
    SetupError
        Where the folder cannot be written.
    """

    def __init__(self, folder: Path, sources: Iterable[Path], language: str) -> None:
        self._names, self._language = OwnNames(folder, sources), language

    def write(self, result: StudyResult, report: dict[str, Any]) -> None:
        """Write the objects of a result, and their paths by kind, or why there are none, into its report."""
        if result.view_pixels is None:
            return
        source = Path(result.source[0])
        case = Case(
            report={**report},
            study_key=result.study_key,
            version=1,
            source=source_header(source),
            view=result.view_pixels,
            box_id=_NO_BOX,
            language=self._language,
        )
        report["objects"], report["objects_refused"] = {}, None
        for kind in kinds(case):
            try:
                made = make(case, kind)
            except ObjectError as error:
                report["objects_refused"] = error.remark().as_json()
                continue
            path = self._names.take(source, f".{kind.value}.dcm")
            _save(path, made)
            report["objects"][kind.value] = str(path)


def _save(path: Path, made: Any) -> None:
    content = io.BytesIO()
    made.save_as(content, enforce_file_format=True)
    try:
        path.write_bytes(content.getvalue())
    except OSError as error:
        raise SetupError("no_permission", path=path) from error
