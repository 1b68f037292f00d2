"""The one place that decides what a stick carries, and who takes it.

Every stick is looked at once, by each of ``KINDS`` in turn; the first that knows it gets it. Today
sticks carry studies. Updates and statistics come as further kinds, ahead of the studies, since
they are told by a file of their own name.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Protocol

from edge import log
from edge.intake.mounts import Mount, Mounts
from edge.intake.studies import Bench, StudyImport
from edge.intake.tree import Tree
from edge.store import sticks
from edge.store.sticks import Stick


class Cargo(Protocol):
    """What takes a stick from its arrival to its end."""

    def step(self) -> bool:
        """Work for half a second at most; False where there is nothing to do."""

    def pulled(self) -> None:
        """The stick is gone."""

    def stop(self) -> None:
        """The process ends: leave nothing half done; the next one goes on."""


KINDS: tuple[tuple[Callable[[Tree], bool], Callable[[Mount, Stick, Bench], Cargo]], ...] = (
    (lambda tree: True, StudyImport),
)


class Sticks:
    """All sticks that are there.

    Parameters
    ----------
    mounts : lists them, such as ``mounts.below``.
    """

    def __init__(self, mounts: Mounts, bench: Bench) -> None:
        self._mounts = mounts
        self._bench = bench
        self._cargoes: dict[str, Cargo] = {}
        sticks.leave_all_but(bench.database, [mount.key for mount in mounts()])

    def step(self) -> bool:
        """Notice what came and went, and let each work for a moment; False where there is nothing to do.

        Raises
        ------
        StorageError
            The database could not be written; the next step goes on.
        """
        there = {mount.key: mount for mount in self._mounts()}
        for key in self._cargoes.keys() - there.keys():
            self._cargoes[key].pulled()
            del self._cargoes[key]
        for key in there.keys() - self._cargoes.keys():
            self._arrive(there[key])
        return any([cargo.step() for cargo in self._cargoes.values()])

    def close(self) -> None:
        """End what is being done, before what it works with is closed."""
        for cargo in self._cargoes.values():
            cargo.stop()

    def _arrive(self, mount: Mount) -> None:
        stick = sticks.arrive(self._bench.database, mount.key, is_writable=mount.is_writable)
        log.event("stick_arrived", state=stick.state.value)
        if mount.is_writable:
            log.event("stick_is_writable")
        try:
            with closing(Tree(mount.path)) as tree:
                make = next(make for knows, make in KINDS if knows(tree))
        except OSError as error:
            log.event("stick_unreadable", error_type=type(error).__name__)
            make = StudyImport  # shows that nothing can be read of it
        self._cargoes[mount.key] = make(mount, stick, self._bench)
