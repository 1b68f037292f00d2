"""How texts, numbers, times and coded remarks are put into a language, on the page and on paper.

The catalogues are those of the page (gettext, Unicode TR35). No web framework is needed, so
that whatever prints can speak too. Rejected: a second catalogue for what is printed, whose
words would drift away from those on the screen.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from babel import Locale, dates, numbers
from babel.support import NullTranslations, Translations

from edge import wording

LANGUAGES: Mapping[str, str] = MappingProxyType({"en": "English", "fr": "Français"})
"""Codes of the languages, each with its own name."""
_CATALOGUES = Path(__file__).parent / "web" / "translations"


class Language:
    """One language.

    Parameters
    ----------
    code : of ``LANGUAGES``; any other speaks English.
    """

    def __init__(self, code: str) -> None:
        self.code = code if code in LANGUAGES else "en"
        self._locale = Locale(self.code)
        self._catalogue: NullTranslations = Translations.load(_CATALOGUES, [self.code])

    def text(self, message: str, **values: Any) -> str:
        """A message in this language, its ``%(name)s`` places filled."""
        translated = str(self._catalogue.gettext(message)) if message else ""
        return translated % values if values else translated

    def say(self, remark: Mapping[str, Any]) -> str:
        """Words of a coded remark.

        Parameters
        ----------
        remark : an entry of ``reasons`` or ``quality`` of ``chest-edge/result/1``: ``message`` is the
            text to translate, ``values`` fills its ``%(name)s`` places, ``text`` is the English text.
        """
        message, values = remark.get("message"), remark.get("values") or {}
        if not message:
            return str(remark.get("text", ""))
        try:
            return self.text(message) % {name: self._in_words(name, value) for name, value in values.items()}
        except (KeyError, TypeError, ValueError):
            # A result of another software version may lack a value; its English text is complete.
            return str(remark.get("text", message))

    def _in_words(self, name: str, value: Any) -> Any:
        """The name of a step as the page calls it; any other value as it is."""
        return self.text(wording.STEPS[value]) if name == "stage" and value in wording.STEPS else value

    def advice(self, remark: Mapping[str, Any]) -> str:
        """What to do about a coded remark; empty where it gives no advice."""
        text = remark.get("advice")
        return self.say({"message": text, "values": remark.get("values"), "text": text}) if text else ""

    def share(self, percent: float) -> str:
        """A measured share from 0 to 100 as a whole percentage; one that is not zero is not shown as zero."""
        if 0 < percent < 1:
            return "< " + numbers.format_percent(0.01, locale=self._locale)
        return numbers.format_percent(round(percent) / 100, locale=self._locale)

    def percent(self, probability: float) -> str:
        """A probability as a whole percentage; never 0 or 100, which nothing here can know."""
        if probability < 0.01:
            return "< " + numbers.format_percent(0.01, locale=self._locale)
        if probability > 0.99:
            return "> " + numbers.format_percent(0.99, locale=self._locale)
        return numbers.format_percent(round(probability, 2), locale=self._locale)

    def decimal(self, value: float, form: str = "0.#") -> str:
        """A number by a pattern of Unicode TR35, such as ``0.00``."""
        return numbers.format_decimal(value, format=form, locale=self._locale)

    def signed(self, difference: float) -> str:
        """A difference with its sign, where there is one."""
        return self.decimal(difference, "+0.#;−0.#") if difference else "0"

    def size(self, size_bytes: int) -> str:
        """The size of a file: in kB, or from one MB on in MB."""
        if size_bytes < 1e6:
            return self.text(wording.KILOBYTES, size=self.decimal(size_bytes / 1e3))
        return self.text(wording.MEGABYTES, size=self.decimal(size_bytes / 1e6))

    def seconds(self, duration: float) -> str:
        """A duration in seconds with two decimals and its unit."""
        return f"{self.decimal(round(duration, 2), '0.00')} s"

    def moment(self, text: str) -> str:
        """Date and time of a moment in ISO 8601, in the time zone of the box."""
        when = datetime.fromisoformat(text)
        return f"{self.day(when)}, {self.clock_time(when)}"

    def clock_time(self, moment: datetime) -> str:
        """Hours and minutes of a moment, in the time zone of the box."""
        return dates.format_time(moment.astimezone(), "HH:mm", locale=self._locale)

    def day(self, moment: datetime) -> str:
        """Date of a moment, in the time zone of the box."""
        return dates.format_date(moment.astimezone(), "medium", locale=self._locale)

    def calendar(self, when: date) -> str:
        """A date that belongs to no time zone, such as a birth date."""
        return dates.format_date(when, "medium", locale=self._locale)


@lru_cache(maxsize=len(LANGUAGES))
def speaking(code: str) -> Language:
    """The language of a code, read once."""
    return Language(code)
