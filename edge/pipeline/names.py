"""Names of files that are written beside a reading: that of their image, and never one that is taken."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from edge.store.files import unwritable, write_whole

_SUFFIXES = frozenset({".dcm", ".dicom", ".ima", ".jpeg", ".jpg", ".png"})


class OwnNames:
    """Gives out names in one folder, which it makes.

    Parameters
    ----------
    sources : every file that is read; none that lies in this folder is overwritten.

    Raises
    ------
    SetupError
        Where the folder cannot be made.
    """

    def __init__(self, folder: Path, sources: Iterable[Path]) -> None:
        self._folder = folder
        here = folder.resolve()
        self._taken = {source.name for source in sources if source.parent.resolve() == here}
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unwritable(folder, error) from error

    def take(self, source: Path, suffix: str) -> Path:
        """The path of a new file for this image."""
        # A file named after a UID has no suffix to take away, only a last number.
        stem = source.stem if source.suffix.lower() in _SUFFIXES else source.name
        name, number = f"{stem}{suffix}", 2
        while name in self._taken:
            name, number = f"{stem}-{number}{suffix}", number + 1
        self._taken.add(name)
        return self._folder / name

    def write(self, path: Path, content: bytes) -> None:
        """Write a file as a whole or not at all: half an object would be taken for one.

        Raises
        ------
        SetupError
            Where it cannot be written.
        """
        try:
            write_whole(path, [content])
        except OSError as error:
            raise unwritable(path, error) from error
