"""What every answer of the page carries, and which requests it refuses.

The page has no roles yet, so it listens on the loopback address only. A page of another
site could still reach it by DNS rebinding (a name that first points elsewhere and then to
127.0.0.1): the ``Host`` header of such a request carries that name and is refused. The
content security policy (W3C CSP level 3) allows nothing inline and nothing from elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from flask import Flask, Response, request

from edge.config import LOOPBACK

TRUSTED_HOSTS = ("localhost", LOOPBACK)
HEADERS: Mapping[str, str] = MappingProxyType(
    {
        "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
    }
)


def install(app: Flask) -> None:
    """Refuse foreign hosts and add the headers to every answer."""
    app.config["TRUSTED_HOSTS"] = list(TRUSTED_HOSTS)
    app.after_request(_protect)


def _protect(response: Response) -> Response:
    response.headers.update(HEADERS)
    if request.endpoint != "static":
        response.headers["Cache-Control"] = "no-store"
    return response
