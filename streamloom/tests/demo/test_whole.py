"""The whole product as a person starts it: from the exchange to the page, and through SIGKILL."""

import random
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from ingestion.binance.simulator.server import SimulatedExchange, SimulatorConfig
from streamloom.tests.demo.running import RunningDemo

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SYMBOL = "BTCUSDT"
ARGUMENTS = ("--symbols", "BTCUSDT,ETHUSDT", "--history", "10m")


@pytest.fixture(scope="module")
def exchange() -> Iterator[SimulatedExchange]:
    """A made-up market that goes on while the demo is dead."""
    made = SimulatedExchange(SimulatorConfig(seed=11))
    made.start(port=0)
    yield made
    made.stop()


@pytest.fixture
def demo(exchange: SimulatedExchange, tmp_path: Path) -> Iterator[RunningDemo]:
    running = RunningDemo(exchange, tmp_path, *ARGUMENTS)
    yield running
    running.kill()


def complete(demo: RunningDemo) -> Any:
    """The coverage of the symbol once history is in and nothing is missing; else None."""
    coverage = demo.get(f"/coverage?symbol={SYMBOL}")
    held = coverage and coverage["held"] and not coverage["missing"] and not coverage["gaps"]
    return coverage if held and coverage["last_time"] - coverage["first_time"] > 540_000 else None


def stored_trades(demo: RunningDemo, from_id: int, to_id: int) -> list[tuple[int, str, str]]:
    """Trades as the API lists them, page by page."""
    found: list[tuple[int, str, str]] = []
    path = f"/trades?symbol={SYMBOL}&from_id={from_id}&limit=5000"
    while page := demo.get(path):
        found += [(row["trade_id"], row["price"], row["qty"]) for row in page["trades"]]
        if page["next"] is None or found[-1][0] >= to_id:
            break
        path = f"/trades?symbol={SYMBOL}&limit=5000&cursor={page['next']}"
    return [row for row in found if row[0] <= to_id]


def true_trades(exchange: SimulatedExchange, from_id: int, to_id: int) -> list[tuple[int, str, str]]:
    """The same trades as the exchange lists them."""
    found: list[tuple[int, str, str]] = []
    while from_id <= to_id:
        query = {"symbol": SYMBOL, "fromId": from_id, "limit": 1000}
        rows = httpx2.get(f"{exchange.rest_url}/api/v3/aggTrades", params=query).raise_for_status().json()
        found += [(row["a"], row["p"], row["q"]) for row in rows]
        from_id = found[-1][0] + 1
    return [row for row in found if row[0] <= to_id]


def stored_candles(demo: RunningDemo, start: int) -> list[tuple[Any, ...]]:
    """The closed minutes from ``start`` on."""
    fields = ("open_time", "open", "high", "low", "close", "volume", "close_time", "quote_volume", "trades")
    page = demo.get(f"/candles?symbol={SYMBOL}&interval=1m&from={start}") or {"candles": []}
    return [tuple(candle[field] for field in fields) for candle in page["candles"]]


def true_candles(exchange: SimulatedExchange, start: int, minutes: int) -> list[tuple[Any, ...]]:
    """The same minutes as the exchange reports them."""
    query = {"symbol": SYMBOL, "interval": "1m", "startTime": start, "limit": minutes}
    rows = httpx2.get(f"{exchange.rest_url}/api/v3/klines", params=query).raise_for_status().json()
    return [tuple(row[:9]) for row in rows]


def test_it_opens_fills_the_chart_lets_the_admin_in_and_stops_cleanly(demo: RunningDemo) -> None:
    demo.until(lambda: demo.get("/health"), "the port and /health")
    demo.until(lambda: "curl" in demo.said, "the welcome")
    demo.until(lambda: len(stored_candles(demo, 0)) >= 9, "the history's candles")

    [command] = re.findall(r"^.*(curl .*)$", demo.said, re.MULTILINE)
    [password] = re.findall(r"password: (\S+)", demo.said)
    curled = subprocess.run(shlex.split(command), capture_output=True, text=True, check=True).stdout
    with httpx2.Client(base_url=demo.url) as browser:
        token = browser.get("/admin/login/").cookies["csrftoken"]
        login = browser.post(
            "/admin/login/?next=/admin/",
            data={"username": "admin", "password": password, "csrfmiddlewaretoken": token},
            headers={"Referer": demo.url},
        )

    assert '"candles"' in curled
    assert login.status_code == 302
    assert demo.stop() == 0
    assert "The data is kept" in demo.said
    assert '"level": "error"' not in demo.said


def test_killed_at_any_moment_no_trade_is_lost_and_none_doubled(exchange: SimulatedExchange, tmp_path: Path) -> None:
    chance = random.Random(20261121)
    for _ in range(3):
        doomed = RunningDemo(exchange, tmp_path, *ARGUMENTS)
        doomed.until(lambda demo=doomed: demo.get("/health/live"), "/health/live")
        doomed.wait(chance.uniform(0.0, 5.0))
        doomed.kill()

    demo = RunningDemo(exchange, tmp_path, *ARGUMENTS)
    try:
        coverage = demo.until(lambda: complete(demo), "the end of every gap", 120)
        first, last = coverage["first_trade_id"], coverage["last_trade_id"]
        stored = stored_trades(demo, first, last)
        start = coverage["segments"][0]["from_time"] // 60_000 * 60_000 + 60_000
        # A minute that a gap touched is made again a moment after the gap has closed.
        demo.until(
            lambda: len(mine := stored_candles(demo, start)) > 7 and mine == true_candles(exchange, start, len(mine)),
            "every candle as the exchange has it",
        )
    finally:
        demo.kill()

    assert [row[0] for row in stored] == list(range(first, last + 1))
    assert stored == true_trades(exchange, first, last)
