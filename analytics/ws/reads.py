"""What a subscription asks of tables and log before it is live. Every call blocks: call it in a thread."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from django.db import close_old_connections

from analytics.reading import minutes, seconds, trades
from analytics.reading.candles import CandlePage, read_candles
from analytics.reading.known import CandleView, KnownCandle
from analytics.reading.minutes import FOREVER, Span, Wish
from analytics.reading.view import LiveView, snapshot
from analytics.ws.seconds import KEEP_MS
from ingestion.log.port import Log, Stored
from ingestion.pipeline.records import Enriched
from markets import selectors
from markets.types import Interval

SNAPSHOT_ROWS = 200
# One read may span so many buckets; those that lie further apart are read apart.
_RUN = 500


class Seed(NamedTuple):
    """The hours and minutes of a bucket so far, and up to where every minute is closed."""

    closed_to: int
    parts: Sequence[KnownCandle]


class Reads(Protocol):
    """The questions; the hub's tests answer them from memory."""

    def knows(self, symbol: str) -> bool:
        """True when the symbol exists, watched or not."""

    def page(self, symbol: str, interval: Interval) -> CandlePage:
        """The last candles, the forming one at the end."""

    def seed(self, symbol: str, interval: Interval) -> Seed:
        """What the open bucket of an interval above 1m holds."""

    def seconds(self, symbol: str) -> tuple[int, Sequence[Enriched]]:
        """Up to where seconds are closed, and the newest trades."""

    def buckets(self, symbol: str, interval: Interval, opens: Sequence[int]) -> list[CandleView]:
        """The candles of these open times as they are now, oldest first; those that are unknown are left out."""

    def since(self, symbol: str, start: int) -> CandlePage:
        """The closed 1s candles from ``start`` on."""

    def records(self, topic: str, symbol: str, start: int, end: int) -> Sequence[Stored]:
        """The records of the symbol's partition; raises RangeGone when retention took some."""


class StoredReads:
    """The answers of this deployment."""

    def __init__(self, log: Log, view: LiveView) -> None:
        self._log = log
        self._view = view

    def knows(self, symbol: str) -> bool:
        close_old_connections()
        try:
            return selectors.find(symbol) is not None
        finally:
            close_old_connections()

    def page(self, symbol: str, interval: Interval) -> CandlePage:
        return read_candles(symbol, interval, limit=SNAPSHOT_ROWS, forming=True, view=self._view)

    def seed(self, symbol: str, interval: Interval) -> Seed:
        known = snapshot(self._view, symbol)
        clock = minutes.clock_of(known)
        if clock is None:
            return Seed(0, ())
        start = interval.open_of(clock.closed_to)
        hour = max(start, Interval.H1.open_of(clock.closed_to))
        parts: list[KnownCandle] = []
        if hour > start:
            parts += minutes.wished(known, Wish(Interval.H1, Span(start, hour), _RUN * 2))
        parts += minutes.wished(known, Wish(Interval.M1, Span(hour, clock.closed_to), _RUN))
        return Seed(clock.closed_to, parts)

    def seconds(self, symbol: str) -> tuple[int, Sequence[Enriched]]:
        known = snapshot(self._view, symbol)
        clock = minutes.clock_of(known)
        if clock is None:
            return 0, ()
        closed = seconds.closed_to(known, clock)
        reach = Span(max(closed - KEEP_MS, 0), FOREVER)
        return closed, trades.between(symbol, reach, known.unsunk_trades)

    def buckets(self, symbol: str, interval: Interval, opens: Sequence[int]) -> list[CandleView]:
        wanted = set(opens)
        found: list[CandleView] = []
        for run in _runs(interval, sorted(wanted)):
            page = read_candles(
                symbol, interval, start=run.start, end=run.end, limit=_RUN, forming=True, view=self._view
            )
            found += [view for view in page.candles if view.open_time in wanted]
        return found

    def since(self, symbol: str, start: int) -> CandlePage:
        return read_candles(symbol, Interval.S1, start=start, limit=5_000, view=self._view)

    def records(self, topic: str, symbol: str, start: int, end: int) -> Sequence[Stored]:
        return self._log.read_range(topic, self._log.partition_of(topic, symbol), start, end)


def _runs(interval: Interval, opens: Sequence[int]) -> list[Span]:
    """The open times in as few spans as hold at most ``_RUN`` buckets each."""
    spans: list[Span] = []
    for open_time in opens:
        if spans and open_time < _after(interval, spans[-1].start, _RUN):
            spans[-1] = Span(spans[-1].start, open_time + 1)
        else:
            spans.append(Span(open_time, open_time + 1))
    return spans


def _after(interval: Interval, start: int, buckets: int) -> int:
    return start + buckets * (interval.width_ms or 28 * 86_400_000)
