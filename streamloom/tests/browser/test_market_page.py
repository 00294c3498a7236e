"""The market page in a real browser, against a fake of the public API."""

import re

import pytest
from playwright.sync_api import Page, expect

from streamloom.tests.browser.conftest import Visit, wait_for_chart, wait_until
from streamloom.tests.browser.fake_api import START_MS, FakeApi

pytestmark = pytest.mark.browser

MINUTE_MS = 60_000


def inked(page: Page) -> int:
    """How many pixels of the chart's canvases carry another colour than the background."""
    script = """() => [...document.querySelectorAll('#chart canvas')].reduce((sum, canvas) => {
        const { width, height } = canvas;
        if (!width || !height) return sum;
        const { data } = canvas.getContext('2d').getImageData(0, 0, width, height);
        let count = 0;
        for (let i = 0; i < data.length; i += 4) {
            const [r, g, b, a] = [data[i], data[i + 1], data[i + 2], data[i + 3]];
            if (a > 0 && Math.max(r, g, b) - Math.min(r, g, b) > 60) count += 1;
        }
        return sum + count;
    }, 0)"""
    return int(page.evaluate(script))


def test_the_chart_draws_candles_with_price_legend_state_and_coverage(visit: Visit) -> None:
    page = visit.open()

    wait_for_chart(page)

    assert inked(page) > 2_000
    expect(page.locator("#price")).to_have_text("64,000.00")
    expect(page.locator("#legend [data-field=state]")).to_contain_text("forming")
    expect(page.locator("#coverage")).to_contain_text("complete")
    expect(page.locator("#day [data-field=high]")).not_to_be_empty()
    expect(page.locator(".credit a")).to_have_attribute("href", "https://www.tradingview.com/")


def test_a_live_trade_moves_the_price_and_the_title(visit: Visit, api: FakeApi) -> None:
    page = visit.open()
    wait_for_chart(page)

    api.set_price("BTCUSDT", 64_123.45)

    expect(page.locator("#price")).to_have_text("64,123.45")
    expect(page).to_have_title(re.compile(r"^64,123\.45 BTCUSDT"))
    expect(page.locator("#legend [data-field=close]")).to_have_text("64,123.45")


def test_nothing_is_asked_of_another_host_and_nothing_goes_wrong(visit: Visit, api: FakeApi) -> None:
    page = visit.open()
    wait_for_chart(page)
    api.set_price("BTCUSDT", 64_001.0)
    expect(page.locator("#price")).to_have_text("64,001.00")

    page.goto(visit.address + "/status")
    expect(page.locator("#overall")).to_contain_text("degraded")

    assert visit.foreign == []
    assert visit.problems == []


def test_an_interval_is_chosen_by_click_and_by_key_and_kept_in_the_address(visit: Visit) -> None:
    page = visit.open()
    wait_for_chart(page)

    page.get_by_role("button", name="15 minutes").click()
    expect(page).to_have_url(re.compile(r"symbol=BTCUSDT&interval=15m"))
    expect(page.locator("#intervals [aria-pressed=true]")).to_have_text("15m")

    page.keyboard.press("6")
    expect(page).to_have_url(re.compile(r"interval=1h"))

    page.go_back()
    expect(page.locator("#intervals [aria-pressed=true]")).to_have_text("15m")


def test_all_sixteen_intervals_are_offered_and_drawn(visit: Visit) -> None:
    page = visit.open()
    wait_for_chart(page)
    buttons = page.locator("#intervals button")
    assert buttons.count() == 16

    for place in range(16):
        buttons.nth(place).click()
        expect(page.locator("#legend [data-field=state]")).to_contain_text("forming")

    assert visit.problems == []


def test_a_symbol_is_found_by_typing_after_a_slash(visit: Visit) -> None:
    page = visit.open()
    wait_for_chart(page)

    page.keyboard.press("/")
    page.keyboard.type("eth")
    expect(page.get_by_role("option")).to_have_count(1)
    page.keyboard.press("Enter")

    wait_for_chart(page, "ETHUSDT")
    expect(page.locator("#price")).to_have_text("3,100.00")
    expect(page).to_have_url(re.compile(r"symbol=ETHUSDT"))


def test_the_last_symbols_updates_do_not_reach_the_next_one(visit: Visit, api: FakeApi) -> None:
    page = visit.open("/?symbol=ETHUSDT&interval=5m")
    wait_for_chart(page, "ETHUSDT")
    page.keyboard.press("/")
    page.keyboard.type("sol")
    page.keyboard.press("Enter")
    wait_for_chart(page, "SOLUSDT")

    api.set_price("ETHUSDT", 9_999.0)
    api.set_price("SOLUSDT", 143.21)

    expect(page.locator("#price")).to_have_text("143.21")
    assert [wanted for wanted in api.subscriptions.values() if wanted] == [{("SOLUSDT", "5m")}]


def test_after_a_dropped_socket_it_reconnects_and_fetches_what_it_missed(visit: Visit, api: FakeApi) -> None:
    page = visit.open()
    wait_for_chart(page)
    api.refuse_sockets = True

    api.drop_sockets()
    expect(page.locator("#connection")).to_contain_text(
        re.compile(r"reconnecting in \d+ s, stale since \d\d:\d\d:\d\d")
    )
    expect(page.locator("#coverage")).to_contain_text("was complete")
    api.requests.clear()
    # More minutes than a snapshot holds: the rest must come by REST.
    api.advance(300 * MINUTE_MS)
    api.refuse_sockets = False

    expect(page.locator("#connection")).to_have_text("live", timeout=15_000)
    asked = f"from={START_MS // MINUTE_MS * MINUTE_MS}"
    wait_until(page, lambda: any(asked in url for url in api.requests))
    expect(page.locator("#legend [data-field=time]")).to_have_text("2023-11-15 03:13")


def test_scrolling_back_fetches_older_candles(visit: Visit, api: FakeApi) -> None:
    page = visit.open()
    wait_for_chart(page)

    page.mouse.move(500, 300)
    for _ in range(12):
        page.mouse.wheel(-2_000, 0)

    wait_until(page, lambda: any("to=" in url for url in api.requests))
    expect(page.locator("#go-live")).to_be_visible()
    expect(page).to_have_url(re.compile(r"from=\d+&to=\d+"))
    page.locator("#go-live").click()
    expect(page.locator("#go-live")).to_be_hidden()


def test_history_that_comes_in_after_the_page_was_opened_fills_the_chart(visit: Visit, api: FakeApi) -> None:
    api.market.history = 3
    page = visit.open()
    wait_for_chart(page)
    expect(page.locator("#candle-table tbody tr")).to_have_count(3)

    api.market.history = 200
    api.send_past("BTCUSDT", 150)
    api.set_price("BTCUSDT", 64_002.0)

    expect(page.locator("#candle-table tbody tr")).to_have_count(12)
    expect(page.locator("#go-live")).to_be_hidden()
    assert visit.problems == []


def test_a_shared_address_shows_the_same_span_of_the_past(visit: Visit, api: FakeApi) -> None:
    start = START_MS - 900 * MINUTE_MS

    page = visit.open(f"/?symbol=BTCUSDT&interval=1m&from={start}&to={start + 100 * MINUTE_MS}")

    wait_for_chart(page)
    expect(page.locator("#go-live")).to_be_visible()
    wait_until(page, lambda: any("to=" in url for url in api.requests))


def test_missing_ids_are_said_in_words_by_badge_and_legend(visit: Visit, api: FakeApi) -> None:
    api.missing = 3

    page = visit.open()
    wait_for_chart(page)
    for _ in range(25):
        page.keyboard.press("ArrowLeft")

    expect(page.locator("#coverage")).to_contain_text("3 missing")
    expect(page.locator("#legend [data-field=missing]")).to_have_text("⚠ 3 missing")
    expect(page.locator("#spoken-candle")).to_contain_text("3 trades missing")
