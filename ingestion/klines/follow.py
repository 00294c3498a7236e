"""What the log tells: minutes that the processor has forwarded, disputes, and since when a symbol's trades are held."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import structlog

from ingestion.log import codec
from ingestion.log.port import Log, Stored, Tail, TopicPartition
from ingestion.log.topics import CANDLES_1M, COVERAGE, PRICES
from ingestion.pipeline.records import CoverageKind, Kline
from markets.types import Interval

log = structlog.get_logger(__name__)

_MINUTES: Final = PRICES[Interval.M1.value].name
# Disputes of an earlier run are looked for so many records back.
_LOOK_BACK: Final = 20_000
_AT_ONCE: Final = 5_000


@dataclass
class News:
    """What was told since the last look. ``verdicts``: (symbol, open time, state) of minutes.

    ``covered``: the earliest times from which symbols are covered, as far as told now.
    """

    minutes: list[Kline] = field(default_factory=list)
    verdicts: list[tuple[str, int, str]] = field(default_factory=list)
    covered: dict[str, int] = field(default_factory=dict)


class LogFollower:
    """Reads three topics on, from where they matter to a start. ``is_disputed``: does a symbol have disputed minutes?

    Minutes are followed from the end of the log: what was forwarded while nobody looked is asked for by REST.
    """

    def __init__(self, source: Log, is_disputed: Callable[[str], bool]) -> None:
        self._log, self._is_disputed = source, is_disputed
        self._tail: Tail | None = None
        self._take = {_MINUTES: self._take_minute, CANDLES_1M.name: self._take_verdict, COVERAGE.name: self._take_event}

    def poll(self) -> News:
        """What is new, at once. Raises LogError."""
        if self._tail is None:
            self._tail = self._log.tail(self._starts())
        news = News()
        while True:
            records = self._tail.poll(_AT_ONCE, 0.0)
            self._sort(records, news)
            if len(records) < _AT_ONCE:
                return news

    def close(self) -> None:
        if self._tail is not None:
            self._tail.close()
            self._tail = None

    def _starts(self) -> dict[TopicPartition, int]:
        starts = {place: self._log.end_offset(*place) for place in self._places(_MINUTES)}
        for place in self._places(CANDLES_1M.name):
            starts[place] = max(self._log.start_offset(*place), self._log.end_offset(*place) - _LOOK_BACK)
        return starts | {place: self._log.start_offset(*place) for place in self._places(COVERAGE.name)}

    def _places(self, topic: str) -> Iterable[TopicPartition]:
        return [TopicPartition(topic, number) for number in range(self._log.partitions(topic))]

    def _sort(self, records: Sequence[Stored], news: News) -> None:
        for stored in records:
            try:
                self._take[stored.topic](stored, news)
            except codec.Unreadable as error:
                log.warning("A record is passed over", topic=stored.topic, offset=stored.offset, error=str(error))

    def _take_minute(self, stored: Stored, news: News) -> None:
        kline = codec.kline(stored.value)
        if kline.closed:
            news.minutes.append(kline)

    def _take_verdict(self, stored: Stored, news: News) -> None:
        # Most records are neither a dispute nor its end: looking is cheaper than reading.
        if b'"disputed"' not in stored.value and not self._is_disputed(stored.key):
            return
        record = codec.candle(stored.value)
        news.verdicts.append((stored.key, record.candle.open_time, record.state))

    @staticmethod
    def _take_event(stored: Stored, news: News) -> None:
        event: Any = codec.coverage(stored.value)
        if event.kind == CoverageKind.SEGMENT_OPENED and event.from_time is not None:
            known = news.covered.get(event.symbol, event.from_time)
            news.covered[event.symbol] = min(known, event.from_time)
