"""What the simulator's tests share: an exchange for a while, a plain client, the recorded files."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from websockets.sync.client import ClientConnection, connect

from ingestion.binance.simulator.server import SimulatedExchange, SimulatorConfig

RECORDED = Path(__file__).parents[5] / "shared/data/binance"
DEADLINE_S = 10.0


def recorded(name: str) -> Path:
    """A recorded file, or the test is skipped."""
    path = RECORDED / name
    if not path.exists():
        pytest.skip(f"the recorded data is not here: {path}")
    return path


@contextmanager
def running(**fields: Any) -> Iterator[SimulatedExchange]:
    """A simulated exchange on a free port."""
    exchange = SimulatedExchange(SimulatorConfig(**fields)).start()
    try:
        yield exchange
    finally:
        exchange.stop()


def open_socket(exchange: SimulatedExchange, path: str) -> ClientConnection:
    """A connection as a bot opens it, ping included, without compression."""
    # This client may wait for the reply to its close behind frames it does not read any more.
    return connect(exchange.ws_url + path, compression=None, max_size=None, close_timeout=0.2)


def ask(socket: ClientConnection, **request: Any) -> Any:
    """Send a control message; its reply, events before it skipped."""
    socket.send(json.dumps(request))
    return receive(socket, lambda message: "result" in message or "error" in message)


def receive(socket: ClientConnection, wanted: Callable[[Any], bool] = lambda message: True) -> Any:
    """The next message that is wanted."""
    end = time.monotonic() + DEADLINE_S
    while True:
        message = json.loads(socket.recv(timeout=max(0.01, end - time.monotonic())))
        if wanted(message):
            return message


def receive_until(socket: ClientConnection, last: Callable[[Any], bool]) -> list[Any]:
    """The messages up to and with the last one."""
    messages: list[Any] = []
    while not messages or not last(messages[-1]):
        messages.append(receive(socket))
    return messages


def drain(socket: ClientConnection, silence_s: float = 5.0) -> None:
    """Read until nothing comes for so long (TimeoutError) or the connection ends (ConnectionClosed)."""
    while True:
        socket.recv(timeout=silence_s)


def get(exchange: SimulatedExchange, path: str, **params: Any) -> httpx2.Response:
    """A REST request."""
    return httpx2.get(f"{exchange.rest_url}/api/v3/{path}", params=params)


def until(condition: Callable[[], bool]) -> None:
    """Wait for the condition, with a deadline."""
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def archive_file(folder: Path, rows: list[tuple[Any, ...]], name: str = "ABCUSDT-aggTrades.csv") -> Path:
    """An archive file of rows (a, p, q, f, l, T, m)."""
    path = folder / name
    path.write_text("".join(",".join(map(str, (*row, "True"))) + "\n" for row in rows))
    return path


def steady_rows(count: int, start_ms: int = 1_600_000_000_000) -> list[tuple[Any, ...]]:
    """One trade a second with ids from 1."""
    return [
        (number, f"{100 + number % 7}.00000000", "1.50000000", number, number, start_ms + number * 1000, "False")
        for number in range(1, count + 1)
    ]
