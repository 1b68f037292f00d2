"""The whole way with the shipped models: two files go in by C-STORE, a page in a browser shows what they are."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from edge.pipeline.runner import RADIOGRAPH_STAGES
from tests.browser.conftest import Open
from tests.support import inputs
from tests.support.box import WAIT_S, Box, box_settings, served, storescu

PATIENCE_MS = 1000 * WAIT_S
RG1, RG3 = inputs.example("RG1_UNCR.dcm"), inputs.example("RG3_UNCR.dcm")


@pytest.fixture
def running_box() -> Generator[Box, None, None]:
    # The path of a socket is short; pytest's own folders may not be.
    folder = Path(tempfile.mkdtemp())
    with served(box_settings(folder / "var")) as box:
        yield box
    shutil.rmtree(folder)


def row(page: Page, kinds: str) -> Locator:
    return page.locator(", ".join(f'#rows > li[data-kind="{kind}"]' for kind in kinds.split()))


def test_a_chest_is_read_and_a_leg_is_refused_before_the_eyes_of_a_reader(running_box: Box, open_page: Open) -> None:
    page = open_page()
    page.goto(running_box.address)
    expect(page.get_by_text("No study yet.")).to_be_visible()
    page.evaluate("window.sameDocument = true")

    assert storescu(running_box.receiver_port, [RG1, RG3]) == 0

    chest, leg = row(page, "normal abnormal refer"), row(page, "no-result")
    expect(chest).to_have_count(1, timeout=PATIENCE_MS)
    expect(leg).to_contain_text("Not a frontal chest radiograph, no result.", timeout=PATIENCE_MS)
    assert page.evaluate("window.sameDocument")

    is_claim = chest.get_attribute("data-kind") != "refer"
    chest.locator("a").click()
    expect(page.locator("path.right_lung")).to_be_visible()
    expect(page.locator("path.left_lung")).to_be_visible()
    expect(page.locator("#stages tbody tr")).to_have_count(len(RADIOGRAPH_STAGES))
    expect(page.locator("#probabilities")).to_have_count(int(is_claim))
    expect(page.get_by_text("gives no usable pixel spacing")).to_be_visible()
