"""The whole product as a person starts it: the page, the admin, the line to copy, and a clean stop."""

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


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[RunningDemo]:
    """A demo that follows a made-up market."""
    exchange = SimulatedExchange(SimulatorConfig(seed=11))
    exchange.start(port=0)
    running = RunningDemo(exchange, tmp_path, "--symbols", "BTCUSDT,ETHUSDT", "--history", "10m")
    yield running
    running.kill()
    exchange.stop()


def stored_candles(demo: RunningDemo) -> list[Any]:
    """The closed minutes."""
    return (demo.get("/candles?symbol=BTCUSDT&interval=1m") or {"candles": []})["candles"]


def test_it_opens_fills_the_chart_lets_the_admin_in_and_stops_cleanly(demo: RunningDemo) -> None:
    demo.until(lambda: demo.get("/health"), "the port and /health")
    demo.until(lambda: "curl" in demo.said, "the welcome")
    demo.until(lambda: len(stored_candles(demo)) >= 9, "the history's candles")

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
