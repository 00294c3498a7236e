"""What is held of one symbol, as the log tells it: the fold of its ``coverage`` events and its newest live record."""

from collections.abc import Iterator
from typing import Final

import msgspec

from ingestion.log import codec
from ingestion.log.port import Log, Stored, TopicPartition
from ingestion.log.topics import CANDLES_LIVE, COVERAGE
from ingestion.pipeline.coverage import Segment, SymbolCoverage, fold_events
from ingestion.pipeline.records import CoverageEvent, CoverageKind

_READ: Final = 5_000
_READ_TIMEOUT_S: Final = 1.0


class Held(msgspec.Struct, frozen=True):
    """``is_whole``: no event of the symbol has fallen to retention. ``feed_time``: its clock, epoch ms."""

    coverage: SymbolCoverage
    is_whole: bool
    feed_time: int

    @property
    def open_segment(self) -> Segment | None:
        """The segment that live trades go to; None before the symbol has started, or when it is switched off."""
        segments = self.coverage.segments
        return segments[-1] if segments and segments[-1].covered_to is None else None

    @property
    def has_started(self) -> bool:
        """True while live trades are held. The event that says so may have fallen to retention."""
        return self.open_segment is not None or (not self.coverage.segments and self.feed_time > 0)


def read_held(log: Log, symbol: str) -> Held:
    """What the log says of the symbol. Blocks while it reads one partition of two small topics."""
    events = [
        event for stored in _read(log, COVERAGE.name, symbol) if (event := _coverage(stored)) and event.symbol == symbol
    ]
    newest = [stored for stored in _read(log, CANDLES_LIVE.name, symbol) if stored.key == symbol]
    return held_of(events, codec.live(newest[-1].value).feed_time if newest else 0)


def held_of(events: list[CoverageEvent], live_time: int) -> Held:
    """The same from the symbol's events, oldest first, and its clock as last published."""
    newest = max((event.known_at for event in events), default=0)
    return Held(fold_events(events), bool(events) and _is_first(events[0]), max(newest, live_time))


def _is_first(event: CoverageEvent) -> bool:
    """A segment bears the time at which it was opened first as its name; told again later, its event is younger."""
    return event.kind == CoverageKind.SEGMENT_OPENED and event.segment == event.known_at


def _coverage(stored: Stored) -> CoverageEvent | None:
    try:
        return codec.coverage(stored.value)
    except codec.Unreadable:
        return None


def _read(log: Log, topic: str, symbol: str) -> Iterator[Stored]:
    partition = log.partition_of(topic, symbol)
    start, end = log.start_offset(topic, partition), log.end_offset(topic, partition)
    if start >= end:
        return
    tail = log.tail({TopicPartition(topic, partition): start})
    try:
        while records := tail.poll(_READ, _READ_TIMEOUT_S):
            yield from records
            if records[-1].offset + 1 >= end:
                return
    finally:
        tail.close()
