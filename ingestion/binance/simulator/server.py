"""The simulated exchange as one ASGI app on one port, run in a thread of its own."""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Self

import structlog
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from ingestion.binance.simulator.answers import Exchange
from ingestion.binance.simulator.archive import Archive
from ingestion.binance.simulator.book import Book
from ingestion.binance.simulator.config import SimulatorConfig
from ingestion.binance.simulator.control import Control
from ingestion.binance.simulator.faults import FaultPlan
from ingestion.binance.simulator.made_up import made_up_books
from ingestion.binance.simulator.pace import LivePace, Pace, ReplayPace
from ingestion.binance.simulator.pump import Pump
from ingestion.binance.simulator.recorded import RecordedBook, recorded_books
from ingestion.binance.simulator.rest import Rest
from ingestion.binance.simulator.sockets import serve_socket
from ingestion.binance.simulator.weights import Weights
from ingestion.binance.simulator.wire import Wire

__all__ = ["FaultHandle", "FaultPlan", "SimulatedExchange", "SimulatorConfig"]

log = structlog.get_logger(__name__)

_START_S = 10.0
# Small, so that a reader who sets the pace is not megabytes (hours of a quiet market) behind the clock.
_SEND_BUFFER = 64 * 1024


class FaultHandle:
    """The control endpoint for the same process: each call returns when it is in force."""

    def __init__(self, control: Callable[[], Control], loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
        self._control, self._loop = control, loop

    def _call(self, action: Callable[[Control], Any]) -> Any:
        async def run() -> Any:
            return action(self._control())

        return asyncio.run_coroutine_threadsafe(run(), self._loop()).result(_START_S)

    def change(self, **fields: Any) -> FaultPlan:
        """Change the plan: fields of FaultPlan. Raises ValueError for others."""
        plan: FaultPlan = self._call(lambda control: control.change(fields))
        return plan

    def end(self) -> None:
        """No faults any more."""
        self._call(lambda control: control.end())

    def cut(self) -> None:
        """End all connections without a word."""
        self._call(lambda control: control.cut())

    def shut_down(self, delay_s: float = 10.0) -> None:
        """Send serverShutdown, and close these connections after the delay."""
        self._call(lambda control: control.shut_down(delay_s))

    def refuse(self, status: int = 429, for_s: float = 10.0, retry_after_s: int = 1) -> None:
        """Answer REST with 429 or 418 for a while."""
        self._call(lambda control: control.refuse(status, for_s, retry_after_s))

    def malformed(self, text: str) -> None:
        """Send every connection this text as it is."""
        self._call(lambda control: control.malformed(text))

    def status(self) -> dict[str, int]:
        """``time``: the exchange's clock; ``connections``: how many are open."""
        status: dict[str, int] = self._call(lambda control: control.status())
        return status


class SimulatedExchange:
    """An exchange on loopback. ``start`` returns when it answers, ``stop`` when it is gone.

    Recordings are read by the constructor, which raises BadRecording for what cannot be replayed.
    """

    def __init__(self, config: SimulatorConfig) -> None:
        self.config = config
        self._books = _books(config)
        self._host, self._port = "127.0.0.1", 0
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._control: Control | None = None
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self.faults = FaultHandle(self._running_control, self._running_loop)

    @property
    def symbols(self) -> list[str]:
        """What is traded here."""
        return sorted(self._books)

    @property
    def rest_url(self) -> str:
        return f"http://{self._host}:{self._port}"

    @property
    def ws_url(self) -> str:
        return f"ws://{self._host}:{self._port}"

    @property
    def control_url(self) -> str:
        return f"{self.rest_url}/control"

    def start(self, port: int = 0, host: str = "127.0.0.1") -> Self:
        """Serve on that port (0: a free one). Raises OSError when it is taken."""
        listener = _listen(host, port)
        self._host, self._port = host, listener.getsockname()[1]
        self._ready.clear()
        self._server = uvicorn.Server(self._uvicorn_config())
        self._thread = threading.Thread(
            target=self._server.run, args=([listener],), name="simulated-exchange", daemon=True
        )
        self._thread.start()
        if not self._ready.wait(_START_S):
            raise RuntimeError(f"the simulated exchange did not start within {_START_S} s")
        return self

    def stop(self) -> None:
        """Close all connections and end."""
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join(_START_S)

    def __enter__(self) -> Self:
        return self if self._thread is not None else self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _running_control(self) -> Control:
        assert self._control is not None, "the exchange has not been started"
        return self._control

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        assert self._loop is not None, "the exchange has not been started"
        return self._loop

    def _uvicorn_config(self) -> uvicorn.Config:
        return uvicorn.Config(
            self._app(),
            ws=Wire,
            ws_ping_interval=self.config.ping_interval_s,
            ws_ping_timeout=self.config.ping_timeout_s,
            ws_per_message_deflate=False,
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=2,
        )

    def _app(self) -> Starlette:
        config = self.config
        pace = _pace(config, self._books)
        pump = Pump(self._books, pace, config.faults)
        weights = Weights(config.weight_limit, time.time)
        exchange = Exchange(
            self._books,
            now=pace.now,
            lag_ms=lambda: pump.plan.rest_lag_ms,
            weight_limit=config.weight_limit,
            reach_ms=lambda: pump.plan.rest_reach_ms,
        )
        archive = Archive(self._books, now=pace.now, plan=lambda: pump.plan, delay_ms=config.archive_delay_ms)
        rest = Rest(exchange, weights)
        self._control = Control(pump, weights, pace, config.faults)
        return Starlette(
            routes=[*_routes(rest, pump), *archive.routes(), *self._control.routes()],
            lifespan=lambda _: self._live(pump),
        )

    @contextlib.asynccontextmanager
    async def _live(self, pump: Pump) -> AsyncIterator[None]:
        self._loop = asyncio.get_running_loop()
        tasks = [
            self._loop.create_task(_watched("pump", pump.run)),
            self._loop.create_task(_watched("cutter", lambda: _cut_now_and_then(pump))),
        ]
        self._ready.set()
        yield
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _routes(rest: Rest, pump: Pump) -> list[Route | WebSocketRoute]:
    def respond(request: Request) -> Response:
        return rest.respond(request)

    async def raw(websocket: WebSocket) -> None:
        await serve_socket(websocket, pump, combined=False)

    async def combined(websocket: WebSocket) -> None:
        await serve_socket(websocket, pump, combined=True)

    return [
        Route("/api/v3/{name:path}", respond, methods=["GET"]),
        WebSocketRoute("/ws", raw),
        WebSocketRoute("/ws/{tail:path}", raw),
        WebSocketRoute("/stream", combined),
        WebSocketRoute("/stream/{tail:path}", combined),
    ]


def _books(config: SimulatorConfig) -> Mapping[str, Book]:
    return recorded_books(config.replay) if config.replay else made_up_books(config.seed, config.symbols, config.pace)


def _pace(config: SimulatorConfig, books: Mapping[str, Book]) -> Pace:
    recorded = [book for book in books.values() if isinstance(book, RecordedBook)]
    if not recorded and config.speed > 0:
        return LivePace(wall=time.time, steady=time.monotonic, speed=config.speed, start_ms=config.start_ms)
    start = int(time.time() * 1000) if config.start_ms is None else config.start_ms
    return ReplayPace(
        min((book.starts_at for book in recorded), default=start),
        max((book.ends_at for book in recorded), default=None),
        speed=config.speed,
        steady=time.monotonic,
        begin_now=config.replay_start == "now",
        delay_s=config.replay_delay_s,
    )


async def _watched(name: str, run: Callable[[], Any]) -> None:
    """The top of a task of the exchange: a crash is told, or its streams would fall silent unseen."""
    try:
        await run()
    except Exception:
        log.exception("simulator_task_failed", task=name, advice="restart simulate_exchange")
        raise


async def _cut_now_and_then(pump: Pump) -> None:
    since = time.monotonic()
    while True:
        await asyncio.sleep(0.1)
        every = pump.plan.cut_every_s
        if every <= 0 or time.monotonic() - since < every:
            continue
        pump.cut()
        since = time.monotonic()


def _listen(host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
    try:
        listener.bind((host, port))
        # Now, so that whoever is told the address can connect: the server's loop may still be starting.
        listener.listen(1024)
    except OSError:
        listener.close()
        raise
    return listener
