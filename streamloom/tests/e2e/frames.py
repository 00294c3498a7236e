"""An exchange that serves recorded frames, in their order and only as far as a test has told it."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request

from ingestion.tests.binance.scripted import ScriptedExchange

Json = dict[str, Any]


class Frame(NamedTuple):
    """A recorded frame: its stream, its bytes as a raw connection gets them, and what they say."""

    stream: str
    text: str
    data: Json


def recorded_frames(path: Path) -> Iterator[Frame]:
    """The aggTrade and kline frames of a recording (``<receive time>: <combined frame>`` a line)."""
    with gzip.open(path, "rt") as lines:
        for line in lines:
            text = line.partition(": ")[2].strip()
            if not text.startswith('{"stream"'):
                continue
            raw = text[text.index('"data":') + len('"data":') : -1]
            data = json.loads(raw)
            if data["e"] in ("aggTrade", "kline"):
                yield Frame(json.loads(text)["stream"], raw, data)


class FrameExchange(ScriptedExchange):
    """REST knows what was sent so far, and nothing from before the recording."""

    def __init__(self, symbols: list[str]) -> None:
        super().__init__()
        self._symbols = symbols
        self._sent: dict[str, list[Json]] = {symbol: [] for symbol in symbols}
        self._clock = 0

    @property
    def rest_url(self) -> str:
        return self.ws_url.replace("ws://", "http://")

    @property
    def subscribed(self) -> set[str]:
        """What its clients have asked for."""
        return {stream for client in self.open_clients for stream in client.streams}

    async def send(self, frame: Frame) -> None:
        """The next frame, to everyone who asked for its stream."""
        self._clock = max(self._clock, frame.data["E"])
        if frame.data["e"] == "aggTrade":
            self._sent[frame.data["s"]].append(frame.data)
        for client in self.open_clients:
            if frame.stream in client.streams:
                await client.send(frame.text)

    def _admit(self, connection: ServerConnection, request: Request) -> object:
        url = urlsplit(request.path)
        if not url.path.startswith("/api/v3/"):
            return super()._admit(connection, request)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        return connection.respond(200, json.dumps(self._answer(url.path.removeprefix("/api/v3/"), query)))

    def _answer(self, path: str, query: dict[str, str]) -> object:
        if path == "time":
            return {"serverTime": self._clock}
        if path == "exchangeInfo":
            return {"symbols": [_info(symbol) for symbol in self._symbols]}
        return self._trades(query) if path == "aggTrades" else []

    def _trades(self, query: dict[str, str]) -> list[Json]:
        low, end = int(query.get("startTime", 0)), int(query.get("endTime", self._clock))
        first, limit = int(query.get("fromId", 0)), int(query.get("limit", 500))
        rows = [row for row in self._sent[query["symbol"]] if row["a"] >= first and low <= row["T"] <= end]
        return rows[:limit] if {"fromId", "startTime"} & query.keys() else rows[-limit:]


def _info(symbol: str) -> Json:
    return {"symbol": symbol, "status": "TRADING", "baseAsset": symbol[:-4], "quoteAsset": symbol[-4:], "filters": []}
