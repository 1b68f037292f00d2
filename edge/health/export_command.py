"""``chest-edge export``: the images of one study without their patient, for teaching or support.

All images of a study or none. The new identifiers hang on a random number that is forgotten, so that nobody,
not even the box, finds the way back. What the box made of the images stays: its results name the study and
the box. Rejected: a table of old and new identifiers, which would be one more file to guard.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from edge.config import Settings
from edge.dicom.reader import Reader
from edge.errors import ExportError, UnreadableError
from edge.store import journal, studies
from edge.store.database import opened, writing
from edge.store.files import unwritable, write_durably

_PIECE_BYTES = 1 << 20


def export_anonymized(settings: Settings, study_key: str, folder: Path, is_checked: bool) -> int:
    """Write the images of a study that could be read into a new or empty folder.

    Parameters
    ----------
    is_checked : somebody looked whether a name is burnt into an image.

    Raises
    ------
    ExportError, UnreadableError
        Why nothing was exported.
    SetupError, StorageError
        The folder or the database cannot be written.
    """
    paths, left_out = _images(settings, study_key)
    _make(folder)
    disguise = {"salt": secrets.token_hex(32), "pseudonym": f"ANON-{secrets.token_hex(4).upper()}"}
    with ExitStack() as undo, Reader() as reader:
        for number, path in enumerate(paths, 1):
            target = folder / f"IM{number:04}.dcm"
            with reader.disguised(path, {**disguise, "number": number, "is_checked": is_checked}) as made:
                undo.callback(target.unlink, missing_ok=True)
                write_durably(target, _pieces(made))
        with opened(settings.database) as database, writing(database):
            journal.note(database, journal.Action.EXPORTED, study_key=study_key, count=len(paths))
        undo.pop_all()
    print(f"{len(paths)} images of {disguise['pseudonym']} written to {folder}. Results are not exported.")
    if left_out:
        print(f"{left_out} images were left out, which the box has not read.")
    return 0


def _images(settings: Settings, study_key: str) -> tuple[list[Path], int]:
    with opened(settings.database) as database:
        found = studies.images(database, study_key)
    if not found:
        raise ExportError("unknown_study", study_key=study_key)
    read = [settings.incoming / path for path, state in found if state == "parsed"]
    if not read:
        raise ExportError("no_image")
    if any(not path.exists() for path in read):
        raise UnreadableError("file_lost")
    return read, len(found) - len(read)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        is_empty = not any(folder.iterdir())
    except OSError as error:
        raise unwritable(folder, error) from error
    if not is_empty:
        raise ExportError("not_empty", path=folder)


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            yield piece
