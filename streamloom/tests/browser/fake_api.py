"""A small server with the pages and the public API's shapes (API.md): the browser tests' counterpart.

``python -m streamloom.tests.browser.fake_api 8765`` serves it with a moving price, to look at while
working on the page.
"""

import asyncio
import json
import math
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvicorn
from asgiref.sync import sync_to_async
from django.test import RequestFactory
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket, WebSocketDisconnect

from markets.types import Interval
from streamloom import pages
from streamloom.tests.browser.fake_market import FakeMarket

STATIC = Path(__file__).parents[3] / "static"
SNAPSHOT = 200
START_MS = 1_700_000_025_000


class FakeApi:
    """The server. Tests steer it by its methods and its fields ``refuse_sockets``, ``missing``, ``status_answer``."""

    def __init__(self, market: FakeMarket, status_answer: dict[str, object]) -> None:
        self.market = market
        self.status_answer = status_answer
        self.address = ""
        self.watched = list(market.base_prices)
        self.missing = 0
        self.stale_s = 0.4
        self.refuse_sockets = False
        self.subscriptions: dict[WebSocket, set[tuple[str, str]]] = {}
        self.requests: list[str] = []

    def start(self, port: int = 0) -> str:
        """Serve on loopback in a thread; returns the address once it answers."""
        config = uvicorn.Config(
            self._app(), host="127.0.0.1", port=port, log_level="warning", ws_ping_interval=None, lifespan="off"
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, name="fake-api", daemon=True)
        self._thread.start()
        deadline = time.monotonic() + 10
        while not self._server.started:
            if time.monotonic() > deadline:
                raise TimeoutError("the fake API did not start in 10 s")
            threading.Event().wait(0.02)
        return f"http://127.0.0.1:{self._server.servers[0].sockets[0].getsockname()[1]}"

    def stop(self) -> None:
        """Close the sockets and the port."""
        self._server.should_exit = True
        self._server.force_exit = True
        self._thread.join(timeout=10)

    def set_price(self, symbol: str, price: float) -> None:
        """A trade: the forming candle gets this close, and every subscriber is told."""
        self.market.now_ms += 200
        self.market.prices[symbol] = price
        self._in_loop(self._publish(symbol))

    def send_past(self, symbol: str, back: int) -> None:
        """A message about the candle so many buckets before the newest one, as a backfill makes them."""
        self._in_loop(self._publish(symbol, back))

    def advance(self, ms: int) -> None:
        """Move the feed's clock without a word to anyone, as time passes while a socket is down."""
        self.market.now_ms += ms

    def drop_sockets(self) -> None:
        """Close every socket as a restarting server does."""
        self._in_loop(self._close_all())

    def _in_loop(self, work: Awaitable[None]) -> None:
        asyncio.run_coroutine_threadsafe(_run(work), self._loop).result(timeout=10)

    def _app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/candles", self._candles),
                Route("/symbols", self._symbols),
                Route("/coverage", self._coverage),
                Route("/status.json", self._status),
                Route("/status", _page(pages.status_page)),
                Route("/", _page(pages.market_page)),
                WebSocketRoute("/ws", self._socket),
                Mount("/static", StaticFiles(directory=STATIC)),
            ],
        )

    async def _candles(self, request: Request) -> Response:
        query = request.query_params
        self.requests.append(str(request.url))
        if query["symbol"] not in self.market.base_prices:
            return _problem(404, "unknown_symbol", f"{query['symbol']} is not known.")
        if query["symbol"] not in self.watched:
            return self._candle_answer(query["symbol"], query["interval"], [])
        interval, limit = Interval(query["interval"]), int(query.get("limit", 500))
        rows = self.market.candles(query["symbol"], interval, 5_000, int(query["to"]) if "to" in query else None)
        if "from" in query:
            rows = [row for row in rows if int(str(row["open_time"])) >= int(query["from"])][:limit]
        return self._candle_answer(query["symbol"], interval, rows[-limit:])

    def _candle_answer(self, symbol: str, interval: str, rows: list[dict[str, object]]) -> Response:
        answer = {"symbol": symbol, "interval": interval, "candles": rows, "coverage": self._block(symbol)}
        return JSONResponse({**answer, "next": None, "cursor": "c"})

    async def _symbols(self, request: Request) -> Response:
        names = [*self.market.base_prices] if "enabled" not in request.query_params else self.watched
        return JSONResponse({"symbols": [self._symbol(name) for name in names]})

    def _symbol(self, symbol: str) -> dict[str, object]:
        is_watched = symbol in self.watched
        return {
            "symbol": symbol, "base": symbol[:-4], "quote": symbol[-4:], "status": "TRADING", "enabled": is_watched,
            "tick_size": "0.01000000", "step_size": "0.00001000", "complete": is_watched,
            "last_price": f"{self.market.price(symbol):.8f}" if is_watched else None,
            "last_trade_time": self.market.now_ms if is_watched else None,
        }  # fmt: skip

    async def _coverage(self, request: Request) -> Response:
        return JSONResponse({"symbol": request.query_params["symbol"], **self._block(request.query_params["symbol"])})

    def _block(self, symbol: str) -> dict[str, object]:
        is_watched = symbol in self.watched
        return {
            "complete": is_watched and self.missing == 0,
            "from": 0,
            "to": self.market.now_ms,
            "held": 48_000,
            "missing": self.missing,
            "holes": 0,
            "gaps": [],
            "feed_time": self.market.now_ms if is_watched else None,
            "stale_s": self.stale_s if is_watched else None,
        }

    async def _status(self, request: Request) -> Response:
        return JSONResponse(self.status_answer)

    async def _socket(self, socket: WebSocket) -> None:
        self._loop = asyncio.get_running_loop()
        if self.refuse_sockets:
            await socket.close(1013)
            return
        await socket.accept()
        self.subscriptions[socket] = set()
        try:
            while True:
                await self._answer(socket, json.loads(await socket.receive_text()))
        except (WebSocketDisconnect, RuntimeError):
            self.subscriptions.pop(socket, None)

    async def _answer(self, socket: WebSocket, message: dict[str, str]) -> None:
        symbol, interval = message["symbol"], message["interval"]
        if message["op"] == "unsubscribe":
            self.subscriptions[socket].discard((symbol, interval))
            await socket.send_json({"type": "unsubscribed", "id": message["id"]})
            return
        if symbol not in self.market.base_prices:
            await socket.send_json({"type": "error", "id": message["id"], "code": "unknown_symbol", "detail": "?"})
            return
        self.subscriptions[socket].add((symbol, interval))
        rows = self.market.candles(symbol, Interval(interval), SNAPSHOT, None) if symbol in self.watched else []
        await socket.send_json(_message("subscribed", symbol, interval, id=message["id"]))
        await socket.send_json(_message("snapshot", symbol, interval, candles=rows))

    async def _publish(self, symbol: str, back: int = 0) -> None:
        for socket, wanted in list(self.subscriptions.items()):
            for interval in [interval for name, interval in wanted if name == symbol]:
                for row in self.market.candles(symbol, Interval(interval), back + 2, None)[:2]:
                    await socket.send_json(_message("candle", symbol, interval, candle=row))

    async def _close_all(self) -> None:
        for socket in list(self.subscriptions):
            await socket.close(1012)
        self.subscriptions.clear()


async def _run(work: Awaitable[None]) -> None:
    await work


def _page(view: Callable[..., object]) -> Callable[[Request], Awaitable[Response]]:
    """Serve one of the project's own page views, its headers included."""

    async def serve(request: Request) -> Response:
        django_request = RequestFactory().get(request.url.path)
        answer = await sync_to_async(view)(django_request)
        return Response(answer.content, answer.status_code, dict(answer.headers))

    return serve


def _message(kind: str, symbol: str, interval: str, **more: object) -> dict[str, object]:
    return {"type": kind, "channel": "candles", "symbol": symbol, "interval": interval, "cursor": "c", **more}


def _problem(status: int, code: str, detail: str) -> Response:
    return JSONResponse({"type": "about:blank", "status": status, "detail": detail, "code": code}, status)


def make_api(now_ms: int = START_MS) -> FakeApi:
    """Three watched symbols and one that is only known, at a fixed time."""
    prices = {"BTCUSDT": 64_000.0, "ETHUSDT": 3_100.0, "SOLUSDT": 142.0, "DOGEUSDT": 0.17}
    api = FakeApi(FakeMarket(now_ms, prices), {})
    api.watched = ["BTCUSDT", "ETHUSDT", "SOLUSDT"]
    return api


def _main() -> None:
    import django

    django.setup()
    from streamloom.tests.browser.fake_status import STATUS

    api = make_api(time.time_ns() // 1_000_000)
    api.status_answer = STATUS
    address = api.start(int(sys.argv[1]))
    sys.stdout.write(f"{address}\n")
    sys.stdout.flush()
    while True:
        threading.Event().wait(0.25)
        now = time.time_ns() // 1_000_000
        api.market.now_ms = now - 200
        for symbol in api.watched:
            drift = 0.0006 * math.sin(now / 3_000) + 0.0002 * math.sin(now / 170)
            price = api.market._price_at(symbol, now) * (1 + drift)
            if hasattr(api, "_loop"):
                api.set_price(symbol, round(price, 2))


if __name__ == "__main__":
    _main()
