"""One connection's kline frames: closed ones are kept, running ones move the clock, the rest is turned away."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

from ingestion.binance.connection import Connection
from ingestion.binance.metrics import FRAMES_REJECTED
from ingestion.ingest.exchange import TOLERANCE_MS, ServerTime
from ingestion.pipeline.parse import Control, parse_stream
from ingestion.pipeline.records import DeadLetter, Kline, Reason, Rejected, Trade

# Closed klines and letters that wait to be written; beyond that the connections are not read.
CAPACITY = 20_000


@dataclass
class Inbox:
    """What came, until it is taken. ``clocks``: the newest event time of each symbol's frames (epoch ms)."""

    klines: list[Kline] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)
    clocks: dict[str, int] = field(default_factory=dict)
    room: asyncio.Event = field(default_factory=asyncio.Event)

    def take(self) -> tuple[list[Kline], list[DeadLetter]]:
        """All of it; whoever waits for room goes on."""
        taken = self.klines, self.letters
        self.klines, self.letters = [], []
        self.room.set()
        return taken

    def wait(self) -> Awaitable[None] | None:
        """None while there is room, else something to wait for before the next frame is read."""
        if len(self.klines) + len(self.letters) < CAPACITY:
            return None
        self.room.clear()
        return self._has_room()

    async def _has_room(self) -> None:
        await self.room.wait()


class KlineSession:
    """What becomes of one connection's frames (a ``binance.connection.Session``). ``intervals``: those it asked for."""

    def __init__(
        self,
        connection: Connection,
        inbox: Inbox,
        server_time: ServerTime,
        source: str,
        intervals: Iterable[str],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.connection = connection
        self._inbox, self._server_time, self._source = inbox, server_time, source
        self._intervals = frozenset(intervals)
        self._machine = clock
        self._symbols: set[str] = set()
        self._heard: set[str] = set()
        self._clock = 0
        self._first: int | None = None
        # Beyond it a frame's time is doubted. A new connection knows nothing: its first frame is checked.
        self._horizon = -1

    def take(self, payload: bytes) -> Awaitable[None] | None:
        """Handle one frame; see ``binance.connection.Session``."""
        item = parse_stream(payload, int(self._machine() * 1000), self._source)
        if not isinstance(item, Kline):
            return self._take_other(item, payload)
        if item.interval not in self._intervals or item.symbol not in self._symbols:
            return self._reject(Reason.UNKNOWN_SYMBOL, "this kline was not asked for", payload, item.symbol)
        if item.event_time > self._horizon:
            return self._doubt(item, payload)
        return self._accept(item)

    def subscribing(self, symbols: Iterable[str]) -> None:
        self._symbols.update(symbols)

    def acknowledged(self, symbols: Iterable[str]) -> None:
        """Nothing waits for it: a kline that was missed before is asked for by REST."""

    def released(self, symbols: Iterable[str]) -> None:
        self._symbols.difference_update(symbols)

    def drain_heard(self) -> set[str]:
        heard, self._heard = self._heard, set()
        return heard

    def clock(self) -> int | None:
        return self._clock or None

    def first_time(self) -> int | None:
        return self._first

    def close(self) -> None:
        self._server_time.believed(self._clock)

    def _accept(self, item: Kline) -> Awaitable[None] | None:
        moment, clocks = item.event_time, self._inbox.clocks
        if moment > self._clock:
            self._clock, self._horizon = moment, moment + TOLERANCE_MS
        if moment > clocks.get(item.symbol, 0):
            clocks[item.symbol] = moment
        self._heard.add(item.symbol)
        if not item.closed:
            return None
        self._inbox.klines.append(item)
        return self._inbox.wait()

    async def _doubt(self, item: Kline, payload: bytes) -> None:
        if not await self._server_time.allows(item.event_time):
            detail = f"{item.event_time} is ahead of the exchange's clock"
            wait = self._reject(Reason.FUTURE_TIME, detail, payload, item.symbol)
        else:
            if self._first is None:
                self._first = item.event_time
            wait = self._accept(item)
        if wait is not None:
            await wait

    def _take_other(self, item: Trade | Control | Rejected, payload: bytes) -> Awaitable[None] | None:
        if type(item) is Control:
            if item.kind == "shutdown":
                self.connection.announce_shutdown()
            else:
                problem = f"{item.code} {item.detail}" if item.kind == "error" else None
                self.connection.answered(item.request_id, problem)
            return None
        if type(item) is Rejected:
            return self._reject(item.reason, item.detail, item.frame)
        return self._reject(Reason.UNKNOWN_SYMBOL, "no kline, and not asked for", payload)

    def _reject(self, reason: Reason, detail: str, frame: bytes, symbol: str = "") -> Awaitable[None] | None:
        FRAMES_REJECTED.labels(reason).inc()
        origin = f"connection {self.connection.name}"
        self._inbox.letters.append(DeadLetter(reason, detail[:500], origin, frame, self._clock, symbol))
        return self._inbox.wait()
