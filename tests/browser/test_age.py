"""The age by touch alone: a box at the X-ray unit has no keyboard."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from edge.config import Settings
from edge.store import queue
from edge.store.database import connect
from tests.browser.conftest import Open
from tests.support.results import AGE_UNKNOWN, complete_result
from tests.support.studies import put_finished_study


@pytest.fixture
def question(box: Settings, address: str, open_page: Open) -> Page:
    """The opened question on the smallest screen."""
    key = put_finished_study(box, complete_result(quality=[AGE_UNKNOWN.as_json()]))
    page = open_page(800, 480)
    page.goto(f"{address}/study/{key}")
    page.get_by_text("How old is the patient?").tap()
    return page


def touch(page: Page, keys: str) -> None:
    for key in keys:
        page.locator("[data-key=back]" if key == "<" else f"[data-key='{key}']").tap()


def test_an_age_is_entered_by_touch_and_the_study_is_read_again(box: Settings, question: Page) -> None:
    touch(question, "45")
    question.get_by_role("button", name="OK").tap()

    expect(question.locator("#decision")).to_contain_text("Reading…")
    database = connect(box.database)
    claimed = queue.claim(database)
    database.close()
    assert claimed is not None and claimed.stated_age_years == 45


@pytest.mark.parametrize(
    ("keys", "years"), [("0", "0"), ("07", "7"), ("121", "12"), ("120", "120"), ("99<5", "95"), ("999", "99")]
)
def test_keys_write_an_age_that_can_be(question: Page, keys: str, years: str) -> None:
    touch(question, keys)

    expect(question.get_by_label("Age in years")).to_have_value(years)
    expect(question.get_by_role("button", name="OK")).to_be_enabled()


def test_nothing_can_be_sent_without_an_age(question: Page) -> None:
    send = question.get_by_role("button", name="OK")
    expect(send).to_be_disabled()

    touch(question, "4<")

    expect(send).to_be_disabled()


def test_all_keys_are_in_sight_at_once(question: Page) -> None:
    for key in (*question.locator("[data-key]").all(), question.get_by_role("button", name="OK")):
        expect(key).to_be_in_viewport(ratio=1)
