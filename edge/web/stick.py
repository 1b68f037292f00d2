"""The page of a USB stick: what lies on it, the button that takes it in, and when it may be pulled."""

from __future__ import annotations

from collections.abc import Callable

from flask import Blueprint, abort, redirect, render_template, url_for
from werkzeug.wrappers import Response

from edge.config import Settings
from edge.errors import SourceError, UnreadableError
from edge.store import sticks
from edge.store.database import opened
from edge.store.sticks import StickState
from edge.web import languages
from edge.web.live import Live

REASONS = {**UnreadableError.texts, **SourceError.texts}
"""Why a file of a stick was not taken, by code."""

_BUSY = frozenset({StickState.LOOKING, StickState.WANTED, StickState.TAKING})


class StickPages:
    """The views, bound to one box.

    Parameters
    ----------
    wake : tells the process that reads sticks to look.
    """

    def __init__(self, settings: Settings, live: Live, wake: Callable[[int], None]) -> None:
        self._settings = settings
        self._live = live
        self._wake = wake

    def blueprint(self) -> Blueprint:
        """The addresses of the pages."""
        pages = Blueprint("stick", __name__)
        pages.before_request(languages.switch)
        pages.add_url_rule("/stick", "page", self.page)
        pages.add_url_rule("/stick/now", "now", self.now)
        pages.add_url_rule("/stick/<int:number>/take", "asked", self.asked)
        pages.add_url_rule("/stick/<int:number>/take", "take", self.take, methods=["POST"])
        return pages

    def page(self) -> str:
        """The whole page."""
        return self._rendered("stick.html")

    def now(self) -> str:
        """Only what changes, for a page that looks again."""
        return self._rendered("_stick.html")

    def asked(self, number: int) -> Response:
        """The address of the button, when a browser asks for it again: the page."""
        return redirect(url_for("stick.page"), 303)

    def take(self, number: int) -> Response:
        """Have a stick taken in; a second touch changes nothing."""
        with opened(self._settings.database) as database:
            if number >= 1 << 63 or not sticks.want(database, number):
                present = {stick.stick_id for stick in sticks.shown(database)}
                if number not in present:
                    abort(404)
        self._wake(number)
        self._live.wake()
        return self.asked(number)

    def _rendered(self, template: str) -> str:
        with opened(self._settings.database) as database:
            shown = sticks.shown(database)
        return render_template(template, sticks=shown, reasons=REASONS, busy=_BUSY)
