"""The operator's page in a real browser."""

import pytest
from playwright.sync_api import expect

from streamloom.tests.browser.conftest import Visit
from streamloom.tests.browser.fake_api import FakeApi

pytestmark = pytest.mark.browser


def test_every_stage_feed_gap_and_topic_is_shown(visit: Visit) -> None:
    page = visit.open("/status")

    expect(page.locator(".stage")).to_have_count(5)
    expect(page.locator(".stage", has_text="sink")).to_contain_text("no heartbeat for 34 s")
    expect(page.locator("#symbols tr")).to_have_count(2)
    expect(page.locator("#gaps")).to_contain_text("101 – 112")
    expect(page.locator("#topics .late")).to_have_text("1,240")
    assert visit.problems == []


def test_it_refreshes_by_itself_and_recovers_from_an_outage(visit: Visit, api: FakeApi) -> None:
    page = visit.open("/status")
    expect(page.locator("#overall")).to_contain_text("degraded")

    page.context.set_offline(True)
    expect(page.locator("#problem")).to_contain_text("cannot be reached")
    api.status_answer["status"] = "ok"
    page.context.set_offline(False)

    expect(page.locator("#overall")).to_contain_text("ok")
    expect(page.locator("#problem")).to_be_hidden()


def test_an_empty_installation_says_the_next_step(visit: Visit, api: FakeApi) -> None:
    api.status_answer.update({"stages": [], "symbols": [], "gaps": [], "topics": []})

    page = visit.open("/status")

    expect(page.locator("#stages")).to_contain_text("make demo")
    expect(page.locator("#symbols")).to_contain_text("manage.py sync_symbols")
    expect(page.locator("#topics")).to_contain_text("manage.py ingest_trades")
