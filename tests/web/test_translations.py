"""No text of the box is untranslatable, and what is compiled is what is written."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.extract import DEFAULT_KEYWORDS, extract_from_dir
from babel.messages.mofile import read_mo
from babel.messages.pofile import read_po

import edge
from edge.language import LANGUAGES

PACKAGE = Path(edge.__file__).parent
CATALOGUES = PACKAGE / "web" / "translations"
LOCALES = sorted(set(LANGUAGES) - {"en"})
PLACE = re.compile(r"%\((\w+)\)s")


def written(locale: str) -> Catalog:
    with (CATALOGUES / locale / "LC_MESSAGES" / "messages.po").open("rb") as file:
        return read_po(file, locale=locale)


def texts_of_the_source() -> Iterator[tuple[str, str]]:
    methods = [("**.py", "python"), ("web/templates/**.html", "jinja2")]
    keywords = {**DEFAULT_KEYWORDS, "N_": None}
    for name, _, message, _, _ in extract_from_dir(PACKAGE, method_map=methods, keywords=keywords):
        assert isinstance(message, str)
        yield message, name


@pytest.mark.parametrize("locale", LOCALES)
def test_every_text_is_translated(locale: str) -> None:
    catalog = written(locale)
    missing = [
        (message, name)
        for message, name in texts_of_the_source()
        if not (found := catalog.get(message)) or not found.string or found.fuzzy
    ]

    assert missing == [], "translate these, after `make translations`"


@pytest.mark.parametrize("locale", LOCALES)
def test_translations_keep_the_values_of_their_text(locale: str) -> None:
    for message in written(locale):
        if message.id and message.string:
            assert sorted(PLACE.findall(str(message.string))) == sorted(PLACE.findall(str(message.id)))


def test_the_box_has_one_name_in_french() -> None:
    texts = [str(message.string) for message in written("fr") if message.id]
    assert [text for text in texts if re.search("appareil(?! de radio)", text)] == []


@pytest.mark.parametrize("locale", LOCALES)
def test_the_compiled_catalogue_is_the_written_one(locale: str) -> None:
    with (CATALOGUES / locale / "LC_MESSAGES" / "messages.mo").open("rb") as file:
        compiled = read_mo(file)

    assert {m.id: m.string for m in compiled if m.id} == {m.id: m.string for m in written(locale) if m.id and m.string}
