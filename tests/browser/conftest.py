from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from edge.config import Settings
from tests.support.page import serving
from tests.support.studies import ready_box

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
Open = Callable[..., Page]


@pytest.fixture(scope="session")
def browser() -> Generator[Browser, None, None]:
    """One browser with an empty user data folder; every page below gets a profile of its own."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def box() -> Generator[Settings, None, None]:
    # The path of a socket is short; pytest's own folders may not be.
    folder = Path(tempfile.mkdtemp())
    yield ready_box(folder)
    shutil.rmtree(folder)


@pytest.fixture
def address(box: Settings) -> Generator[str, None, None]:
    with serving(box) as address:
        yield address


@pytest.fixture
def open_page(browser: Browser) -> Generator[Open, None, None]:
    """Opens a touchscreen of the given size and language."""
    contexts: list[BrowserContext] = []

    def opened(width: int = 1280, height: int = 800, language: str = "en") -> Page:
        context = browser.new_context(viewport={"width": width, "height": height}, locale=language, has_touch=True)
        contexts.append(context)
        return context.new_page()

    yield opened
    for context in contexts:
        context.close()
