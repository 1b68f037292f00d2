"""The drop folder: files that other programs put there are taken in, and then removed.

A file is taken when it has stood still for a while and no program has it open for writing, and it
goes only after it is durable in the box. Whatever cannot be taken stays where it is, is told by its
reason, and keeps nothing else out, however much of it there is. The folder is looked at again and
again: inotify(7) loses events and does not see what a network share brings.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from edge import clock, log
from edge.errors import SourceError, StorageError, UnreadableError
from edge.intake.tree import MOST_FILES, Parts, Stamp, Tree
from edge.store import dropped
from edge.store.associations import Way
from edge.store.dropped import Standing
from edge.store.part10 import take_apart
from edge.store.spool import Spool

_STILL_S = 2.0
_FULL = frozenset({"disk_full", "no_room"})
_FULL_S = 10.0


class Drop:
    """One drop folder.

    Parameters
    ----------
    stopping : whether to leave what is not yet taken for the next start.
    tell : told how the folder stands, whenever that changed.
    still_s : seconds for which a file must not have changed.
    """

    def __init__(
        self,
        folder: Path,
        spool: Spool,
        stopping: Callable[[], bool] = lambda: False,
        tell: Callable[[Standing], None] = lambda standing: None,
        still_s: float = _STILL_S,
    ) -> None:
        self._folder = folder
        self._spool = spool
        self._stopping = stopping
        self._tell = tell
        self._told: Standing | None = None
        self._still_s = still_s
        self._seen: dict[Parts, tuple[Stamp, float]] = {}
        self._left: dict[Parts, tuple[Stamp, str]] = {}
        self._waiting: Counter[str] = Counter()
        self._resume_at = clock.monotonic()
        self._is_missing = False

    def step(self) -> bool:
        """Look at the folder once, and take what is ready as one delivery; False: there is time to wait for more.

        Raises
        ------
        StorageError
            How the folder stands could not be told; the next step tells it.
        """
        if clock.monotonic() < self._resume_at:
            return False
        standing = self._looked()
        if standing != self._told:
            self._tell(standing)
            self._told = standing
        return False

    def _looked(self) -> Standing:
        try:
            with closing(Tree(self._folder)) as tree:
                self._waiting.clear()
                self._take(tree, list(self._ready(tree)))
        except OSError as error:
            self._resume_at = clock.monotonic() + _FULL_S
            if not self._is_missing:
                log.event("drop_folder_unreadable", error_type=type(error).__name__)
            self._is_missing = True
            return Standing(trouble=dropped.trouble(self._folder) or "broken", left={})
        self._is_missing = False
        counts = Counter(code for _, code in self._left.values()) + self._waiting
        return Standing(trouble=dropped.trouble(self._folder), left=counts)

    def _ready(self, tree: Tree) -> Iterator[tuple[Parts, Stamp]]:
        now = clock.monotonic()
        before, self._seen = self._seen, {}
        left, self._left = self._left, {}
        for parts, stamp in tree.files():
            known = left.get(parts)
            if known and known[0] == stamp:
                self._left[parts] = known
                continue
            if len(self._seen) >= MOST_FILES:  # these come when others have gone
                continue
            old, since = before.get(parts, (None, now))
            self._seen[parts] = (stamp, since if old == stamp else now)
            if old == stamp and now - since >= self._still_s:
                yield parts, stamp

    def _take(self, tree: Tree, ready: list[tuple[Parts, Stamp]]) -> None:
        if not ready:
            return
        counts: Counter[str] = Counter()
        try:
            with self._spool.together(way=Way.FOLDER) as number:
                self._take_all(tree, ready, number, counts)
        except StorageError as error:
            self._wait(error, len(ready))
        for outcome, count in counts.items():
            log.event("dropped", code=outcome, count=count)

    def _take_all(self, tree: Tree, ready: list[tuple[Parts, Stamp]], number: int, counts: Counter[str]) -> None:
        # A box that is full or stops breaks nothing off: what is left in the folder comes as another delivery.
        for done, (parts, stamp) in enumerate(ready):
            if self._stopping():
                return
            try:
                counts[self._take_one(tree, parts, stamp, number)] += 1
            except StorageError as error:
                self._wait(error, len(ready) - done)
                return

    def _wait(self, error: StorageError, count: int) -> None:
        self._resume_at = clock.monotonic() + _FULL_S
        self._waiting["no_room" if error.code in _FULL else "not_stored"] = count
        log.event("drop_waits", code=error.code, count=count)

    def _take_one(self, tree: Tree, parts: Parts, stamp: Stamp, number: int) -> str:
        """Take one file; what became of it in one word."""
        try:
            with closing(tree.open(parts)) as file:
                if file.stamp != stamp or file.is_being_written():
                    self._seen.pop(parts, None)
                    return "waiting"
                if not stamp.size_bytes:
                    raise UnreadableError("empty_file")
                whole = take_apart(file.pieces())
                self._spool.keep(whole.file_meta, whole.content, replace(whole.delivery, association_id=number))
                is_removed = tree.remove(parts, stamp)
        except (SourceError, UnreadableError) as error:
            return self._leave(parts, stamp, error.code)
        return "taken" if is_removed else self._leave(parts, stamp, "not_removed")

    def _leave(self, parts: Parts, stamp: Stamp, code: str) -> str:
        self._left[parts] = (stamp, code)
        return code
