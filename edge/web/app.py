"""The application factory: everything that a page needs, put together for one box."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Blueprint, Flask, Response, render_template, request
from flask_babel import gettext
from werkzeug.exceptions import HTTPException, MethodNotAllowed, SecurityError

from edge import __version__, language, log, wording
from edge.config import Settings
from edge.errors import EdgeError
from edge.objects.letters import FOLDER
from edge.types import N_
from edge.web import guard, languages, refusals
from edge.web.live import Live
from edge.web.outbox import OutboxPages
from edge.web.stick import StickPages
from edge.web.stow import Stow, UidConverter
from edge.web.tomograph import Tomographs
from edge.web.views import KeyConverter, Pages, VersionConverter

_SPARE_THREADS = 4
_TROUBLES = {
    404: N_("This page or study is not on the box."),
    503: N_("The box is busy. It will try again by itself."),
}
_REFUSED = N_("The box does not answer this request.")
_FAULT = N_("Something went wrong inside the box. Go back to the worklist and try again.")


class _Page(Flask):
    def log_exception(self, exc_info: Any) -> None:
        # Flask would log the message of the exception, which can hold patient data.
        log.event("page_failed", error_type=exc_info[0].__name__, where=log.where(exc_info[1]))


def create_app(
    settings: Settings, live: Live | None = None, wake: Callable[[int], None] = lambda number: None
) -> Flask:
    """The page of one box.

    Parameters
    ----------
    live : wake-ups that are already being listened to; without them open pages only look
        again by themselves from time to time.
    wake : told the number of what a page changed, from any thread, for the other processes of the box.

    Raises
    ------
    SetupError
        For a default language that the page does not have.
    """
    app = _Page("edge.web")
    app.url_map.converters.update(key=KeyConverter, version=VersionConverter, uid=UidConverter)
    guard.install(app)
    languages.install(app, settings.web.language)
    live = live or Live(settings.run_dir, streams(settings))
    app.register_blueprint(Blueprint("fonts", __name__, static_folder=FOLDER, static_url_path="/fonts"))
    tomographs = Tomographs(settings)
    app.register_blueprint(Pages(settings, live, wake, tomographs).blueprint())
    app.register_blueprint(tomographs.blueprint())
    app.register_blueprint(StickPages(settings, live, wake).blueprint())
    app.register_blueprint(OutboxPages(settings, wake).blueprint())
    app.register_blueprint(Stow(settings, wake).blueprint())
    app.config["PROPAGATE_EXCEPTIONS"] = False
    app.register_error_handler(HTTPException, _trouble)
    app.register_error_handler(EdgeError, _trouble)
    app.jinja_env.filters.update(person=wording.person, printable=wording.printable)
    app.context_processor(
        lambda: {
            "version": __version__,
            "language": languages.current(),
            "languages": language.LANGUAGES,
            "wording": wording,
            "has_sticks": bool(settings.intake.usb),
        }
    )
    return app


def streams(settings: Settings) -> int:
    """How many pages may listen to wake-ups at once, so that threads are left to answer the others."""
    return max(1, settings.web.threads - _SPARE_THREADS)


def _trouble(error: Exception) -> tuple[str | Response, int]:
    status, text = _described(error)
    if request.path.startswith("/dicomweb"):  # for programs
        allowed = {"Allow": "POST"} if status == MethodNotAllowed.code else {}
        return Response(refusals.told(status, error), status, allowed, mimetype="application/json"), status
    if isinstance(error, SecurityError):
        # A foreign host has no addresses on this box, so that no page can be made for it.
        return text, status
    return render_template("trouble.html", status=status, text=text), status


def _described(error: Exception) -> tuple[int, str]:
    if isinstance(error, EdgeError):
        return error.http_status, gettext(error.text) % error.values
    status = error.code if isinstance(error, HTTPException) and error.code else 500
    return status, gettext(_TROUBLES.get(status, _FAULT if status >= 500 else _REFUSED))
