"""A USB stick by touch: a real mount, the real process that reads it, and the page, in both languages."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from edge.config import IntakeSettings, Settings, WebSettings
from edge.store import sticks
from edge.store.database import connect
from edge.store.sticks import NOTHING, StickState
from tests.browser.conftest import Open
from tests.browser.test_worklist import SMALLEST_TARGET_PX
from tests.support import inputs
from tests.support.box import eventually, running

needs_mount = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")


@pytest.fixture
def media(tmp_path: Path) -> Path:
    folder = tmp_path / "media"
    (folder / "stick").mkdir(parents=True)
    return folder


@pytest.fixture
def with_sticks(box: Settings, media: Path) -> Settings:
    return replace(box, intake=IntakeSettings(usb=str(media)), web=WebSettings(port=0))


@pytest.fixture
def address(with_sticks: Settings) -> Iterator[str]:
    port = with_sticks.run_dir / "web.port"
    with running("web", with_sticks), running("intake", with_sticks):
        eventually(port.exists)
        yield f"http://127.0.0.1:{int(port.read_text())}"


@contextmanager
def mounted(files: Path, place: Path) -> Generator[None, None, None]:
    subprocess.run(["mount", "--bind", str(files), str(place)], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro,noexec,nosuid,nodev", str(place)], check=True)
        yield
    finally:
        subprocess.run(["umount", str(place)], check=True)


def put(box: Settings, state: StickState, **counts: object) -> None:
    with connect(box.database) as database:
        stick = sticks.arrive(database, "a mount that nobody looks at", is_writable=False)
        sticks.move(database, stick.stick_id, state, replace(NOTHING, **counts))  # type: ignore[arg-type]


def shot(page: Page, name: str) -> None:
    if folder := os.environ.get("SCREENSHOTS"):
        page.screenshot(path=f"{folder}/{name}.png")


@needs_mount
@pytest.mark.parametrize("language", ["en", "fr"])
def test_a_stick_is_noticed_taken_in_by_one_touch_and_may_be_removed(
    with_sticks: Settings, address: str, open_page: Open, tmp_path: Path, language: str
) -> None:
    media = Path(with_sticks.intake.usb)
    for number in range(3):
        inputs.chest_dicom(tmp_path / f"IM{number}")
    inputs.text_file(tmp_path / "letter.txt")
    words = {
        "en": ("Ready to take in.", "Take in", "All done.", "You can remove the stick now.", "No USB stick."),
        "fr": ("Prête à être importée.", "Importer", "Terminé.", "Vous pouvez retirer la clé.", "Aucune clé USB."),
    }
    ready, take, done, safe, empty = words[language]
    page = open_page(language=language)
    page.goto(address)
    page.locator("a[href='/stick']").tap()
    expect(page.get_by_text(empty)).to_be_visible()
    shot(page, f"stick-none-{language}")
    with mounted(tmp_path, media / "stick"):
        expect(page.get_by_text(ready)).to_be_visible(timeout=40_000)
        expect(page.locator(".amounts dd").nth(1)).to_have_text("3")
        expect(page.locator("#untouched")).to_be_visible()
        expect(page.get_by_text(safe)).to_have_count(0)
        shot(page, f"stick-ready-{language}")
        page.get_by_role("button", name=take, exact=True).tap()
        expect(page.get_by_text(done)).to_be_visible(timeout=40_000)
        expect(page.locator(".amounts dd").first).to_have_text("3")
        expect(page.get_by_text(safe)).to_be_visible()
        shot(page, f"stick-taken-{language}")
        assert len(list(with_sticks.incoming.iterdir())) == 3
    expect(page.get_by_text(empty)).to_be_visible(timeout=40_000)


@pytest.mark.parametrize("language", ["en", "fr"])
@pytest.mark.parametrize("state", [StickState.TAKING, StickState.PULLED, StickState.NO_ROOM], ids=lambda s: s.value)
def test_every_state_fits_the_screen_and_can_be_touched(
    box: Settings, address: str, open_page: Open, state: StickState, language: str
) -> None:
    page = open_page(language=language)
    eventually((box.run_dir / "web.port").exists)
    put(box, state, total=240, studies=31, taken=97, known=20, others=3, refused={"other_kind": 2, "unopenable": 1})
    page.goto(f"{address}/stick")
    shown = page.locator(".stick")
    expect(shown).to_have_attribute("data-state", state.value)
    expect(shown).to_be_in_viewport(ratio=0.99)
    shot(page, f"stick-{state.value}-{language}")
    if state is StickState.TAKING:
        expect(page.get_by_role("progressbar")).to_have_js_property("value", 120)
        expect(page.get_by_role("progressbar")).to_have_js_property("max", 240)
    for target in page.locator("a, button").all():
        size = target.bounding_box()
        assert size is not None and min(size["width"], size["height"]) >= SMALLEST_TARGET_PX
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
