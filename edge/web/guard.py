"""What every answer of the page carries, and which requests it refuses.

The page has no roles yet, so it listens on the loopback address only. A page of another
site could still reach it by DNS rebinding (a name that first points elsewhere and then to
127.0.0.1): the ``Host`` header of such a request carries that name and is refused. The
content security policy (W3C CSP level 3) allows nothing inline and nothing from elsewhere.

A page of another site needs no answer to do harm: a hidden form that it submits makes the
browser of the box send a request that changes something (cross-site request forgery, OWASP).
The browser tells where each request comes from, in ``Sec-Fetch-Site`` (W3C Fetch Metadata) or,
where it is older, in ``Origin`` (WHATWG Fetch, section 3.2); whatever changes something must
come from this very page. The check goes by F. Valsorda, "Cross-Site Request Forgery" (2025),
but for requests that carry neither header, which only a program sends: they are refused too,
except by STOW-RS, which is for programs.
Rejected: tokens in forms, which need a secret and a session for the same protection.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from flask import Flask, Response, abort, request

from edge.config import LOOPBACK

_FILES = ("static", "fonts.static")
_READING = frozenset({"GET", "HEAD", "OPTIONS"})
TRUSTED_HOSTS = ("localhost", LOOPBACK)
HEADERS: Mapping[str, str] = MappingProxyType(
    {
        "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
    }
)


def install(app: Flask) -> None:
    """Refuse foreign hosts and foreign pages, and add the headers to every answer."""
    app.config["TRUSTED_HOSTS"] = list(TRUSTED_HOSTS)
    app.before_request(_refuse_foreign_change)
    app.after_request(_protect)


def _refuse_foreign_change() -> None:
    if request.method in _READING or request.endpoint is None or _is_own():  # without an endpoint: 404 or 405
        return
    # STOW-RS is for programs, which send neither header; every browser sends one with such a request.
    if request.endpoint != "stow.store" or "Origin" in request.headers or "Sec-Fetch-Site" in request.headers:
        abort(403)


def _is_own() -> bool:
    site = request.headers.get("Sec-Fetch-Site")
    # Origin counts only without the other: under no-referrer a browser sends "null" from its own page too.
    return site == "same-origin" if site is not None else request.headers.get("Origin") == request.host_url[:-1]


def _protect(response: Response) -> Response:
    response.headers.update(HEADERS)
    if request.endpoint not in _FILES:
        # A slice of a result, which never changes, says so itself.
        response.headers.setdefault("Cache-Control", "no-store")
    return response
