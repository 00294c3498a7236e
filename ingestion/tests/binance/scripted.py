"""A WebSocket server that does exactly what a test tells it: the exchange at its worst."""

import asyncio
import json
from contextlib import suppress
from typing import Self

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed


def agg_trade(symbol: str, trade_id: int, time_ms: int, event_ms: int | None = None) -> dict:
    """An aggTrade frame of one fill."""
    return {
        "e": "aggTrade",
        "E": time_ms if event_ms is None else event_ms,
        "s": symbol,
        "a": trade_id,
        "p": "100.00000000",
        "q": "1.00000000",
        "f": trade_id,
        "l": trade_id,
        "T": time_ms,
        "m": True,
        "M": True,
    }


def kline(symbol: str, event_ms: int, interval: str = "1m") -> dict:
    """A running kline frame without a trade."""
    opened = event_ms - event_ms % 60_000
    body = {
        "t": opened,
        "T": opened + 59_999,
        "s": symbol,
        "i": interval,
        "f": -1,
        "L": -1,
        "o": "100.00000000",
        "c": "100.00000000",
        "h": "100.00000000",
        "l": "100.00000000",
        "v": "0.00000000",
        "n": 0,
        "x": False,
        "q": "0.00000000",
        "V": "0.00000000",
        "Q": "0.00000000",
        "B": "0",
    }
    return {"e": "kline", "E": event_ms, "s": symbol, "k": body}


class Client:
    """One connection as the server sees it."""

    def __init__(self, socket: ServerConnection) -> None:
        self.socket = socket
        self.requests: list[dict] = []
        self.streams: list[str] = []

    @property
    def is_open(self) -> bool:
        return self.socket.close_code is None and self.socket.state.name == "OPEN"

    async def send(self, *frames: dict | str) -> None:
        """Send frames; a connection that has ended takes none."""
        with suppress(ConnectionClosed):
            for frame in frames:
                await self.socket.send(frame if isinstance(frame, str) else json.dumps(frame))

    def cut(self) -> None:
        """End the connection without a word."""
        self.socket.transport.abort()


class ScriptedExchange:
    """Use as ``async with ScriptedExchange() as server``. It answers requests unless ``answers`` is false."""

    def __init__(self) -> None:
        self.clients: list[Client] = []
        self.answers = True
        self.refuse_with: int | None = None
        self._server: Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await serve(self._serve, "127.0.0.1", 0, process_request=self._admit, compression=None)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    @property
    def ws_url(self) -> str:
        assert self._server is not None
        return f"ws://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    @property
    def open_clients(self) -> list[Client]:
        return [client for client in self.clients if client.is_open]

    async def broadcast(self, *frames: dict | str) -> None:
        """Send frames to every open connection that has subscribed to something."""
        await asyncio.gather(*(client.send(*frames) for client in self.open_clients if client.streams))

    def _admit(self, connection: ServerConnection, _: object) -> object:
        if self.refuse_with is not None:
            return connection.respond(self.refuse_with, "no\n")
        return None

    async def _serve(self, socket: ServerConnection) -> None:
        client = Client(socket)
        self.clients.append(client)
        with suppress(ConnectionClosed):
            async for message in socket:
                await self._take(client, json.loads(message))

    async def _take(self, client: Client, request: dict) -> None:
        client.requests.append(request)
        if not self.answers:
            return
        if request["method"] == "SUBSCRIBE":
            client.streams += [name for name in request["params"] if name not in client.streams]
        else:
            client.streams = [name for name in client.streams if name not in request["params"]]
        await client.send({"result": None, "id": request["id"]})
