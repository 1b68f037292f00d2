"""Which language a page speaks.

A language is chosen by the cookie that the switch sets, then by the browser's
``Accept-Language``, then by the setting ``web.language``. Rejected: a language in the
path of each address, which would make every address exist twice.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Flask, redirect, request, url_for
from flask_babel import Babel, get_locale
from werkzeug.wrappers import Response

from edge.errors import SetupError
from edge.language import LANGUAGES, Language, speaking

COOKIE = "language"
_FILTERS = (
    *("say", "advice", "percent", "share", "decimal", "signed", "moment", "size"),
    *("clock_time", "day", "calendar", "seconds"),
)
_YEAR_S = 365 * 24 * 3600


def install(app: Flask, default: str) -> None:
    """Give the application its languages and the template filters that depend on them.

    Raises
    ------
    SetupError
        For a default language that the page does not have.
    """
    if default not in LANGUAGES:
        raise SetupError("bad_setting", name="web.language", expected=" or ".join(LANGUAGES), value=default)
    Babel(app, default_locale="en", locale_selector=lambda: _selected(default))
    app.jinja_env.filters.update({name: _filter(name) for name in _FILTERS})


def _selected(default: str) -> str:
    chosen = request.cookies.get(COOKIE)
    if chosen is not None and chosen in LANGUAGES:
        return chosen
    return request.accept_languages.best_match(LANGUAGES, default) or default


def current() -> str:
    """Code of the language of the current request."""
    return str(get_locale())


def cookie(language: str) -> dict[str, Any]:
    """Arguments of ``Response.set_cookie`` that keep a choice of language for a year."""
    return {"key": COOKIE, "value": language, "max_age": _YEAR_S, "httponly": True, "samesite": "Strict"}


def switch() -> Response | None:
    """Before a request: the answer to a touch on the language switch, which leads back without the question."""
    chosen = request.args.get("lang")
    if chosen is None or chosen not in LANGUAGES or request.endpoint is None:
        return None
    response = redirect(url_for(request.endpoint, **(request.view_args or {})), 303)
    response.set_cookie(**cookie(chosen))
    return response


def spoken() -> Language:
    """The language of the current request."""
    return speaking(current())


def _filter(name: str) -> Callable[..., str]:
    def speak(*values: Any, **named: Any) -> str:
        return str(getattr(spoken(), name)(*values, **named))

    return speak
