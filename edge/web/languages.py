"""Which language a page speaks, and how times, names and coded remarks are put into it.

A language is chosen by the cookie that the switch sets, then by the browser's
``Accept-Language``, then by the setting ``web.language``. Rejected: a language in the
path of each address, which would make every address exist twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from types import MappingProxyType
from typing import Any

from babel import dates, numbers
from flask import Flask, redirect, request, url_for
from flask_babel import Babel, get_locale, gettext
from werkzeug.wrappers import Response

from edge.errors import SetupError
from edge.web import wording

LANGUAGES: Mapping[str, str] = MappingProxyType({"en": "English", "fr": "Français"})
COOKIE = "language"
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
    app.jinja_env.filters.update(
        say=say,
        advice=advice,
        percent=percent,
        share=share,
        decimal=decimal,
        signed=signed,
        moment=moment,
        size=size,
        clock_time=clock_time,
        day=day,
        calendar=calendar,
        seconds=seconds,
    )


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


def say(remark: Mapping[str, Any]) -> str:
    """Words of a coded remark in the language of the page.

    Parameters
    ----------
    remark : an entry of ``reasons`` or ``quality`` of ``chest-edge/result/1``: ``message`` is the
        text to translate, ``values`` fills its ``%(name)s`` places, ``text`` is the English text.
    """
    message, values = remark.get("message"), remark.get("values") or {}
    if not message:
        return str(remark.get("text", ""))
    try:
        return str(gettext(message) % {name: _in_words(name, value) for name, value in values.items()})
    except (KeyError, TypeError, ValueError):
        # A result of another software version may lack a value; its English text is complete.
        return str(remark.get("text", message))


def _in_words(name: str, value: Any) -> Any:
    """The name of a step as the page calls it; any other value as it is."""
    return gettext(wording.STEPS[value]) if name == "stage" and value in wording.STEPS else value


def advice(remark: Mapping[str, Any]) -> str:
    """What to do about a coded remark, in the language of the page; empty where it gives no advice."""
    text = remark.get("advice")
    return say({"message": text, "values": remark.get("values"), "text": text}) if text else ""


def share(percent: float) -> str:
    """A measured share from 0 to 100 as a whole percentage; one that is not zero is not shown as zero."""
    locale = get_locale()
    if 0 < percent < 1:
        return "< " + numbers.format_percent(0.01, locale=locale)
    return numbers.format_percent(round(percent) / 100, locale=locale)


def decimal(value: float, form: str = "0.#") -> str:
    """A number by a pattern of Unicode TR35, such as ``0.00``."""
    return numbers.format_decimal(value, format=form, locale=get_locale())


def signed(difference: float) -> str:
    """A difference with its sign, where there is one."""
    return decimal(difference, "+0.#;−0.#") if difference else "0"


def size(size_bytes: int) -> str:
    """The size of a file: in kB, or from one MB on in MB."""
    if size_bytes < 1e6:
        return str(gettext("%(size)s kB", size=decimal(size_bytes / 1e3)))
    return str(gettext("%(size)s MB", size=decimal(size_bytes / 1e6)))


def moment(text: str) -> str:
    """Date and time of a moment in ISO 8601, in the time zone of the box."""
    when = datetime.fromisoformat(text)
    return f"{day(when)}, {clock_time(when)}"


def percent(probability: float) -> str:
    """A probability as a whole percentage; never 0 or 100, which nothing here can know."""
    locale = get_locale()
    if probability < 0.01:
        return "< " + numbers.format_percent(0.01, locale=locale)
    if probability > 0.99:
        return "> " + numbers.format_percent(0.99, locale=locale)
    return numbers.format_percent(round(probability, 2), locale=locale)


def seconds(duration: float) -> str:
    """A duration in seconds with two decimals and its unit."""
    return f"{numbers.format_decimal(round(duration, 2), format='0.00', locale=get_locale())} s"


def clock_time(moment: datetime) -> str:
    """Hours and minutes of a moment, in the time zone of the box."""
    return dates.format_time(moment.astimezone(), "HH:mm", locale=get_locale())


def day(moment: datetime) -> str:
    """Date of a moment, in the time zone of the box."""
    return dates.format_date(moment.astimezone(), "medium", locale=get_locale())


def calendar(when: date) -> str:
    """A date that belongs to no time zone, such as a birth date."""
    return dates.format_date(when, "medium", locale=get_locale())
