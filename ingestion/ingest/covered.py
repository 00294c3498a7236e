"""What earlier runs have started, as the log tells it: the newest record of ``candles_live`` of each symbol."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import structlog

from ingestion.log import codec
from ingestion.log.port import Log, Stored, TopicPartition
from ingestion.log.topics import CANDLES_LIVE
from ingestion.pipeline.records import Live

log = structlog.get_logger(__name__)

T = TypeVar("T")

_READ_RECORDS = 5_000
_READ_TIMEOUT_S = 1.0


@dataclass(frozen=True, slots=True)
class Covered:
    """An open segment: since when it is covered, and the newest feed time known of its symbol (epoch ms)."""

    covered_from: int
    feed_time: int


def read_covered(source: Log) -> dict[str, Covered]:
    """The symbols with an open segment. Blocks while it reads what the log keeps of a small topic."""
    return open_segments(_decode(_read_all(source, CANDLES_LIVE.name), codec.live))


def open_segments(lives: Iterable[Live]) -> dict[str, Covered]:
    """The open segment of each symbol that has one, from the records of ``candles_live`` in their order.

    The newest of each symbol outlives every retention, which the events of ``coverage`` do not.
    """
    newest = {live.symbol: live for live in lives}
    return {
        symbol: Covered(live.covered_from, live.feed_time)
        for symbol, live in newest.items()
        if live.covered_from is not None
    }


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
