"""``manage.py run`` on real servers: from the simulated exchange to REST, and an end within ten seconds."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest
from django.conf import settings

from ingestion.binance.simulator.server import SimulatedExchange, SimulatorConfig
from streamloom.demo.source import free_port
from streamloom.services.native import NativeServices

pytestmark = [pytest.mark.services, pytest.mark.slow, pytest.mark.timeout(240)]

_READY_S = 150


@pytest.fixture
def exchange() -> Iterator[SimulatedExchange]:
    simulated = SimulatedExchange(SimulatorConfig(seed=11))
    simulated.start(port=0)
    yield simulated
    simulated.stop()


@pytest.fixture
def environment(
    services: NativeServices, kafka: str, postgres: str, redis: str, clickhouse_server: str, exchange: SimulatedExchange
) -> dict[str, str]:
    return {
        **os.environ,
        **services.environment(),
        "STREAMLOOM_SOURCE": "simulated",
        "BINANCE_REST_URL": exchange.rest_url,
        "BINANCE_WS_URL": exchange.ws_url,
        "LOG_LEVEL": "INFO",
    }


def eventually(condition: Callable[[], bool], within_s: float, doing: subprocess.Popen[bytes]) -> bool:
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline or doing.poll() is not None:
            return False
        time.sleep(0.5)
    return True


def get(url: str) -> dict:
    try:
        return httpx2.get(url, timeout=5).json()
    except (httpx2.HTTPError, ValueError):
        return {}


def test_trades_arrive_at_rest_and_every_role_ends_in_time(environment: dict[str, str], tmp_path: Path) -> None:
    port = free_port()
    web = f"http://127.0.0.1:{port}"
    command = [sys.executable, "manage.py", "run", "--port", str(port), "--processors", "2", "--no-metrics"]
    with (tmp_path / "out").open("wb") as out:
        run = subprocess.Popen(
            [*command, "--log-dir", str(tmp_path / "logs")],
            cwd=settings.BASE_DIR,
            env=environment,
            stdout=out,
            stderr=out,
        )
    try:
        well = eventually(lambda: get(f"{web}/health").get("status") == "ok", _READY_S, run)
        assert well, (get(f"{web}/health"), (tmp_path / "out").read_text()[-3000:])
        candles = f"{web}/candles?symbol=BTCUSDT&interval=1m&limit=2&state=all"
        assert eventually(lambda: bool(get(candles).get("candles")), 30, run)
    finally:
        started = time.monotonic()
        run.send_signal(signal.SIGINT)
        status = run.wait(30)

    assert (status, time.monotonic() - started < 10) == (0, True)
    assert {path.stem for path in (tmp_path / "logs").iterdir()} >= {"ingest", "process-0", "process-1", "web"}
    components = get(f"{web}/health")
    assert components == {}, "the web process lives on"
