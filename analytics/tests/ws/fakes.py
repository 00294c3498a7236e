"""A hub over memory: the view is real, the tables and the log are lists."""

from collections import defaultdict
from collections.abc import Sequence

from analytics.reading.candles import CandlePage
from analytics.reading.cursor import seq_of
from analytics.reading.known import derive, join, newest, of_forming, of_record, with_kline
from analytics.reading.minutes import Span
from analytics.reading.view import LiveView, Tailed, snapshot
from analytics.tests.samples import BTC
from analytics.ws.config import SocketLimits
from analytics.ws.hub import Hub
from analytics.ws.reads import Seed
from ingestion.log import codec, topics
from ingestion.log.port import RangeGone, Stored, TopicPartition
from ingestion.pipeline.records import CandleRecord, CoverageEvent, Enriched, Kline, Live
from markets.types import MINUTE_MS, Interval

_TOPIC = {
    CandleRecord: topics.CANDLES_1M.name,
    Live: topics.CANDLES_LIVE.name,
    CoverageEvent: topics.COVERAGE.name,
    Enriched: topics.ENRICHED_TRADES.name,
}


class World:
    """A log of one partition in memory, the view of it, and readers that answer from both."""

    def __init__(self, *, oldest: int = 0, known: Sequence[str] = (BTC, "NEWUSDT")) -> None:
        self.view = LiveView(lambda _topic, _symbol: 0, lambda _topic: 1)
        self.log: dict[str, list[Stored]] = defaultdict(list)
        self.oldest, self.known = oldest, known
        self.failures = 0
        self.asked: list[str] = []
        self.hub: Hub | None = None

    async def open_hub(self) -> Hub:
        if self.hub is None:
            self.hub = self.make_hub(SocketLimits(forming_s=0.02))
        return self.hub

    def make_hub(self, limits: SocketLimits) -> Hub:
        self.hub = Hub(self, self.view, lambda _topic: 1, limits)
        return self.hub

    def happen(self, *records: CandleRecord | Live | CoverageEvent | Enriched | Kline) -> None:
        """One commit: the log has it, then the view, then the hub, as the tail does it."""
        batch = [Tailed(self._store(record), record) for record in records]
        places = {TopicPartition(i.stored.topic, 0): i.stored.offset + 1 for i in batch}
        self.view.take(batch, places)
        if self.hub is not None:
            self.hub.on_batch(batch)

    def _store(self, record: CandleRecord | Live | CoverageEvent | Enriched | Kline) -> Stored:
        topic = topics.PRICES[record.interval].name if isinstance(record, Kline) else _TOPIC[type(record)]
        made = codec.to_record(record)
        stored = Stored(topic, 0, len(self.log[topic]), 0, made.key, made.value, made.schema)
        self.log[topic].append(stored)
        return stored

    # --- Reads -----------------------------------------------------------------------------------

    def _ask(self, question: str) -> None:
        self.asked.append(question)
        if self.failures:
            self.failures -= 1
            raise OSError("the tables are away")

    def knows(self, symbol: str) -> bool:
        return symbol in self.known

    def _candles(self, symbol: str, interval: Interval):
        told = [of_record(record) for _, record in self.view.unsunk_candles(symbol)]
        closed = newest(told)
        live = self.view.live(symbol)
        running = [] if live is None else [*live.pending, *([live.candle] if live.candle else [])]
        parts = [*closed.values(), *(of_forming(c) for c in running if c.open_time not in closed)]
        clock = self.view.clock(symbol)
        klines = snapshot(self.view, symbol).unsunk_klines(interval)
        beside = [
            with_kline(known, klines[known.open_time], None) if known.open_time in klines else known
            for known in join(parts, interval)
        ]
        views = [derive(known, self.view.coverage(symbol), clock) for known in beside]
        return [view for view in views if view is not None]

    def page(self, symbol: str, interval: Interval) -> CandlePage:
        self._ask("page")
        known = snapshot(self.view, symbol)
        views = self._candles(symbol, interval) if known.clock else []
        return CandlePage(views[-200:], known.seq, 0, False, Span(0, 0), known.clock, known)

    def seed(self, symbol: str, interval: Interval) -> Seed:
        self._ask("seed")
        clock = self.view.clock(symbol)
        if clock is None:
            return Seed(0, ())
        start = interval.open_of(clock.closed_to)
        told = newest(of_record(record) for _, record in self.view.unsunk_candles(symbol))
        return Seed(clock.closed_to, [part for part in told.values() if part.open_time >= start])

    def seconds(self, symbol: str) -> tuple[int, Sequence[Enriched]]:
        self._ask("seconds")
        return 0, [item for _, item in self.view.unsunk_trades(symbol)]

    def buckets(self, symbol: str, interval: Interval, opens: Sequence[int]):
        self._ask("buckets")
        return [view for view in self._candles(symbol, interval) if view.open_time in set(opens)]

    def since(self, symbol: str, start: int) -> CandlePage:
        raise NotImplementedError

    def records(self, topic: str, symbol: str, start: int, end: int) -> Sequence[Stored]:
        if start < self.oldest:
            raise RangeGone(topic, 0, start, self.oldest)
        return self.log[topic][start:end]


def seq(offset: int) -> int:
    return seq_of(1, offset)


def minutes_of(start: int, count: int) -> list[int]:
    return [start + n * MINUTE_MS for n in range(count)]
