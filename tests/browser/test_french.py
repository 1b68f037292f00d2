"""What a French page shows must not be what the English page shows, save for what is no text."""

from __future__ import annotations

from dataclasses import replace

from playwright.sync_api import Page

from edge.config import Settings
from edge.errors import UnreadableError
from edge.pipeline.reading import AGE_STATED
from edge.types import State
from tests.browser.conftest import Open
from tests.support.page import make_result
from tests.support.results import AGE_UNKNOWN, complete_result, make_change, make_severity
from tests.support.studies import put_finished_study, put_quarantined

ALIKE = {
    # Patient data, identifiers and units of the studies below.
    *("Example, Pat", "P-0042", "A-17", "DX", "01234567 INT8", "0123456789abcdef", "–", "‹"),
    *("frontal_gate", "lung_field", "pneumonia", "opacities", "severity"),
    # Codes of the languages and their own names.
    *("EN", "FR", "English", "Français"),
    # Words that both languages share.
    *("Classification", "Normal", "Patient", "Version", "Images", "Brixia", "Brixia +2", "OK"),
}
TEXTS = """() => {
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const texts = [];
  while (walker.nextNode()) texts.push(walker.currentNode.data);
  for (const element of document.querySelectorAll("[aria-label], [title], [alt]"))
    for (const name of ["aria-label", "title", "alt"]) texts.push(element.getAttribute(name) || "");
  return texts.concat(document.title.split(" – ")).map((text) => text.trim()).filter((text) => text);
}"""


def texts(page: Page, address: str) -> set[str]:
    page.goto(address)
    found = page.evaluate(TEXTS)
    return {text for text in found if any(letter.isalpha() for letter in text)}


def _complete_studies(box: Settings) -> list[str]:
    """Every grade and every change, an abstention, both sides of the question for the age, and a disagreement."""
    earlier = put_finished_study(box, complete_result())
    changes = [make_change(earlier, verdict) for verdict in ("better", "same", "worse")]
    severities = [make_severity(grade=grade) for grade in ("none", "mild", "severe")]
    stated = replace(AGE_STATED, values={"years": "45"})
    results = [
        *(complete_result(severity=make_severity(change=change)) for change in changes),
        *(complete_result("normal", severity=severity) for severity in severities),
        complete_result("refer", quality=[AGE_UNKNOWN.as_json()]),
        complete_result(quality=[stated.as_json()]),
    ]
    return [earlier, *(put_finished_study(box, result) for result in results)]


def test_no_english_is_left_on_a_french_page(box: Settings, address: str, open_page: Open) -> None:
    refused = [UnreadableError("multi_frame", frames=12).remark().as_json()]
    everything = dict.fromkeys(
        ("normal", "bacterial", "viral", "covid19", "other_pneumonia", "tuberculosis", "other"), 0.1
    )
    keys = [
        put_finished_study(box, make_result("abnormal", **everything)),
        put_finished_study(box, make_result("normal", group="child", **everything)),
        put_finished_study(box, make_result("refer", group="unknown", **everything)),
        *_complete_studies(box),
        put_finished_study(box, make_result(None), reasons=refused, state=State.NO_RESULT),
        put_quarantined(box, UnreadableError("truncated").remark()),
    ]
    english, french = open_page(language="en"), open_page(language="fr")

    for place in ("/", "/nothing", *(f"/study/{key}" for key in keys)):
        same = texts(english, address + place) & texts(french, address + place)
        left = {text for text in same - ALIKE if not text.startswith("Chest Edge")}
        assert left == set(), place
