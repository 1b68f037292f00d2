"""The studies of a USB stick: counted when it is put in, taken in when somebody asks for it.

A DICOMDIR says where the images are; without a usable one, or one that leaves DICOM files of the
stick out, every file is looked at. The stick is
only ever read, and is let go of between the two, so that it can be pulled. Pulled in the middle,
what was taken is kept, and the same stick goes on: the spool knows every object that it has.
Rejected: remembering the files of each stick, which on the next stick may have the same names.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import IO

from sqlite_utils import Database

from edge import clock, log
from edge.config import Settings
from edge.dicom.reader import Reader
from edge.dicom.storage_classes import STORAGE_CLASSES
from edge.errors import SourceError, StorageError, UnreadableError
from edge.intake.mounts import Mount
from edge.intake.tree import MOST_FILES, Parts, Tree
from edge.store import sticks
from edge.store.associations import Way
from edge.store.files import scratch_file
from edge.store.part10 import WholeFile, take_apart
from edge.store.spool import Spool
from edge.store.sticks import Counts, Stick, StickState

_TURN_S = 0.5
_TELL_S = 0.3
_MOST_DIRECTORY_BYTES = 32 << 20
_HEAD_BYTES = 256 << 10
_DIRECTORY_NAMES = ("DICOMDIR", "dicomdir")
_DIRECTORY_CLASS = "1.2.840.10008.1.3.10"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What an import works with."""

    settings: Settings
    database: Database
    spool: Spool


class StudyImport:
    """The studies of one stick, from its arrival to its end."""

    def __init__(self, mount: Mount, stick: Stick, bench: Bench) -> None:
        self._mount = mount
        self._stick = stick
        self._bench = bench
        self._files: list[Parts] = []
        self._counts = stick.counts
        self._told_at = clock.monotonic()
        self._work: Generator[None, None, None] | None = None

    def step(self) -> bool:
        """Work for half a second at most; False where there is nothing to do.

        Raises
        ------
        StorageError
            The database could not be written; the next step goes on.
        """
        if self._work is None:
            self._work = self._begun()
        if self._work is None:
            return False
        until = clock.monotonic() + _TURN_S
        for _ in self._work:
            if clock.monotonic() >= until:
                return True
        self._work = None
        return True

    def pulled(self) -> None:
        """The stick is gone: end its delivery, so that what came is read now, and note how far it came."""
        self.stop()
        state = sticks.stick(self._bench.database, self._stick.stick_id).state
        if state is StickState.TAKING:
            self._tell(StickState.PULLED)
        sticks.leave(self._bench.database, self._stick.stick_id)

    def stop(self) -> None:
        """Let go of the stick and end its delivery; the next step begins anew."""
        if self._work is not None:
            self._work.close()
        self._work = None

    def _begun(self) -> Generator[None, None, None] | None:
        state = sticks.stick(self._bench.database, self._stick.stick_id).state
        if state is StickState.LOOKING:
            return self._look(StickState.LOOKING, StickState.READY)
        if state in {StickState.WANTED, StickState.TAKING}:
            return self._take()
        return None

    def _look(self, during: StickState, after: StickState) -> Generator[None, None, None]:
        self._files, self._counts = [], replace(sticks.NOTHING)
        folder = self._bench.settings.run_dir
        try:
            with (
                closing(Tree(self._mount.path)) as tree,
                Reader(folder=folder) as reader,
                scratch_file(folder) as scratch,
            ):
                looked = _listed(tree, reader, scratch)
                looked = None if looked and _leaves_out(tree, looked[0][1]) else looked
                for self._counts, parts in looked if looked else _loose(tree, reader, scratch):
                    self._files.extend(parts)
                    self._tell_now_and_then(during)
                    yield
        except (OSError, SourceError) as error:
            log.event("stick_unreadable", error_type=type(error).__name__)
        self._tell(after)

    def _take(self) -> Generator[None, None, None]:
        # Anew at each touch: files may have been copied to the stick since it was counted.
        yield from self._look(StickState.TAKING, StickState.TAKING)
        self._counts = replace(self._counts, taken=0, known=0, refused={})
        self._tell(StickState.TAKING)
        try:
            with closing(Tree(self._mount.path)) as tree, self._bench.spool.together(way=Way.STICK) as number:
                for parts in self._files:
                    self._take_one(tree, parts, number)
                    self._tell_now_and_then(StickState.TAKING)
                    yield
        except StorageError as error:
            log.event("stick_waits", code=error.code)
            self._tell(StickState.NO_ROOM)
            return
        except (OSError, SourceError):
            log.event("stick_pulled", count=self._counts.taken)
            self._tell(StickState.PULLED)
            return
        log.event("stick_taken", count=self._counts.taken)
        self._tell(StickState.TAKEN)

    def _take_one(self, tree: Tree, parts: Parts, number: int) -> None:
        counts = self._counts
        try:
            with closing(tree.open(parts)) as file:
                is_new = self._keep(take_apart(file.pieces()), number)
        except (SourceError, UnreadableError) as error:
            if not self._mount.is_there():
                raise SourceError("unopenable") from error
            refused = Counter(counts.refused)
            refused[error.code] += 1
            self._counts = replace(counts, refused=dict(refused))
            return
        self._counts = replace(counts, taken=counts.taken + is_new, known=counts.known + (not is_new))

    def _keep(self, whole: WholeFile, number: int) -> bool:
        if whole.delivery.sop_class_uid not in {*STORAGE_CLASSES, ""}:
            raise SourceError("other_kind")
        delivery = replace(whole.delivery, association_id=number)
        return self._bench.spool.keep(whole.file_meta, whole.content, delivery).is_new

    def _tell_now_and_then(self, state: StickState) -> None:
        if clock.monotonic() - self._told_at >= _TELL_S:
            self._tell(state)

    def _tell(self, state: StickState) -> None:
        sticks.move(self._bench.database, self._stick.stick_id, state, self._counts)
        self._bench.spool.tell(self._stick.stick_id)
        self._told_at = clock.monotonic()


def _listed(tree: Tree, reader: Reader, scratch: IO[bytes]) -> list[tuple[Counts, list[Parts]]] | None:
    """What a DICOMDIR names, or None where there is none that leads to a file."""
    for name in _DIRECTORY_NAMES:
        studies, files = _named_by(tree, (name,), reader, scratch)
        if any(_opens(tree, parts) for parts in files):
            return [(replace(sticks.NOTHING, studies=studies, total=len(files)), files)]
    return None


def _leaves_out(tree: Tree, named: list[Parts]) -> bool:
    """Whether DICOM files lie on a stick beside those that its DICOMDIR names, and looking at all finds those too."""
    known = {_small(parts) for parts in named}
    there = [parts for parts, _ in islice(tree.files(), MOST_FILES)]
    further = (parts for parts in there if _small(parts) not in known and parts[-1] not in _DIRECTORY_NAMES)
    return known <= {_small(parts) for parts in there} and any(_whole(_head(tree, parts)) for parts in further)


def _small(parts: Parts) -> Parts:
    return tuple(name.lower() for name in parts)


def _named_by(tree: Tree, place: Parts, reader: Reader, scratch: IO[bytes]) -> tuple[int, list[Parts]]:
    try:
        with closing(tree.open(place)) as file:
            _write(scratch, file.pieces(_MOST_DIRECTORY_BYTES))
        studies, places = reader.read_directory(Path(scratch.name))
    except (SourceError, UnreadableError):
        return 0, []
    return studies, [_spelt(tree, names) for names in places if names]


def _loose(tree: Tree, reader: Reader, scratch: IO[bytes]) -> Iterator[tuple[Counts, list[Parts]]]:
    """Every file that can be DICOM, with the counts so far."""
    seen: set[str] = set()
    total = others = 0
    for parts, _ in islice(tree.files(), MOST_FILES):
        head = _head(tree, parts)
        whole = _whole(head)
        is_directory = whole is not None and whole.delivery.sop_class_uid == _DIRECTORY_CLASS
        is_image = whole is not None and not is_directory and parts[-1] not in _DIRECTORY_NAMES
        if is_image:
            _write(scratch, [head])
            seen.add(_study(reader, Path(scratch.name)))
        total, others = total + is_image, others + (not is_image)
        counts = replace(sticks.NOTHING, studies=len(seen - {""}), total=total, others=others)
        yield counts, [parts] if is_image else []


def _head(tree: Tree, parts: Parts) -> bytes:
    try:
        with closing(tree.open(parts)) as file:
            return next(file.pieces(), b"")[:_HEAD_BYTES]
    except SourceError:
        return b""


def _whole(head: bytes) -> WholeFile | None:
    try:
        return take_apart([head])
    except UnreadableError:
        return None


def _study(reader: Reader, path: Path) -> str:
    try:
        return reader.read_header(path).study_instance_uid or ""
    except UnreadableError:
        return ""


def _write(scratch: IO[bytes], pieces: Iterator[bytes] | list[bytes]) -> None:
    try:
        scratch.seek(0)
        scratch.truncate()
        scratch.writelines(pieces)
        scratch.flush()
    except OSError as error:  # of our own disk: reading the stick raises SourceError
        raise StorageError("write_failed") from error


def _spelt(tree: Tree, names: Parts) -> Parts:
    """As a DICOMDIR writes it, or in small letters, as some systems show the names of such discs."""
    small = _small(names)
    return small if not _opens(tree, names) and _opens(tree, small) else names


def _opens(tree: Tree, parts: Parts) -> bool:
    try:
        tree.open(parts).close()
    except SourceError:
        return False
    return True
