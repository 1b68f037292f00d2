"""The slices of a chest CT under a finger, on keys, and on a screen with little memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import cycle, islice

import pytest
from playwright.sync_api import Page, expect

from edge.config import Settings
from edge.store.stack import Stack
from tests.browser.conftest import Open
from tests.browser.test_study import SPILLING, TOO_SMALL, pinch, view_box
from tests.support.ct_result import change, chest_result, phantom, put_ct, severity, stack_of, tissue_of

COUNT_BITMAPS = """(() => {
  const alive = { now: 0, most: 0 };
  const make = window.createImageBitmap, close = ImageBitmap.prototype.close;
  window.createImageBitmap = async (...given) => {
    const made = await make(...given);
    alive.most = Math.max(alive.most, ++alive.now);
    return made;
  };
  ImageBitmap.prototype.close = function () { alive.now--; return close.call(this); };
  window.alive = alive;
})()"""
# What lies on the canvas is told from its pixels: their sum changes with each slice, window and overlay.
DRAWN = """(id) => {
  const canvas = document.getElementById(id + "-canvas");
  const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  let sum = 0, colour = 0;
  for (let i = 0; i < pixels.length; i += 4) {
    sum = (sum * 31 + pixels[i] + pixels[i + 1]) % 1000003;
    colour += Math.abs(pixels[i] - pixels[i + 2]);
  }
  return [sum, colour / pixels.length];
}"""


@pytest.fixture
def chest(box: Settings, address: str, open_page: Open) -> Page:
    """The page of a CT of 30 slices on the usual touchscreen."""
    return shown(open_page(), address, put_ct(box))


def shown(page: Page, address: str, key: str) -> Page:
    page.goto(f"{address}/study/{key}")
    expect(page.locator(".still")).to_have_count(0)
    return page


def at(page: Page, number: int, count: int = 30) -> None:
    """Caption, slider, and what a screen reader says all tell this slice."""
    expect(page.locator("#picture-number")).to_have_text(f"Slice {number} of {count}")
    expect(page.locator("#slider")).to_have_value(str(number))
    expect(page.locator("#slider")).to_have_attribute("aria-valuetext", f"Slice {number} of {count}")
    expect(page.locator("#said")).to_have_text(f"Slice {number} of {count}")


def drawn(page: Page, plane: str = "picture") -> list[float]:
    found: list[float] = page.evaluate(DRAWN, plane)
    return found


def touch(page: Page, *places: tuple[float, float]) -> None:
    """One finger put down, moved from place to place, and lifted."""
    session = page.context.new_cdp_session(page)
    for number, (x, y) in enumerate(places):
        kind = "touchMove" if number else "touchStart"
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y, "id": 1}]})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def middle(page: Page, selector: str = "#picture") -> tuple[float, float]:
    place = page.locator(selector).bounding_box()
    assert place is not None
    return place["x"] + place["width"] / 2, place["y"] + place["height"] / 2


def test_a_finger_drags_through_the_slices(chest: Page) -> None:
    x, y = middle(chest)
    at(chest, 15)
    touch(chest, (x, y), (x, y + 20), (x, y + 61))
    at(chest, 20)
    touch(chest, (x, y), (x, y - 61))
    at(chest, 15)
    touch(chest, (x, y), (x, y + 500), (x, y + 5000))
    at(chest, 30)


def test_wheel_and_keys_scroll_and_stop_at_the_ends(chest: Page) -> None:
    x, y = middle(chest)
    chest.mouse.move(x, y)
    chest.mouse.wheel(0, 100)
    at(chest, 16)
    chest.mouse.wheel(0, -100)
    chest.mouse.wheel(0, -100)
    at(chest, 14)
    for target in ("#picture", "#slider"):
        chest.locator(target).focus()
        steps = (("ArrowDown", 15), ("ArrowUp", 14), ("PageDown", 24), ("End", 30), ("ArrowDown", 30), ("Home", 1))
        for key, number in (*steps, ("ArrowUp", 1), ("PageDown", 11), ("ArrowRight", 12), ("ArrowLeft", 11)):
            chest.keyboard.press(key)
            expect(chest.locator("#picture-number")).to_have_text(f"Slice {number} of 30")
        for _ in range(3):
            chest.keyboard.press("ArrowDown")
    at(chest, 14)


def test_buttons_go_to_the_next_and_the_slice_before(chest: Page) -> None:
    chest.get_by_role("button", name="Slice below").tap()
    at(chest, 16)
    for _ in range(2):
        chest.get_by_role("button", name="Slice above").tap()
    at(chest, 14)


def test_a_slice_that_was_missing_is_called_so(chest: Page) -> None:
    chest.locator("#picture").press("Home")
    at(chest, 1)
    chest.locator("#next").click()
    expect(chest.locator("#picture-number")).to_have_text("Slice 2 of 30: missing, filled in")
    chest.locator("#next").click()
    at(chest, 3)


def test_the_slider_is_dragged_from_head_to_feet(chest: Page) -> None:
    place = chest.locator("#slider").bounding_box()
    assert place is not None
    x, y = middle(chest, "#slider")
    touch(chest, (x, y), (x, y + 60), (x, place["y"] + place["height"] - 5))
    at(chest, 30)
    touch(chest, (x, place["y"] + place["height"] - 30), (x, y), (x, place["y"] + 5))
    at(chest, 1)


def test_the_overview_jumps_to_the_level_that_is_touched(chest: Page) -> None:
    overview, line = chest.locator("#overview image").first.bounding_box(), chest.locator("#level")
    assert overview is not None
    x, top, height = overview["x"] + overview["width"] / 2, overview["y"], overview["height"]
    touch(chest, (x, top + 0.25 * height))
    at(chest, 8)
    level = line.bounding_box()
    assert level is not None
    assert (level["y"] + level["height"] / 2 - top) / height == pytest.approx(7.5 / 30, abs=0.02)
    touch(chest, (x, top + 0.25 * height), (x, top + 0.5 * height), (x, top + 0.9 * height - 1))
    at(chest, 27)
    touch(chest, (x, top + 0.5 * height), (x, top - 300))
    at(chest, 1)


def test_a_lesion_leads_to_its_slice(chest: Page) -> None:
    lesion = chest.locator("#lesions button").nth(2)
    expect(lesion).to_contain_text("Left middle zone")
    lesion.tap()
    at(chest, 20)


def test_windows_and_overlay_change_what_is_drawn(chest: Page) -> None:
    lung = chest.get_by_role("button", name="Lung window")
    overlay = chest.get_by_role("button", name="Lungs and opacities")
    first = drawn(chest)
    assert first[1] > 1

    overlay.tap()
    expect(overlay).to_have_attribute("aria-pressed", "false")
    expect(chest.locator("#overview-tissue")).to_be_hidden()
    expect(chest.locator("#tissue-legend")).to_be_hidden()
    grey = drawn(chest)
    assert grey[1] == 0

    chest.get_by_role("button", name="Mediastinum window").tap()
    expect(lung).to_have_attribute("aria-pressed", "false")
    wait(chest, lambda: drawn(chest) != grey)
    assert drawn(chest)[1] == 0

    lung.tap()
    overlay.tap()
    wait(chest, lambda: drawn(chest) == first)


def wait(page: Page, holds: Callable[[], bool]) -> None:
    for _ in range(100):
        if holds():
            return
        page.wait_for_timeout(50)
    raise AssertionError("it did not come about")


def test_keys_change_window_and_overlay(chest: Page) -> None:
    chest.locator("#picture").focus()
    for key, name, pressed in (("m", "Mediastinum window", "true"), ("l", "Mediastinum window", "false")):
        chest.keyboard.press(key)
        expect(chest.get_by_role("button", name=name)).to_have_attribute("aria-pressed", pressed)
    chest.keyboard.press("o")
    expect(chest.get_by_role("button", name="Lungs and opacities")).to_have_attribute("aria-pressed", "false")


def test_an_enlarged_slice_is_moved_by_one_finger_and_scrolled_by_the_buttons(chest: Page) -> None:
    x, y = middle(chest)
    whole = view_box(chest)
    pinch(chest, x, y, distances=(40, 80, 120))
    near = view_box(chest)
    assert whole[2] / near[2] == pytest.approx(3, rel=0.05)
    at(chest, 15)

    touch(chest, (x, y), (x, y + 40), (x, y + 80))
    assert view_box(chest)[1] < near[1]
    at(chest, 15)

    # The browser takes what follows within the blink of an eye for the same gesture; no hand is that fast.
    chest.wait_for_timeout(700)
    chest.get_by_role("button", name="Slice below").tap()
    at(chest, 16)
    assert view_box(chest)[2] == near[2]
    chest.get_by_role("button", name="Whole image").tap()
    assert view_box(chest) == whole


def long_stack(slices: int) -> Stack:
    made = phantom()
    short = stack_of(made.volume.hu, tissue_of(made))

    def repeated(pictures: Iterable[bytes]) -> list[bytes]:
        return list(islice(cycle(pictures), slices))

    meta = replace(short.meta, slices=slices, slice_uids=("1.2.3",) * slices)
    return replace(
        short,
        meta=meta,
        lung=repeated(short.lung),
        mediastinum=repeated(short.mediastinum),
        tissue=repeated(short.tissue),
    )


def test_800_slices_keep_about_40_of_them_in_memory(box: Settings, address: str, open_page: Open) -> None:
    result = chest_result(series=chest_result()["series"] | {"slices": 800})
    page = open_page()
    page.add_init_script(COUNT_BITMAPS)
    shown(page, address, put_ct(box, result, long_stack(800)))
    at(page, 400, 800)
    x, y = middle(page)
    for step in range(20):
        touch(page, (x, y), (x, y + 120))
        page.mouse.move(x, y)
        page.mouse.wheel(0, 100 * (-1) ** step)
    page.locator("#slider").focus()
    for key in ("Home", "PageDown", "End", "PageUp", "Home", "End"):
        page.keyboard.press(key)
    at(page, 800, 800)
    page.wait_for_timeout(500)
    alive = page.evaluate("window.alive")
    # A slice is two bitmaps: its greys and its tissues. Four slices more may be on their way.
    assert 20 < alive["now"] <= 2 * 40
    assert alive["most"] <= 2 * (40 + 4)
    assert page.locator("img, image").count() < 5


def test_slices_ahead_of_the_finger_are_there_before_it(box: Settings, address: str, open_page: Open) -> None:
    page = open_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    shown(page, address, put_ct(box, made=long_stack(200)))
    page.locator("#picture").focus()
    page.keyboard.press("ArrowDown")
    page.wait_for_timeout(1000)
    fetched = {int(url.split("/")[-1].split(".")[0]) for url in asked if "/stack/lung/" in url}
    assert fetched >= set(range(95, 125))
    asked.clear()
    page.keyboard.press("PageDown")
    assert not [url for url in asked if url.endswith("/lung/111.jpg")]


def compared(box: Settings) -> str:
    earlier = put_ct(box)
    registration = {"to": "prior", "aligned": True, "residual": 0.1, "matched": [None, None, *range(1, 29)]}
    return put_ct(box, chest_result(registration=registration, severity=severity(change=change(earlier, version=1))))


@pytest.mark.parametrize("size", [(1280, 800), (800, 1280)])
def test_an_earlier_ct_scrolls_beside_the_newer_one_at_the_same_level(
    box: Settings, address: str, open_page: Open, size: tuple[int, int]
) -> None:
    page = shown(open_page(*size), address, compared(box))
    expect(page.locator("#prior")).to_be_hidden()
    page.get_by_role("button", name="Compare with the earlier CT").tap()
    expect(page.locator("#prior-number")).to_have_text("Slice 13 of 30")
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]

    x, y = middle(page, "#prior")
    touch(page, (x, y), (x, y + 61))
    expect(page.locator("#picture-number")).to_have_text("Slice 20 of 30")
    expect(page.locator("#prior-number")).to_have_text("Slice 18 of 30")
    pinch(page, x, y, distances=(40, 80))
    assert page.locator("#prior").get_attribute("viewBox") == page.locator("#picture").get_attribute("viewBox")
    assert view_box(page)[2] < 133

    page.locator("#slider").focus()
    page.keyboard.press("Home")
    expect(page.locator("#prior-none")).to_have_text("The earlier CT has no slice at this level.")
    expect(page.locator("#prior-number")).to_have_text("–")
    page.keyboard.press("PageDown")
    expect(page.locator("#prior-none")).to_be_hidden()

    page.get_by_role("button", name="Compare with the earlier CT").tap()
    expect(page.locator("#prior")).to_be_hidden()
    expect(page.locator("#decision")).to_be_visible()


def test_a_slice_that_is_lost_says_so_and_never_shows_another_in_its_place(chest: Page) -> None:
    chest.route("**/lung/29.jpg", lambda route: route.fulfill(status=404))
    chest.locator("#picture").focus()
    chest.keyboard.press("End")
    at(chest, 30)
    chest.keyboard.press("ArrowUp")
    expect(chest.locator("#picture-none")).to_have_text("This slice cannot be shown.")
    expect(chest.locator("#picture-number")).to_have_text("Slice 29 of 30")
    assert drawn(chest) == [0, 0]
    chest.unroute("**/lung/29.jpg")
    chest.keyboard.press("ArrowUp")
    expect(chest.locator("#picture-none")).to_be_hidden()


@pytest.mark.parametrize("language", ["en", "fr"])
@pytest.mark.parametrize("size", [(1280, 800), (800, 1280), (1024, 600), (800, 480)])
def test_a_ct_fits_and_can_be_touched_with_gloves(
    box: Settings, address: str, open_page: Open, size: tuple[int, int], language: str
) -> None:
    page = shown(open_page(*size, language), address, compared(box))
    page.evaluate("for (const fold of document.querySelectorAll('details')) fold.open = true")
    assert page.evaluate(TOO_SMALL) == []
    assert page.evaluate(SPILLING) == []
    verdict = page.locator("#decision").bounding_box()
    assert verdict is not None and verdict["y"] + verdict["height"] <= size[1]
    picture = page.locator("#picture").bounding_box()
    assert picture is not None and min(picture["width"], picture["height"]) > 0.3 * min(size)


def test_nothing_is_asked_of_the_page_that_its_policy_forbids(box: Settings, address: str, open_page: Open) -> None:
    page = open_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    shown(page, address, compared(box))
    for name in ("Compare with the earlier CT", "Mediastinum window", "Larger", "Lungs and opacities", "Slice below"):
        page.get_by_role("button", name=name, exact=True).tap()
    page.wait_for_timeout(300)
    assert said == []
