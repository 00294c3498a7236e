"""The market page for everyone: dark and light, keyboard, phone, screen reader, nothing to show, no foreign code."""

import pytest
from playwright.sync_api import Page, expect

from streamloom.tests.browser.conftest import Visit, wait_for_chart
from streamloom.tests.browser.fake_api import FakeApi

pytestmark = pytest.mark.browser

PHONE = {"viewport": {"width": 390, "height": 780}, "has_touch": True, "is_mobile": True}


@pytest.mark.parametrize("visit", [{"color_scheme": "dark"}, {"color_scheme": "light"}], indirect=True)
def test_dark_and_light_follow_the_system_until_one_is_chosen(visit: Visit, request: pytest.FixtureRequest) -> None:
    page = visit.open()
    wait_for_chart(page)
    is_dark = request.node.callspec.params["visit"]["color_scheme"] == "dark"
    assert brightness(page) < 60 if is_dark else brightness(page) > 200

    page.keyboard.press("t")  # dark
    page.keyboard.press("t")  # light

    assert brightness(page) > 200
    page.reload()
    wait_for_chart(page)
    assert brightness(page) > 200


def brightness(page: Page) -> float:
    """0 to 255, of the page and of the chart's own background, whichever is nearer to the middle."""
    script = """() => {
        const canvas = document.querySelector('#chart canvas');
        const drawn = [...canvas.getContext('2d').getImageData(3, 3, 1, 1).data].slice(0, 3);
        const body = getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).map(Number);
        const mean = (parts) => parts.reduce((sum, part) => sum + part, 0) / 3;
        return [mean(drawn), mean(body)];
    }"""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    values: list[float] = page.evaluate(script)
    return min(values, key=lambda value: abs(value - 128))


def test_the_question_mark_shows_the_keys_and_escape_closes_them(visit: Visit) -> None:
    page = visit.open()
    wait_for_chart(page)

    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()

    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()


@pytest.mark.parametrize("visit", [PHONE], indirect=True)
@pytest.mark.parametrize("path", ["/", "/status"])
def test_a_phone_needs_no_sideways_scrolling(visit: Visit, path: str) -> None:
    page = visit.open(path)

    if path == "/":
        wait_for_chart(page)
        expect(page.locator("#candle-table tbody tr")).not_to_have_count(0)
    else:
        expect(page.locator(".stage")).not_to_have_count(0)

    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_screen_reader_gets_the_last_candles_as_a_table(visit: Visit) -> None:
    page = visit.open()
    wait_for_chart(page)

    rows = page.locator("#candle-table").get_by_role("row")

    expect(rows).to_have_count(13)
    expect(rows.nth(1)).to_contain_text("forming")


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/?symbol=NOSUCH", "NOSUCH is not known here"),
        ("/?symbol=DOGEUSDT", "No candles of DOGEUSDT yet"),
    ],
)
def test_an_empty_chart_says_the_next_step(visit: Visit, path: str, words: str) -> None:
    page = visit.open(path)

    expect(page.locator("#notice")).to_contain_text(words)
    expect(page.locator("#notice a")).not_to_have_count(0)


def test_without_a_watched_symbol_the_page_says_how_to_get_one(visit: Visit, api: FakeApi) -> None:
    api.watched = []

    page = visit.open()

    expect(page.locator("#notice")).to_contain_text("manage.py sync_symbols")


def test_the_pages_forbid_anything_from_elsewhere(visit: Visit) -> None:
    answer = visit.page.goto(visit.address)

    assert answer is not None
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
