"""One turn of a partition: which klines the sink has stored since the last one, and every value that depends on them.

A place of its own in the topic, leased and advanced like the sink's: a kill at any line repeats the turn, and a
repeated turn stores the same rows. Nothing is lost with a wake-up: the place does not move without its rows.
"""

import random
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import structlog

from analytics import metrics
from analytics.indicators import store
from analytics.indicators.compute import first_needed, last_affected, rows
from analytics.indicators.store import Series
from analytics.models import SinkPosition
from analytics.reading.cursor import seq_of
from analytics.sink import positions
from analytics.sink.marks import Marks
from ingestion.log import codec
from ingestion.log.port import Log, RangeGone, Stored, TopicPartition
from ingestion.log.topics import PRICES
from markets.types import Interval

_log = structlog.get_logger(__name__)

INTERVALS: Final = (Interval.M1, Interval.M15, Interval.H1, Interval.D1)
TOPICS: Final = {PRICES[interval.value].name: interval for interval in INTERVALS}
_NAME: Final = "indicators:"
_RECORDS: Final = 5_000
# A long history is computed in parts of so many bars.
_PART_BARS: Final = 10_000


class Span(NamedTuple):
    """Bars that changed: open times from ``first`` to ``last``, both included."""

    first: int
    last: int


def place_of(log: Log, topic: str) -> tuple[str, str]:
    """The id and the name under which the place in a topic is kept."""
    return _NAME + log.topic_id(topic), _NAME + topic


def places(log: Log) -> dict[TopicPartition, int]:
    """How far the indicators of each partition are that was ever looked at."""
    names = {place_of(log, topic)[0]: topic for topic in TOPICS}
    rows = SinkPosition.objects.filter(topic_id__in=names).values_list("topic_id", "partition", "next_offset")
    return {TopicPartition(names[topic_id], partition): next_offset for topic_id, partition, next_offset in rows}


def update(log: Log, topic: str, partition: int, *, chance: random.Random) -> int:
    """Take what is new in the partition; the number of rows stored. 0 when somebody else is at it.

    A failure is kept with the place and tried again later: it never raises for it.
    """
    held = positions.take_lease(*place_of(log, topic), partition, start=log.start_offset(topic, partition))
    if held is None:
        return 0
    try:
        written = _turn(log, topic, held)
        positions.release(held)
    except positions.LeaseLost:
        _log.warning("another worker took the indicators", topic=topic, partition=partition)
        return 0
    except Exception as error:  # noqa: BLE001 - the top of the task: whatever failed is kept, shown and retried
        delay = positions.give_up(held, error, chance.random())
        metrics.INDICATOR_FAILURES.inc()
        _log.error(
            "indicators were not computed, will be tried again",
            topic=topic,
            partition=partition,
            error=f"{type(error).__name__}: {error}",
            retry_in_s=round(delay, 1),
            hint="is ClickHouse up and migrated (clickhouse_migrate --check)?",
        )
        return 0
    return written


def _turn(log: Log, topic: str, held: SinkPosition) -> int:
    place = TopicPartition(topic, held.partition)
    end = min(stored_to(log, place), held.next_offset + _RECORDS)
    if end <= held.next_offset:
        return 0
    try:
        records = log.read_range(*place, held.next_offset, end)
    except RangeGone as gone:
        _log.error(
            "klines were deleted before their indicators were computed",
            topic=topic,
            partition=held.partition,
            lost=gone.oldest - held.next_offset,
            hint="compute_indicators computes everything that is stored",
        )
        positions.advance(held, gone.oldest, Marks())
        return 0
    interval, revision, written = TOPICS[topic], seq_of(log.epoch(topic), end), 0
    for symbol, opens in changed(records).items():
        for span in spans(opens, interval):
            written += compute(symbol, interval, span, revision)
    positions.advance(held, end, Marks())
    return written


def stored_to(log: Log, place: TopicPartition) -> int:
    """The offset up to which the sink has stored the topic."""
    row = SinkPosition.objects.filter(topic_id=log.topic_id(place.topic), partition=place.partition).first()
    return 0 if row is None else row.next_offset


def revision_now(log: Log, interval: Interval, symbol: str) -> int:
    """The revision of values that are computed now from everything that is stored."""
    topic = PRICES[interval.value].name
    place = TopicPartition(topic, log.partition_of(topic, symbol))
    return seq_of(log.epoch(topic), stored_to(log, place))


def compute(symbol: str, interval: Interval, span: Span, revision: int) -> int:
    """Compute and store every value that depends on the bars of the span; the number of rows."""
    last, written = last_affected(interval, span.last), 0
    for part in _parts(interval, Span(span.first, last)):
        bars = store.read_bars(symbol, interval, first_needed(interval, part.first), part.last)
        found = list(rows(bars, interval, part.first))
        written += store.write([Series(symbol, interval, found)], revision)
    metrics.INDICATOR_ROWS.labels(interval.value).inc(written)
    return written


def changed(records: Iterable[Stored]) -> dict[str, set[int]]:
    """The open times of the closed klines, by symbol."""
    found: dict[str, set[int]] = defaultdict(set)
    for stored in records:
        try:
            kline = codec.kline(stored.value)
        except codec.Unreadable:
            continue  # The sink has buried it.
        if kline.closed:
            found[kline.symbol].add(kline.open_time)
    return found


def spans(opens: Iterable[int], interval: Interval) -> Iterator[Span]:
    """Runs of bars whose effects touch, oldest first: what lies far apart is not computed together."""
    run: Span | None = None
    for open_time in sorted(opens):
        if run is not None and open_time <= last_affected(interval, run.last):
            run = Span(run.first, open_time)
            continue
        if run is not None:
            yield run
        run = Span(open_time, open_time)
    if run is not None:
        yield run


def _parts(interval: Interval, span: Span) -> Iterator[Span]:
    first = span.first
    while first <= span.last:
        after = interval.step_back(first, -_PART_BARS)
        yield Span(first, min(after - 1, span.last))
        first = after
