"""A real browser, and the fake API that it looks at."""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from streamloom.tests.browser.fake_api import FakeApi, make_api
from streamloom.tests.browser.fake_status import STATUS

# Nothing is fetched from outside: without these flags the browser itself would try.
_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for a module: it must be gone before asynchronous tests of other modules want the thread's loop."""
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        reason = "no chromium on this machine: install the package chromium"
        if os.environ.get("STREAMLOOM_REQUIRE_SERVICES") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=_FLAGS)
        yield running
        running.close()


@dataclass
class Visit:
    """A tab and everything that went wrong in it."""

    page: Page
    address: str
    problems: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)

    def open(self, path: str = "/") -> Page:
        """Go to a page of the fake API."""
        self.page.goto(self.address + path)
        return self.page


@pytest.fixture
def api() -> Iterator[FakeApi]:
    """A fake API with the usual market; its address is in ``api.address``."""
    server = make_api()
    server.status_answer = dict(STATUS)
    server.address = server.start()
    yield server
    server.stop()


@pytest.fixture
def visit(browser: Browser, api: FakeApi, request: pytest.FixtureRequest) -> Iterator[Visit]:
    """A new tab. ``@pytest.mark.parametrize("visit", [{...}], indirect=True)`` sets Playwright's context options."""
    context = browser.new_context(**getattr(request, "param", {"viewport": {"width": 1280, "height": 800}}))
    context.set_default_timeout(10_000)
    visit = Visit(context.new_page(), api.address)
    visit.page.on("pageerror", lambda error: visit.problems.append(f"error: {error}"))
    visit.page.on("console", lambda note: visit.problems.append(note.text) if note.type == "error" else None)
    visit.page.on("request", lambda asked: _note_foreign(visit, asked.url))
    yield visit
    context.close()


def _note_foreign(visit: Visit, url: str) -> None:
    if not url.startswith((visit.address, visit.address.replace("http", "ws"), "data:", "blob:")):
        visit.foreign.append(url)


def wait_for_chart(page: Page, symbol: str = "BTCUSDT") -> None:
    """Until candles are drawn and the line is up."""
    expect(page.locator("#connection")).to_have_text("live")
    expect(page.locator("#symbol")).to_have_value(symbol)
    expect(page.locator("#price")).not_to_have_text("–")
    # The chart paints with the frame after its data came.
    page.wait_for_function("() => document.querySelector('#legend [data-field=close]').textContent !== ''")
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def wait_until(page: Page, condition: Callable[[], object], timeout_ms: int = 10_000) -> None:
    """Until the condition holds, while the browser's events are handled."""
    for _ in range(timeout_ms // 50):
        if condition():
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"still not so after {timeout_ms} ms")
