"""The page of what is to leave the box: which archive does not answer, what waits, what a person has to look at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

from flask import Blueprint, abort, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from edge.config import Settings
from edge.store import outbox, sent
from edge.store.database import opened
from edge.store.outbox import OutState
from edge.types import N_, Kind
from edge.web import languages

SHOWN = 100
KINDS: Mapping[str, str] = MappingProxyType(
    {
        Kind.SECONDARY_CAPTURE.value: N_("Image with marks"),
        Kind.STRUCTURED_REPORT.value: N_("Structured report"),
        Kind.SEGMENTATION.value: N_("Segmentation"),
        Kind.PRESENTATION_STATE.value: N_("Marks for a viewer"),
        Kind.PDF.value: N_("Printable report"),
    }
)
_FAILED = N_("Not sent: somebody has to look")
_WAITING = N_("Waiting since %(since)s")
_UNCONFIRMED = N_("Stored there; the confirmation is awaited since %(since)s")
_COMMITTED = N_("Stored there, and confirmed to be kept")
_STORED = N_("Stored there")


class OutboxPages:
    """The views, bound to one box.

    Parameters
    ----------
    wake : tells the process that sends to look.
    """

    def __init__(self, settings: Settings, wake: Callable[[int], None]) -> None:
        self._settings = settings
        self._wake = wake

    def blueprint(self) -> Blueprint:
        """The addresses of the pages."""
        pages = Blueprint("outbox", __name__)
        pages.before_request(languages.switch)
        pages.add_url_rule("/outbox", "page", self.page)
        pages.add_url_rule("/outbox/<int:number>/retry", "asked", self.asked)
        pages.add_url_rule("/outbox/<int:number>/retry", "retry", self.retry, methods=["POST"])
        pages.add_url_rule("/outbox/retry", "asked_all", self.asked)
        pages.add_url_rule("/outbox/retry", "retry_all", self.retry_all, methods=["POST"])
        return pages

    def page(self) -> str:
        """Each archive, then what is dead, then what waits."""
        with opened(self._settings.database) as database:
            return render_template(
                "outbox.html",
                standings=sent.standings(database, self._settings),
                lines=sent.listed(database, SHOWN),
                shown=SHOWN,
                kinds=KINDS,
            )

    def asked(self, number: int = 0) -> Response:
        """The address of the button, when a browser asks for it again: the page."""
        return redirect(url_for("outbox.page"), 303)

    def retry(self, number: int) -> Response:
        """Have a dead object sent again; a second touch changes nothing."""
        with opened(self._settings.database) as database:
            if number >= 1 << 63 or not (outbox.retry(database, number) or sent.is_there(database, number)):
                abort(404)
        self._wake(number)
        return self.asked()

    def retry_all(self) -> Response:
        """Have all dead objects of one destination sent again, as after a setting there was put right."""
        with opened(self._settings.database) as database:
            outbox.retry(database, destination=request.form.get("destination", ""))
        self._wake(0)
        return self.asked()


def summary(lines: Iterable[sent.Line]) -> list[dict[str, Any]]:
    """What became of the objects of one result, as a sentence for each archive."""
    by_name: dict[str, list[sent.Line]] = {}
    for line in lines:
        by_name.setdefault(line.destination, []).append(line)
    return [{"name": name, **_told(found)} for name, found in by_name.items()]


def _told(found: list[sent.Line]) -> dict[str, Any]:
    states = {line.state for line in found}
    waiting = [line for line in found if line.is_waiting]
    trouble = next((line.trouble for line in found if line.trouble), None)
    if OutState.DEAD in states:
        dead = next(line for line in found if line.state is OutState.DEAD)
        return {"text": _FAILED, "since": dead.since, "trouble": dead.trouble, "is_stuck": True}
    if waiting:
        is_stored = not states & {OutState.QUEUED, OutState.SENDING}
        text = _UNCONFIRMED if is_stored else _WAITING
        return {"text": text, "since": min(line.since for line in waiting), "trouble": trouble}
    text = _COMMITTED if states == {OutState.COMMITTED} else _STORED
    return {"text": text, "since": found[0].since, "trouble": trouble}
