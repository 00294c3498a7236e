"""An exchange that is not ours: a recording served as the contract says, and else in whatever way it leaves open.

Deliberately small and independent of the product's simulated exchange. REST and streams listen on two ports; each
quirk is a field of ``Quirks``. Runs in a thread of its own: ``with OtherExchange(rows, quirks) as exchange``.
"""

import asyncio
import gzip
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from heapq import merge
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from streamloom.tests.e2e.quirks import Quirks
from streamloom.tests.e2e.recording import MINUTE, Bar, Row, by_symbol, fold

TICK = 2_000


class Event(NamedTuple):
    """Something to send at a feed time. Events at one time keep the order trade, kline."""

    at: int
    order: int
    symbol: str
    stream: str
    body: Any


@dataclass(eq=False)
class Client:
    socket: ServerConnection
    combined: bool
    streams: set[str] = field(default_factory=set)


class OtherExchange:
    """Serves the rows from ``__enter__`` to ``__exit__``; ``done`` is set when the stream has been told to its end."""

    def __init__(self, rows: list[Row], quirks: Quirks) -> None:
        self.quirks = quirks
        self.rows = by_symbol(rows)
        self.bars = {symbol: fold(mine, MINUTE) for symbol, mine in self.rows.items()}
        self.requests: list[str] = []
        self.connections = 0
        self.done = threading.Event()
        self._begin = min(row.seen for row in rows) + quirks.skip_ms
        self._finish = max(row.seen for row in rows)
        self._sent = self._begin
        self._sent_of: dict[str, int] = {}
        self._at = 0
        self._ready, self._loop = threading.Event(), asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)

    # --- life --------------------------------------------------------------------------------------

    def __enter__(self) -> "OtherExchange":
        self._events = list(self._timeline())
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._main())

    async def _main(self) -> None:
        self._stop, self._clients = asyncio.Event(), set[Client]()
        self._started_at = time.monotonic()
        rest = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        compression = "deflate" if self.quirks.deflate else None
        streams: Server = await serve(
            self._talk, "127.0.0.1", 0, process_request=self._admit, compression=compression, max_size=4096
        )
        self.rest_url = f"http://127.0.0.1:{rest.sockets[0].getsockname()[1]}"
        self.ws_url = f"ws://127.0.0.1:{next(iter(streams.sockets)).getsockname()[1]}"
        pump = asyncio.create_task(self._pump())
        self._ready.set()
        await self._stop.wait()
        pump.cancel()
        rest.close()
        streams.close()
        await streams.wait_closed()

    # --- the replay --------------------------------------------------------------------------------

    @property
    def clock(self) -> int:
        if self.quirks.clock == "machine":
            return int(time.time() * 1000)
        return self._begin if self.quirks.clock == "still" else max(self._sent, self._now())

    def _now(self) -> int:
        """The feed's time of the replay."""
        if not self.quirks.speed:
            return self._sent
        return min(int(self._begin + (time.monotonic() - self._started_at) * 1000 * self.quirks.speed), self._end)

    @property
    def _end(self) -> int:
        return self._finish + self.quirks.tail_ms

    def _timeline(self) -> Iterator[Event]:
        parts = [self._trades(mine) for mine in self.rows.values()]
        if self.quirks.klines != "none":
            parts += [self._closed(symbol) for symbol in self.rows]
        if self.quirks.klines in ("ticks", "trades", "late", "early"):
            parts += [self._running(symbol) for symbol in self.rows]
        if self.quirks.aligned:
            first = {symbol: mine[0].seen for symbol, mine in self.rows.items()}
            return merge(*parts, key=lambda event: (event.at - first[event.symbol], event.order))
        return merge(*parts, key=lambda event: event[:2])

    def _trades(self, rows: list[Row]) -> Iterator[Event]:
        seen = 0
        for row in rows:
            seen = max(seen, row.seen)
            yield Event(seen, 1, row.symbol, f"{row.symbol.lower()}@aggTrade", row)

    def _end_of(self, symbol: str) -> int:
        return (self.rows[symbol][-1].seen if self.quirks.aligned else self._finish) + self.quirks.tail_ms

    def _closed(self, symbol: str) -> Iterator[Event]:
        delay = {"late": 10_000, "early": -400}.get(self.quirks.klines, 90)
        for open_time, bar in self._minutes(symbol):
            at = open_time + MINUTE + delay
            if at <= self._end_of(symbol):
                yield Event(at, 2, symbol, f"{symbol.lower()}@kline_1m", (open_time, bar, True))

    def _minutes(self, symbol: str) -> Iterator[tuple[int, Bar]]:
        bars, close = self.bars[symbol], None
        for open_time in range(min(bars), self._end_of(symbol) // MINUTE * MINUTE + MINUTE, MINUTE):
            bar = bars.get(open_time)
            if bar is None and not self.quirks.empty_klines:
                continue
            bar = bar or Bar(str(close))
            close = bar.close or close
            yield open_time, bar

    def _running(self, symbol: str) -> Iterator[Event]:
        name, rows, place = f"{symbol.lower()}@kline_1m", self.rows[symbol], 0
        bar, opened, close = Bar(rows[0].price), rows[0].time // MINUTE * MINUTE, rows[0].price
        for at in range(rows[0].time // TICK * TICK + TICK, self._end_of(symbol), TICK):
            before = place
            if at // MINUTE * MINUTE != opened:
                bar, opened = Bar(close), at // MINUTE * MINUTE
            while place < len(rows) and rows[place].seen <= at:
                row = rows[place]
                place += 1
                if row.time >= opened and not row.is_invalid:
                    bar = Bar(row.price) if bar.first < 0 else bar
                    bar.add(row)
                    close = row.price
            if at % MINUTE and (self.quirks.klines != "trades" or place > before):
                yield Event(at, 3, symbol, name, self._kline(at, symbol, opened, bar, False))

    async def _pump(self) -> None:
        while True:
            if not self._clients and (self.quirks.starts == "subscription" or not self.quirks.speed):
                self._started_at = time.monotonic() - (self._sent - self._begin) / 1000 / (self.quirks.speed or 1)
                await asyncio.sleep(0.02)
                continue
            if not await self._send_due():
                await self._over()
                return

    async def _send_due(self) -> bool:
        """Send what is due; False when there is nothing more to come."""
        for _ in range(500):
            if self._at >= len(self._events):
                return False
            event = self._events[self._at]
            if self.quirks.speed and event.at > self._now():
                await asyncio.sleep(0.005)
                return True
            self._at += 1
            if event.at < self._begin:
                continue
            self._sent = max(self._sent, event.at)
            self._sent_of[event.symbol] = event.at
            for client in list(self._clients):
                await self._deliver(client, event)
        await asyncio.sleep(0)
        return True

    async def _deliver(self, client: Client, event: Event) -> None:
        if event.stream not in client.streams:
            return
        body = event.body
        if isinstance(body, Row):
            body = self._agg_trade(body)
        elif isinstance(body, tuple):
            body = self._kline(event.at, event.symbol, *body)
        if client.combined:
            body = {"stream": event.stream, "data": body}
            if self.quirks.reordered_wrapper:
                body = dict(reversed(body.items()))
        try:
            await client.socket.send(json.dumps(body, separators=(",", ":")))
        except ConnectionClosed:
            self._clients.discard(client)

    async def _over(self) -> None:
        self.done.set()
        if self.quirks.end in ("close", "restart"):
            for client in list(self._clients):
                await client.socket.close(1001)
        while self.quirks.end == "restart":
            await asyncio.sleep(0.05)
            if self._clients:
                self._at, self.quirks = 0, Quirks(**{**vars(self.quirks), "end": "silent"})
                await self._pump()

    # --- frames ------------------------------------------------------------------------------------

    def _time(self, ms: int) -> int:
        return ms * 1000 + 7 if self.quirks.micros else ms

    def _agg_trade(self, row: Row) -> dict[str, Any]:
        body = {"e": "aggTrade", "E": self._time(row.seen), "s": row.symbol, **self._rest_row(row)}
        body["T"] = self._time(row.time)
        return {"nq": "1.0", "unknown": {"deep": [1, None]}, **body} if self.quirks.extra else body

    @staticmethod
    def _rest_row(row: Row) -> dict[str, Any]:
        return {
            **{"a": row.id, "p": row.price, "q": row.qty, "f": row.first, "l": row.last},
            **{"T": row.time, "m": row.maker, "M": True},
        }

    def _kline(self, at: int, symbol: str, open_time: int, bar: Bar, closed: bool) -> dict[str, Any]:
        first = {"t": self._time(open_time), "T": self._time(open_time + MINUTE - 1), "s": symbol, "i": "1m"}
        names = ("o", "h", "l", "c", "v", "q", "V", "Q")
        words = dict(zip(names, bar.words(), strict=True))
        body = {**first, "f": bar.first, "L": bar.last, **words, "n": bar.count, "x": closed, "B": "0"}
        return {"e": "kline", "E": self._time(at), "s": symbol, "k": body}

    # --- the socket --------------------------------------------------------------------------------

    def _admit(self, socket: ServerConnection, request: Request) -> Response | None:
        if urlsplit(request.path).path.strip("/").split("/")[0] in self.quirks.paths:
            return None
        return socket.respond(404, "not here")

    async def _talk(self, socket: ServerConnection) -> None:
        self.connections += 1
        assert socket.request is not None
        split = urlsplit(unquote(socket.request.path))
        parts = split.path.strip("/").split("/")
        client = Client(socket, parts[0] == "stream")
        names = parse_qs(split.query).get("streams", [""])[0].split("/") + parts[1:]
        client.streams |= {name for name in names if "@" in name}
        if client.streams:
            self._clients.add(client)
        try:
            async for message in socket:
                await self._control(client, json.loads(message))
        except ConnectionClosed:
            pass
        finally:
            self._clients.discard(client)

    async def _control(self, client: Client, asked: dict[str, Any]) -> None:
        method, result = asked["method"], None
        if method == "SUBSCRIBE":
            client.streams |= set(asked["params"])
        elif method == "UNSUBSCRIBE":
            client.streams -= set(asked["params"])
        elif method == "LIST_SUBSCRIPTIONS":
            result = sorted(client.streams)
        reply = json.dumps({"result": result, "id": str(asked["id"]) if self.quirks.string_ids else asked["id"]})
        if not self.quirks.late_reply:
            await client.socket.send(reply)
        if client.streams:
            self._clients.add(client)
        if self.quirks.late_reply:
            asyncio.get_running_loop().create_task(self._reply_late(client, reply))

    async def _reply_late(self, client: Client, reply: str) -> None:
        at = self._at
        while self._at < min(at + self.quirks.late_reply, len(self._events)):
            await asyncio.sleep(0.01)
        await client.socket.send(reply)

    # --- REST --------------------------------------------------------------------------------------

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                await asyncio.sleep(self.quirks.slow_s)
                target = head.split(b" ", 2)[1].decode()
                self.requests.append(target)
                status, body = self._look_up(target)
                writer.write(self._response(status, body))
                await writer.drain()
                if self.quirks.http == "1.0":
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def _response(self, status: str, body: Any) -> bytes:
        data = json.dumps(body).encode()
        lines = [f"HTTP/{self.quirks.http} {status}", "Content-Type: application/json;charset=UTF-8"]
        if self.quirks.gzip:
            data = gzip.compress(data)
            lines.append("Content-Encoding: gzip")
        lines.append("Connection: close" if self.quirks.http == "1.0" else f"Content-Length: {len(data)}")
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + data

    def _look_up(self, target: str) -> tuple[str, Any]:
        split = urlsplit(target)
        query = {name: values[0] for name, values in parse_qs(split.query).items()}
        path = split.path.removeprefix("/api/v3/")
        if path == "ping":
            return "200 OK", {}
        if path == "time":
            return "200 OK", {"serverTime": self.clock}
        if path == "exchangeInfo":
            return "200 OK", self._info()
        if path not in ("aggTrades", "klines"):
            return "404 Not Found", {"code": -1000, "msg": "no such path"}
        if query.get("symbol") not in self.rows:
            return "400 Bad Request", {"code": -1121, "msg": "Invalid symbol."}
        rows = self._agg_trades(query) if path == "aggTrades" else self._klines(query)
        return "200 OK", rows

    def _visible(self, symbol: str) -> list[Row]:
        if self.quirks.rest == "all":
            return self.rows[symbol]
        now = self._sent_of.get(symbol, 0) if self.quirks.aligned else self._now()
        limit = now - (30_000 if self.quirks.rest == "lag" else 0)
        return [row for row in self.rows[symbol] if row.seen <= limit]

    def _agg_trades(self, query: dict[str, str]) -> list[dict[str, Any]]:
        limit = min(int(query.get("limit", 500)), 1000)
        rows = self._visible(query["symbol"])
        if "fromId" in query:
            rows = [row for row in rows if row.id >= int(query["fromId"])][:limit]
        else:
            start, end = int(query.get("startTime", 0)), int(query.get("endTime", 1 << 62))
            rows = [row for row in rows if start <= row.time <= end]
            rows = rows[:limit] if "startTime" in query else rows[-limit:]
        return [self._rest_row(row) for row in rows]

    def _klines(self, query: dict[str, str]) -> list[list[Any]]:
        start, end = int(query.get("startTime", 0)), int(query.get("endTime", 1 << 62))
        made = []
        for open_time, bar in self._minutes(query["symbol"]):
            if start <= open_time <= min(end, self._now()):
                o, h, low, c, v, q, buy, buy_quote = bar.words()
                head = [open_time, o, h, low, c, v, open_time + MINUTE - 1, q, bar.count]
                made.append([*head, buy, buy_quote, "0"])
        limit = int(query.get("limit", 500))
        return made[:limit] if "startTime" in query else made[-limit:]

    def _info(self) -> dict[str, Any]:
        names = list(self.rows) + ([f"X{n}USDT" for n in range(2_000)] if self.quirks.info == "many" else [])
        symbols = [
            {"symbol": name, "status": "TRADING", "baseAsset": name[:3], "quoteAsset": name[3:]}
            | (
                {}
                if self.quirks.info == "minimal"
                else {"filters": [{"filterType": "PRICE_FILTER", "tickSize": "0.1"}]}
            )
            for name in names
        ]
        return {"symbols": symbols}
