"""Tells the store which objects one association brings, and how it ended (PS3.8 sections 7.2 to 7.4).

A release or an abort arrives as an event of the library, in the thread of the association. A
thread that ended without either is found by ``sweep``.
Rejected: the event of the closed connection, which comes from another thread, while an object
may still be on its way to the disk.
"""

from __future__ import annotations

from pynetdicom import evt
from pynetdicom.association import Association

from edge.store.associations import End
from edge.store.spool import Spool


class Deliveries:
    """What the associations of the receiver have brought so far; used by all their threads."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._open: dict[Association, int] = {}

    def number(self, association: Association) -> int:
        """The delivery of this association, which is opened with its first object.

        Raises
        ------
        StorageError
            None could be opened; the object must not be acknowledged.
        """
        if association not in self._open:
            sender = association.requestor
            self._open[association] = self._spool.begin(str(sender.ae_title), str(sender.address or ""))
        return self._open[association]

    def released(self, event: evt.Event) -> None:
        """The sender released its association: it has sent all that it wanted to."""
        self._end(event.assoc, End.RELEASED)

    def aborted(self, event: evt.Event) -> None:
        """Either side broke the association off, or its connection was lost."""
        self._end(event.assoc, End.ABORTED)

    def sweep(self) -> None:
        """End what ended without an event, and have the spool store what it could not when it ended."""
        for association in list(self._open):
            if not association.is_alive():
                self._end(association, End.ABORTED)
        self._spool.sweep()

    def _end(self, association: Association, how: End) -> None:
        number = self._open.pop(association, None)
        if number is not None:
            self._spool.end(number, how)
