from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from edge.bus import Speaker
from edge.config import Settings
from edge.store import studies
from edge.store.database import connect
from tests.browser.conftest import Open
from tests.support.page import make_result
from tests.support.results import (
    AGE_UNKNOWN,
    CUT_OFF,
    ROTATED,
    ZONES,
    complete_result,
    make_change,
    make_severity,
)
from tests.support.studies import put_finished_study, put_ready_study

TOO_SMALL = """() => [...document.querySelectorAll("a, button, summary, input")]
  .map((target) => [target.textContent.trim() || target.id, target.getBoundingClientRect()])
  .filter(([, place]) => place.width > 0 && (place.width < 63.9 || place.height < 63.9))
  .map(([name, place]) => `${name} ${place.width} x ${place.height}`)"""
SPILLING = """() => {
  const spills = (element) => element.scrollWidth > element.clientWidth + 1;
  const parts = [...document.querySelectorAll(
    ".panel, .panel table, .panel td, .panel dl, .panel dd, .panel summary, .panel .button, .legend, .bar")];
  const found = parts.filter(spills).map((part) => part.className || part.tagName + " " + part.textContent.trim());
  if (spills(document.documentElement)) found.push("page");
  const tools = document.querySelector(".tools");
  if (tools.scrollHeight > tools.clientHeight) found.push("tools");
  return found;
}"""


@pytest.fixture
def reading(box: Settings, address: str, open_page: Open) -> Page:
    """The page of a finished study on the usual touchscreen."""
    key = put_finished_study(box, make_result("abnormal", bacterial=0.8, normal=0.1), study_instance_uid="1.2.3")
    page = open_page()
    page.goto(f"{address}/study/{key}")
    return page


def view_box(page: Page) -> list[float]:
    text = page.locator("#picture").get_attribute("viewBox")
    assert text is not None
    return [float(part) for part in text.split()]


def test_opening_a_study_counts_as_seeing_it(box: Settings, reading: Page) -> None:
    expect(reading.locator("#study")).to_be_visible()
    with connect(box.database) as database:
        assert studies.counts(database)["unseen"] == 0


def test_contours_are_switched_off_and_on(reading: Page) -> None:
    outline = reading.locator("path.right_lung")
    button = reading.get_by_role("button", name="Contours")
    expect(outline).to_be_visible()

    button.click()
    expect(outline).to_be_hidden()
    expect(button).to_have_attribute("aria-pressed", "false")

    button.click()
    expect(outline).to_be_visible()


def complete(box: Settings, address: str, open_page: Open, result: dict[str, Any], *size: int) -> Page:
    """The page of a result of the whole pipeline."""
    key = put_finished_study(box, result)
    page = open_page(*size)
    page.goto(f"{address}/study/{key}")
    return page


def test_findings_are_switched_apart_from_the_contours(box: Settings, address: str, open_page: Open) -> None:
    page = complete(box, address, open_page, complete_result())
    mark, line = page.locator("#marks .consolidation .area"), page.locator("path.heart")
    expect(mark).to_be_visible()
    expect(page.locator("#marks-legend")).to_be_visible()

    page.get_by_role("button", name="Findings").tap()
    expect(mark).to_be_hidden()
    expect(page.locator("#marks-legend")).to_be_hidden()
    expect(line).to_be_visible()

    page.get_by_role("button", name="Contours").tap()
    expect(line).to_be_hidden()

    page.get_by_role("button", name="Findings").tap()
    expect(mark).to_be_visible()
    expect(line).to_be_hidden()


def test_the_picture_does_not_jump_when_its_marks_are_taken_off(box: Settings, address: str, open_page: Open) -> None:
    page = complete(box, address, open_page, complete_result())
    before = page.locator("#picture").bounding_box()

    for name in ("Findings", "Contours"):
        page.get_by_role("button", name=name).tap()

    assert page.locator("#picture").bounding_box() == before


def test_findings_of_an_abstention_wait_to_be_asked_for(box: Settings, address: str, open_page: Open) -> None:
    page = complete(box, address, open_page, complete_result("refer"))
    expect(page.locator("#marks")).to_be_hidden()
    expect(page.locator("#severity")).to_be_hidden()

    page.get_by_role("button", name="Findings").tap()
    page.get_by_text("Severity, without a claim").tap()

    expect(page.locator("#marks")).to_be_visible()
    expect(page.locator("#severity")).to_be_visible()


def test_a_box_lies_on_the_picture(box: Settings, address: str, open_page: Open) -> None:
    page = complete(box, address, open_page, complete_result())
    picture, mark = page.locator("#picture image").bounding_box(), page.locator("#marks rect").first.bounding_box()
    assert picture is not None and mark is not None

    # The first finding's box spans columns 100 to 260 of 640, rows 420 to 680 of 800.
    assert (mark["x"] - picture["x"]) / picture["width"] == pytest.approx(100 / 640, abs=0.01)
    assert (mark["y"] - picture["y"]) / picture["height"] == pytest.approx(420 / 800, abs=0.01)
    assert mark["width"] / picture["width"] == pytest.approx(160 / 640, abs=0.01)


@pytest.mark.parametrize("language", ["en", "fr"])
@pytest.mark.parametrize("size", [(1280, 800), (1024, 600), (800, 480)])
def test_everything_fits_and_can_be_touched_with_gloves(
    box: Settings, address: str, open_page: Open, size: tuple[int, int], language: str
) -> None:
    earlier = put_finished_study(box, complete_result())
    severity = make_severity(zones=dict.fromkeys(ZONES, 2.5), brixia=15, change=make_change(earlier))
    quality = [remark.as_json() for remark in (CUT_OFF, AGE_UNKNOWN, ROTATED)]
    key = put_finished_study(box, complete_result(severity=severity, quality=quality))
    page = open_page(*size, language)
    page.goto(f"{address}/study/{key}")
    page.evaluate("for (const fold of document.querySelectorAll('details')) fold.open = true")

    assert page.evaluate(TOO_SMALL) == []
    assert page.evaluate(SPILLING) == []


def test_contours_lie_on_the_picture(reading: Page) -> None:
    picture = reading.locator("#picture image").bounding_box()
    outline = reading.locator("path.right_lung").bounding_box()
    assert picture is not None and outline is not None

    # The result's right lung spans columns 80 to 280 of 640, rows 100 to 700 of 800.
    assert (outline["x"] - picture["x"]) / picture["width"] == pytest.approx(80 / 640, abs=0.01)
    assert (outline["y"] - picture["y"]) / picture["height"] == pytest.approx(100 / 800, abs=0.01)
    assert outline["height"] / picture["height"] == pytest.approx(600 / 800, abs=0.02)


def test_buttons_enlarge_and_show_the_whole_again(reading: Page) -> None:
    whole = view_box(reading)

    reading.get_by_role("button", name="Larger").click()
    assert view_box(reading)[2] < whole[2]

    reading.get_by_role("button", name="Whole image").click()
    assert view_box(reading) == whole


def test_it_never_gets_smaller_than_the_whole(reading: Page) -> None:
    whole = view_box(reading)

    reading.get_by_role("button", name="Smaller").click()

    assert view_box(reading) == whole


def test_an_enlarged_picture_is_dragged_and_stays_in_sight(reading: Page) -> None:
    reading.get_by_role("button", name="Larger").click()
    before = view_box(reading)

    drag(reading, 60, 40)
    after = view_box(reading)
    assert after[0] < before[0]
    assert after[1] < before[1]

    drag(reading, 5000, 5000)
    assert view_box(reading)[:2] == [0, 0]


def drag(page: Page, dx: float, dy: float) -> None:
    place = page.locator("#picture").bounding_box()
    assert place is not None
    x, y = place["x"] + place["width"] / 2, place["y"] + place["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + dx, y + dy, steps=4)
    page.mouse.up()


def test_two_fingers_enlarge_around_what_is_between_them(reading: Page) -> None:
    place = reading.locator("#picture").bounding_box()
    assert place is not None
    x, y = place["x"] + place["width"] / 2, place["y"] + place["height"] / 2
    whole = view_box(reading)

    pinch(reading, x, y, distances=(40, 80, 120))

    x0, y0, width, height = view_box(reading)
    assert whole[2] / width == pytest.approx(3, rel=0.05)
    assert [x0 + width / 2, y0 + height / 2] == pytest.approx([whole[2] / 2, whole[3] / 2], rel=0.05)


def pinch(page: Page, x: float, y: float, distances: tuple[int, ...]) -> None:
    session = page.context.new_cdp_session(page)
    kinds = ["touchStart"] + ["touchMove"] * (len(distances) - 1)
    for kind, distance in zip(kinds, distances, strict=True):
        points = [{"x": x - distance, "y": y, "id": 1}, {"x": x + distance, "y": y, "id": 2}]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def test_greys_are_inverted_and_back(reading: Page) -> None:
    image = reading.locator("#picture image")
    button = reading.get_by_role("button", name="Inverted greys")

    button.click()
    expect(image).to_have_css("filter", "invert(1)")

    button.click()
    expect(image).to_have_css("filter", "none")


def test_a_waiting_page_shows_its_result_by_itself(box: Settings, address: str, open_page: Open) -> None:
    database = connect(box.database)
    key = put_ready_study(database, study_instance_uid="1.2.3")
    database.close()
    page = open_page()
    page.goto(f"{address}/study/{key}")
    expect(page.locator("#decision")).to_contain_text("Reading…")

    assert put_finished_study(box, make_result("normal", normal=0.9), study_instance_uid="1.2.3") == key
    wake_until(box, page, "#decision.normal")

    expect(page.locator("#decision")).to_contain_text("No pneumonia seen")


def test_a_finished_page_offers_a_newer_reading_and_does_not_change_by_itself(box: Settings, reading: Page) -> None:
    put_finished_study(box, make_result("normal", normal=0.9), study_instance_uid="1.2.3")
    wake_until(box, reading, "#newer:visible")
    expect(reading.locator("#decision")).to_contain_text("Pneumonia suspected")

    reading.locator("#newer").click()

    expect(reading.locator("#decision")).to_contain_text("No pneumonia seen")


def wake_until(box: Settings, page: Page, selector: str) -> None:
    speaker = Speaker(box.run_dir, "worker")
    for _ in range(100):
        speaker.wake(1)
        page.wait_for_timeout(100)
        if page.locator(selector).count():
            break
    speaker.close()
