"""Which exchange the demo takes, and that it says why."""

import socket
import time
from collections.abc import Iterator

import pytest

from ingestion.binance.simulator.server import SimulatedExchange, SimulatorConfig
from streamloom.demo.source import choose_source, free_port


@pytest.fixture(scope="module")
def exchange() -> Iterator[SimulatedExchange]:
    """An exchange that answers, in Binance's place."""
    made = SimulatedExchange(SimulatorConfig(seed=3))
    made.start(port=0)
    yield made
    made.stop()


def test_auto_takes_the_exchange_that_answers(exchange: SimulatedExchange) -> None:
    source = choose_source("auto", exchange.rest_url, exchange.ws_url)

    assert (source.name, source.rest_url, source.ws_url) == ("binance", exchange.rest_url, exchange.ws_url)
    assert "answered" in source.reason


def test_auto_takes_the_simulated_one_when_nobody_is_there() -> None:
    source = choose_source("auto", f"http://127.0.0.1:{free_port()}", "ws://127.0.0.1:9")

    assert source.name == "simulated"
    assert "did not answer" in source.reason


def test_auto_waits_three_seconds_for_one_that_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        started = time.monotonic()

        source = choose_source("auto", f"http://127.0.0.1:{silent.getsockname()[1]}", "ws://127.0.0.1:9")

    assert source.name == "simulated"
    assert time.monotonic() - started < 6


def test_what_was_asked_for_is_not_probed() -> None:
    assert choose_source("binance", "http://127.0.0.1:9", "ws://127.0.0.1:9").reason == "as asked"
    assert choose_source("simulated", "http://127.0.0.1:9", "ws://127.0.0.1:9").name == "simulated"


def test_the_same_host_on_another_port_is_the_same_exchange() -> None:
    one = choose_source("binance", "http://127.0.0.1:81", "ws://127.0.0.1:81")
    other = choose_source("binance", "http://127.0.0.1:82/", "ws://127.0.0.1:82")

    assert one.stamp == other.stamp
    assert one.stamp != choose_source("binance", "https://example.org", "wss://example.org").stamp
