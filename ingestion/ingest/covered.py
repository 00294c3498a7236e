"""What earlier runs have started, as the log tells it: the fold of ``coverage`` and the newest ``candles_live``."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

import structlog

from ingestion.log import codec
from ingestion.log.port import Log, Stored, TopicPartition
from ingestion.log.topics import CANDLES_LIVE, COVERAGE
from ingestion.pipeline.coverage import fold_events
from ingestion.pipeline.records import CoverageEvent, Live

log = structlog.get_logger(__name__)

T = TypeVar("T")

_READ_RECORDS = 5_000
_READ_TIMEOUT_S = 1.0


@dataclass(frozen=True, slots=True)
class Covered:
    """An open segment: since when it is covered, and the newest feed time known of its symbol (epoch ms).

    ``covered_from`` is None when the log no longer holds the event that opened it.
    """

    covered_from: int | None
    feed_time: int


def read_covered(source: Log) -> dict[str, Covered]:
    """The symbols with an open segment. Blocks while it reads what the log keeps of two small topics."""
    events: dict[str, list[CoverageEvent]] = defaultdict(list)
    for event in _decode(_read_all(source, COVERAGE.name), codec.coverage):
        events[event.symbol].append(event)
    newest = {live.symbol: live for live in _decode(_read_all(source, CANDLES_LIVE.name), codec.live)}
    return open_segments(events, newest)


def open_segments(events: Mapping[str, list[CoverageEvent]], newest: Mapping[str, Live]) -> dict[str, Covered]:
    """The open segment of each symbol that has one.

    A symbol whose coverage events fell to retention (it has run for weeks) is known by its live record.
    """
    found = {}
    for symbol in events.keys() | newest.keys():
        segments = fold_events(events.get(symbol, ())).segments
        live = newest.get(symbol)
        feed_time = live.feed_time if live else 0
        if segments and segments[-1].covered_to is None:
            found[symbol] = Covered(segments[-1].covered_from, max(feed_time, segments[-1].covered_from))
        elif not segments and live and live.last_trade_id is not None:
            found[symbol] = Covered(None, feed_time)
    return found


def _read_all(source: Log, topic: str) -> Iterator[Stored]:
    places = [TopicPartition(topic, number) for number in range(source.partitions(topic))]
    ends = {place: source.end_offset(*place) for place in places}
    behind = {place: source.start_offset(*place) for place in places}
    behind = {place: start for place, start in behind.items() if start < ends[place]}
    if not behind:
        return
    tail = source.tail(behind)
    try:
        while behind:
            records = tail.poll(_READ_RECORDS, _READ_TIMEOUT_S)
            if not records:
                return  # Compaction took the last ones: there is nothing more to come.
            yield from records
            for record in records:
                place = TopicPartition(record.topic, record.partition)
                if record.offset + 1 >= ends[place]:
                    behind.pop(place, None)
    finally:
        tail.close()


def _decode(records: Iterable[Stored], decode: Callable[[bytes], T]) -> Iterator[T]:
    for record in records:
        try:
            yield decode(record.value)
        except codec.Unreadable as error:
            log.warning("A record is passed over", topic=record.topic, offset=record.offset, error=str(error))
