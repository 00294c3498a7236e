"""The kline streams on an event loop that the role's own thread turns."""

import asyncio
import random
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Executor

import structlog

from ingestion.binance.connection import Connection
from ingestion.binance.feed import ConnectionState, Feed
from ingestion.binance.lane import FeedLimits
from ingestion.ingest.exchange import Exchange, Rest, ServerTime
from ingestion.klines.frames import Inbox, KlineSession
from ingestion.pipeline.records import DeadLetter, Kline

log = structlog.get_logger(__name__)

# Of every symbol. The minutes of symbols watched for trades come through the processor, and their longer candles by
# REST, as a check that owes nothing to the stream.
_OF_ALL = ("1s",)
_OF_KLINES_ONLY = ("1m", "15m", "1h", "1d")
_CLOSE_S = 3.0


class KlineStreams:
    """Two feeds: seconds of all symbols, and the rest of those that are watched for klines only.

    ``turn`` the loop often: between the turns sockets are buffered by the system.
    """

    def __init__(
        self,
        ws_url: str,
        rest: Rest,
        executor: Executor,
        source: str,
        *,
        rng: random.Random,
        limits: FeedLimits | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._url, self._source, self._rng, self._limits, self._clock = ws_url, source, rng, limits, clock
        self._server_time = ServerTime(Exchange(rest, executor, rng=rng))
        self._inbox = Inbox()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._feeds = [self._feed("kline-1s-", _OF_ALL), self._feed("kline-", _OF_KLINES_ONLY)]
        self._tasks: list[asyncio.Task[None]] = []
        self._wanted: tuple[frozenset[str], frozenset[str]] = (frozenset(), frozenset())
        self._asked = self._wanted

    def watch(self, all_symbols: Iterable[str], klines_only: Iterable[str]) -> None:
        """These symbols from now on; takes effect with the next ``turn``."""
        self._wanted = (frozenset(all_symbols), frozenset(klines_only))

    def turn(self, seconds: float) -> None:
        """Read what comes for so long. Raises what made a feed end by itself."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._tasks = [self._loop.create_task(feed.run()) for feed in self._feeds]
        self._loop.run_until_complete(self._turn(seconds))

    def take(self) -> tuple[list[Kline], list[DeadLetter]]:
        """The closed klines and the letters since the last call."""
        return self._inbox.take()

    def clocks(self) -> dict[str, int]:
        """The newest event time of each symbol's frames."""
        return self._inbox.clocks

    def states(self) -> list[ConnectionState]:
        return [state for feed in self._feeds for state in feed.states()]

    def refused_by_region(self) -> str | None:
        return next((said for feed in self._feeds if (said := feed.refused_by_region)), None)

    def close(self) -> None:
        """Close the connections."""
        if self._loop is None:
            return
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            self._loop.run_until_complete(asyncio.wait(self._tasks, timeout=_CLOSE_S))
        self._loop.close()
        self._loop = None

    def _feed(self, prefix: str, intervals: tuple[str, ...]) -> Feed:
        def names(symbol: str) -> tuple[str, ...]:
            return tuple(f"{symbol.lower()}@kline_{interval}" for interval in intervals)

        def session(connection: Connection) -> KlineSession:
            return KlineSession(connection, self._inbox, self._server_time, self._source, intervals, clock=self._clock)

        return Feed(self._url, session, rng=self._rng, limits=self._limits, names=names, prefix=prefix)

    async def _turn(self, seconds: float) -> None:
        if self._wanted != self._asked:
            self._asked = self._wanted
            for feed, symbols in zip(self._feeds, self._wanted, strict=True):
                feed.watch(symbols)
        done, _ = await asyncio.wait(self._tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
