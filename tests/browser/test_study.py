from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from edge.bus import Speaker
from edge.config import Settings
from edge.store.database import connect
from tests.browser.conftest import Open
from tests.support.page import make_result
from tests.support.studies import put_finished_study, put_ready_study


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


def test_contours_are_switched_off_and_on(reading: Page) -> None:
    outline = reading.locator("path.right_lung")
    button = reading.get_by_role("button", name="Contours")
    expect(outline).to_be_visible()

    button.click()
    expect(outline).to_be_hidden()
    expect(button).to_have_attribute("aria-pressed", "false")

    button.click()
    expect(outline).to_be_visible()


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
