from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

from edge.bus import Speaker
from edge.config import Settings
from tests.browser.conftest import Open
from tests.support.page import make_result
from tests.support.studies import put_finished_study

SMALLEST_TARGET_PX = 64
SLOW_LOOK_MS = 20_000


def stop_the_clock(page: Page) -> None:
    """From now on the page's own timers do nothing, so that only wake-ups can bring news."""
    page.clock.install(time=0)
    page.clock.pause_at(1000)


def test_a_study_appears_by_a_wake_up_without_a_reload(box: Settings, address: str, open_page: Open) -> None:
    page = open_page()
    stop_the_clock(page)
    page.goto(address)
    expect(page.get_by_text("No study yet.")).to_be_visible()
    page.evaluate("window.sameDocument = true")

    key = put_finished_study(box, make_result("abnormal", bacterial=0.9))
    speaker = Speaker(box.run_dir, "worker")
    row = page.locator(f"#study-{key}")
    # A subscriber joins late, so that the first words may be lost.
    for _ in range(100):
        speaker.wake(1)
        page.wait_for_timeout(100)
        if row.count():
            break
    speaker.close()

    expect(row).to_contain_text("Pneumonia suspected")
    expect(page.get_by_text("No study yet.")).to_have_count(0)
    assert page.evaluate("window.sameDocument")


def test_a_lost_wake_up_costs_time_and_not_the_study(box: Settings, address: str, open_page: Open) -> None:
    page = open_page()
    stop_the_clock(page)
    page.goto(address)
    expect(page.get_by_text("No study yet.")).to_be_visible()

    key = put_finished_study(box, make_result("normal", normal=0.9))
    page.clock.run_for(SLOW_LOOK_MS)

    expect(page.locator(f"#study-{key}")).to_contain_text("No pneumonia seen")


def test_a_row_that_says_the_same_stays_the_same_element(box: Settings, address: str, open_page: Open) -> None:
    old = put_finished_study(box, make_result("normal", normal=0.9))
    page = open_page()
    stop_the_clock(page)
    page.goto(address)
    page.locator(f"#study-{old}").evaluate("row => row.kept = true")

    new = put_finished_study(box, make_result("normal", normal=0.9))
    page.clock.run_for(SLOW_LOOK_MS)

    expect(page.locator("#rows > li").first).to_have_id(f"study-{new}")
    assert page.locator(f"#study-{old}").evaluate("row => row.kept")


def test_no_row_moves_under_a_finger(box: Settings, address: str, open_page: Open) -> None:
    put_finished_study(box, make_result("normal", normal=0.9))
    page = open_page()
    stop_the_clock(page)
    page.goto(address)
    page.mouse.move(640, 700)
    page.mouse.down()
    new = put_finished_study(box, make_result("normal", normal=0.9))
    with page.expect_response("**/worklist"):
        page.clock.run_for(SLOW_LOOK_MS)
    expect(page.locator("#rows > li")).to_have_count(1)

    page.mouse.up()
    page.clock.run_for(100)

    expect(page.locator("#rows > li").first).to_have_id(f"study-{new}")


def test_a_page_whose_box_is_gone_says_so(box: Settings, address: str, open_page: Open) -> None:
    page = open_page()
    stop_the_clock(page)
    page.goto(address)
    expect(page.locator("#stale")).to_be_hidden()

    page.route("**/worklist", lambda route: route.abort())
    page.clock.run_for(SLOW_LOOK_MS)

    expect(page.locator("#stale")).to_be_visible()


def test_no_request_leaves_the_machine_and_nothing_is_blocked(box: Settings, address: str, open_page: Open) -> None:
    key = put_finished_study(box, make_result("abnormal", bacterial=0.9))
    page = open_page()
    requests: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))

    page.goto(address)
    page.locator(f"#study-{key} a").click()
    expect(page.locator("#decision")).to_be_visible()
    page.goto(f"{address}/nothing")

    assert any("picture.jpg" in url for url in requests)
    assert {urlsplit(url).netloc for url in requests} == {urlsplit(address).netloc}
    assert [text for text in complaints if "404" not in text] == []


@pytest.mark.parametrize("size", [(1280, 800), (800, 480)])
@pytest.mark.parametrize("language", ["en", "fr"])
def test_every_target_suits_a_glove_and_nothing_overflows(
    box: Settings, address: str, open_page: Open, size: tuple[int, int], language: str
) -> None:
    key = put_finished_study(box, make_result("abnormal", bacterial=0.9), patient_name="W" * 64, patient_id="8" * 64)
    page = open_page(*size, language)

    for place in ("/", f"/study/{key}", "/nothing"):
        page.goto(address + place)
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
        for target in page.locator("a:visible, button:visible").all():
            box_px = target.bounding_box()
            assert box_px is not None
            assert min(box_px["width"], box_px["height"]) >= SMALLEST_TARGET_PX, target.inner_text()


def test_a_hostile_name_is_only_text(box: Settings, address: str, open_page: Open) -> None:
    name = "<script>document.body.remove()</script>\"'><svg/onload>&amp;"
    put_finished_study(box, make_result("normal", normal=0.9), patient_name=name)
    page = open_page()
    page.goto(address)

    expect(page.locator(".name")).to_have_text(name)
    expect(page.locator("script")).to_have_count(1)
