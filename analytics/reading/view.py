"""What the log says that the tables do not yet: the newest state of each symbol, kept by one tail.

Written by the tail's thread, read by any. A symbol's "now" is its feed's clock, never the machine's.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from analytics.reading.cursor import seq_of
from analytics.reading.reports import best_reports
from ingestion.log import topics
from ingestion.log.port import Stored, TopicPartition
from ingestion.pipeline.coverage import SymbolCoverage, apply_events
from ingestion.pipeline.records import CandleReason, CandleRecord, CoverageEvent, Enriched, Kline, Live
from markets.types import MINUTE_MS, Interval

# Per symbol. A sink that is down for hours must not fill the memory of every web process: past this the
# oldest are let go, and answers lack them until the sink is back. Reached only far beyond back-pressure.
MAX_UNSUNK = 200_000
# The exchange's own candles that judge ours on read. A minute's verdict is a record; seconds have theirs when stored.
KLINE_TOPICS = {topics.PRICES[interval].name: interval for interval in (Interval.M15, Interval.H1, Interval.D1)}


class Tailed(NamedTuple):
    """A record of the log: as stored, and what it says."""

    stored: Stored
    record: CandleRecord | Live | CoverageEvent | Enriched | Kline


class Clock(NamedTuple):
    """Where a symbol stands: its feed's clock, and the end of its last closed minute."""

    feed_time: int
    closed_to: int


class _Symbol:
    """What is known of one symbol. Only the view touches it, under its lock."""

    def __init__(self) -> None:
        self.live: Live | None = None
        self.moved_at_ms: int | None = None
        self.closed_to: int | None = None
        self.coverage = SymbolCoverage()
        self.candles: deque[tuple[int, CandleRecord]] = deque(maxlen=MAX_UNSUNK)
        self.trades: deque[tuple[int, Enriched]] = deque(maxlen=MAX_UNSUNK)
        self.klines: dict[str, deque[tuple[int, Kline]]] = {}
        self.changes: deque[tuple[int, CoverageEvent]] = deque(maxlen=MAX_UNSUNK)

    def take_live(self, stored: Stored, live: Live) -> None:
        if self.live is None or live.feed_time > self.live.feed_time:
            self.moved_at_ms = stored.timestamp
        self.live = live
        self._close(live.closed_to)

    def take_candle(self, stored: Stored, record: CandleRecord) -> None:
        self.candles.append((stored.offset, record))
        # Minutes close in order, and this record may be read before the live one of the same commit.
        if record.reason == CandleReason.CLOSED:
            self._close(record.candle.open_time + MINUTE_MS)

    def _close(self, closed_to: int | None) -> None:
        if closed_to is not None and (self.closed_to is None or closed_to > self.closed_to):
            self.closed_to = closed_to


class LiveView:
    """The state of every symbol as the log tells it, and the records that the sink has not stored yet."""

    def __init__(self, partition_of: Callable[[str, str], int], epoch: Callable[[str], int]) -> None:
        """``partition_of(topic, symbol)`` and ``epoch(topic)`` are the log's."""
        self._partition_of = partition_of
        self._epoch = epoch
        self._lock = threading.Lock()
        self._symbols: dict[str, _Symbol] = {}
        self._next: dict[TopicPartition, int] = {}

    # --- reading ---------------------------------------------------------------------------------

    def symbols(self) -> list[str]:
        """The symbols that the log has told of, sorted."""
        with self._lock:
            return sorted(self._symbols)

    def live(self, symbol: str) -> Live | None:
        """The newest record of ``candles_live``."""
        return self._of(symbol).live

    def feed_time(self, symbol: str) -> int | None:
        """The symbol's "now"; None before its first frame."""
        live = self._of(symbol).live
        return None if live is None else live.feed_time

    def clock(self, symbol: str) -> Clock | None:
        """The symbol's clock, and up to where its minutes are closed; None before its first frame."""
        with self._lock:
            state = self._symbols.get(symbol)
            if state is None or state.live is None:
                return None
            closed_to = state.closed_to or 0
            return Clock(max(state.live.feed_time, closed_to), closed_to)

    def stale_s(self, symbol: str, now_ms: int) -> float | None:
        """For how long, by the machine's clock (``now_ms``), the symbol's clock has not moved."""
        moved_at = self._of(symbol).moved_at_ms
        return None if moved_at is None else max(now_ms - moved_at, 0) / 1000

    def coverage(self, symbol: str) -> SymbolCoverage:
        return self._of(symbol).coverage

    def unsunk_candles(self, symbol: str) -> list[tuple[int, CandleRecord]]:
        """(offset, record) of ``candles_1m`` that the tables may lack, in the order of the log."""
        with self._lock:
            state = self._symbols.get(symbol)
            return [] if state is None else list(state.candles)

    def unsunk_trades(self, symbol: str) -> list[tuple[int, Enriched]]:
        """(offset, record) of ``enriched_trades`` that the tables may lack, in the order of the log."""
        with self._lock:
            state = self._symbols.get(symbol)
            return [] if state is None else list(state.trades)

    def unsunk_coverage(self, symbol: str) -> list[tuple[int, CoverageEvent]]:
        """(offset, event) of ``coverage`` that the tables may lack, in the order of the log."""
        with self._lock:
            state = self._symbols.get(symbol)
            return [] if state is None else list(state.changes)

    def unsunk_klines(self, symbol: str) -> list[Kline]:
        """The klines of ``KLINE_TOPICS`` that the tables may lack, of each interval in the order of the log."""
        with self._lock:
            state = self._symbols.get(symbol)
            return [] if state is None else [kline for kept in state.klines.values() for _, kline in kept]

    def seq(self, topic: str, symbol: str) -> int:
        """The sequence number up to which tables and view together hold all of the symbol's records.

        Take it before the rows: what comes after it is found in the log from there.
        """
        place = TopicPartition(topic, self._partition_of(topic, symbol))
        with self._lock:
            return seq_of(self._epoch(topic), self._next.get(place, 0))

    def epoch(self, topic: str) -> int:
        """The topic's epoch: the upper part of its sequence numbers."""
        return self._epoch(topic)

    def has_reached(self, ends: Mapping[TopicPartition, int]) -> bool:
        """True when everything before these offsets has been taken."""
        with self._lock:
            return all(self._next.get(place, 0) >= end for place, end in ends.items())

    def places(self) -> dict[TopicPartition, int]:
        """The next offset to take, by partition; empty before the start."""
        with self._lock:
            return dict(self._next)

    def _of(self, symbol: str) -> _Symbol:
        with self._lock:
            return self._symbols.get(symbol) or _Symbol()

    # --- writing: the tail's thread only ----------------------------------------------------------

    def start_at(self, places: Mapping[TopicPartition, int], coverage: Mapping[str, SymbolCoverage]) -> None:
        """Begin from what the tables hold: the sink's next offsets, and each symbol's coverage."""
        with self._lock:
            self._next = dict(places)
            for symbol, known in coverage.items():
                self._symbols.setdefault(symbol, _Symbol()).coverage = known

    def take(self, batch: Iterable[Tailed], places: Mapping[TopicPartition, int]) -> None:
        """Take records in, in the order of the log; ``places``: the offsets after them, by partition."""
        changes: dict[str, list[CoverageEvent]] = {}
        with self._lock:
            for stored, record in batch:
                if isinstance(record, CoverageEvent):
                    changes.setdefault(stored.key, []).append(record)
                    self._symbols.setdefault(stored.key, _Symbol()).changes.append((stored.offset, record))
                else:
                    self._take(self._symbols.setdefault(stored.key, _Symbol()), stored, record)
            for symbol, events in changes.items():
                state = self._symbols.setdefault(symbol, _Symbol())
                state.coverage = apply_events(state.coverage, events)
            self._next.update(places)

    @staticmethod
    def _take(state: _Symbol, stored: Stored, record: Any) -> None:
        match record:
            case Live():
                state.take_live(stored, record)
            case CandleRecord():
                state.take_candle(stored, record)
            case Enriched():
                state.trades.append((stored.offset, record))
            case Kline():
                kept = state.klines.setdefault(stored.topic, deque(maxlen=MAX_UNSUNK))
                kept.append((stored.offset, record))

    def forget_sunk(self, sunk: Mapping[tuple[str, int], int]) -> None:
        """Let go of what the sink has stored; ``sunk``: its next offset by (topic, partition)."""
        with self._lock:
            for symbol, state in self._symbols.items():
                self._drop(state.candles, topics.CANDLES_1M.name, symbol, sunk)
                self._drop(state.trades, topics.ENRICHED_TRADES.name, symbol, sunk)
                self._drop(state.changes, topics.COVERAGE.name, symbol, sunk)
                for topic, klines in state.klines.items():
                    self._drop(klines, topic, symbol, sunk)

    def _drop(
        self,
        records: deque[tuple[int, Any]],
        topic: str,
        symbol: str,
        sunk: Mapping[tuple[str, int], int],
    ) -> None:
        if not records:
            return
        stored_to = sunk.get((topic, self._partition_of(topic, symbol)), 0)
        while records and records[0][0] < stored_to:
            records.popleft()


class Snapshot(msgspec.Struct, frozen=True):
    """All that one answer takes from the view, read once and before the tables.

    ``seq`` and ``trades_seq``: tables and snapshot together hold all of the symbol's candle records (trades)
    before it. ``as_of``: all of it is what was known at that time, and so must be what is read of
    the tables; None: now.
    """

    symbol: str
    clock: Clock | None
    live: Live | None
    coverage: SymbolCoverage
    seq: int
    trades_seq: int
    unsunk: tuple[CandleRecord, ...] = ()
    unsunk_trades: tuple[Enriched, ...] = ()
    klines: tuple[Kline, ...] = ()
    as_of: int | None = None

    def unsunk_klines(self, interval: Interval) -> dict[int, Kline]:
        """The interval's klines that the tables may lack, by open time."""
        return best_reports(kline for kline in self.klines if kline.interval == interval)


def snapshot(view: LiveView, symbol: str) -> Snapshot:
    """What the view holds of a symbol now. The sequence numbers are read first: they are never ahead of the rest."""
    seq = view.seq(topics.CANDLES_1M.name, symbol)
    trades_seq = view.seq(topics.ENRICHED_TRADES.name, symbol)
    unsunk = tuple(record for _, record in view.unsunk_candles(symbol))
    trades = tuple(record for _, record in view.unsunk_trades(symbol))
    klines = tuple(view.unsunk_klines(symbol))
    return Snapshot(
        symbol, view.clock(symbol), view.live(symbol), view.coverage(symbol), seq, trades_seq, unsunk, trades, klines
    )
