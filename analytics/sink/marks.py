"""Which buckets a batch of records makes dirty: pure, from the records alone."""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from ingestion.pipeline.records import CandleRecord, CoverageEvent, CoverageKind, Enriched, Kline
from ingestion.pipeline.verdict import VERDICTS
from markets.types import MINUTE_MS, Interval

# The intervals that are kept rolled up; every other one is merged from 1m on read.
CACHED = (Interval.H1, Interval.D1)
# Those above 1m of which the exchange's own candle is kept: compared when that comes, and when a minute changes.
CHECKED = (Interval.M15, *CACHED)
_SETTLES = (CoverageKind.GAP_CLOSED, CoverageKind.HOLE)


class Mark(NamedTuple):
    """A bucket that must be made again."""

    symbol: str
    interval: str
    open_time: int


class Minutes(NamedTuple):
    """All minutes from ``first`` to ``last`` (open times, both included): history may be a year of them."""

    symbol: str
    first: int
    last: int


class Marks(NamedTuple):
    """What a batch makes dirty. ``trades_to``: see Dirty; None leaves what a bucket waits for already.

    ``arrived_ms``: the machine's time at which the newest of its records came into the log; None is now.
    """

    buckets: Iterable[Mark] = ()
    spans: Iterable[Minutes] = ()
    trades_to: int | None = None
    arrived_ms: int | None = None


def of_trades(records: Iterable[Enriched]) -> Iterator[Mark]:
    """The minutes of the trades that came after their minute had closed."""
    for record in records:
        if record.late:
            yield _minute(record.trade.symbol, record.trade.trade_time)


def of_coverage(events: Iterable[CoverageEvent]) -> Iterator[Minutes]:
    """Every minute of the spans that are settled now (filled, a hole, or empty history); spans that touch are one."""
    spans = sorted(span for span in map(_settled, events) if span is not None)
    joined: Minutes | None = None
    for span in spans:
        if joined is not None and joined.symbol == span.symbol and span.first <= joined.last + MINUTE_MS:
            joined = joined._replace(last=max(joined.last, span.last))
            continue
        if joined is not None:
            yield joined
        joined = span
    if joined is not None:
        yield joined


def _settled(event: CoverageEvent) -> Minutes | None:
    end = event.to_time if event.to_time is not None else event.from_time
    if event.kind == CoverageKind.SEGMENT_OPENED and event.to_time is not None:
        end = event.to_time - 1
    elif event.kind not in _SETTLES or end is None:
        return None
    # Without a trade held below, the span begins where its end is: it is bounded by one bucket.
    start = end if event.from_time is None else event.from_time
    return Minutes(event.symbol, Interval.M1.open_of(start), Interval.M1.open_of(end))


def of_klines(klines: Iterable[Kline]) -> Iterator[Mark]:
    """The minutes whose closed kline the processor could not compare itself, and the larger buckets to check."""
    for kline in klines:
        if kline.interval == Interval.M1:
            if kline.recheck:
                yield _minute(kline.symbol, kline.open_time)
        elif kline.closed and kline.interval in CHECKED:
            yield Mark(kline.symbol, kline.interval, kline.open_time)


def without_verdict(records: Iterable[CandleRecord]) -> Iterator[Mark]:
    """The minutes that may get their verdict at once: the exchange's kline may have been stored before them."""
    for record in records:
        if record.state not in VERDICTS:
            yield _minute(record.candle.symbol, record.candle.open_time)


def parents(records: Iterable[CandleRecord], newest: Mapping[str, int]) -> Iterator[Mark]:
    """The closed buckets above the minutes. ``newest``: the newest closed minute of each symbol."""
    for record in records:
        candle = record.candle
        closed_to = newest.get(candle.symbol, candle.open_time) + MINUTE_MS
        for interval in CHECKED:
            open_time = interval.open_of(candle.open_time)
            if interval.next_open(open_time) <= closed_to:
                yield Mark(candle.symbol, interval.value, open_time)


def _minute(symbol: str, time_ms: int) -> Mark:
    return Mark(symbol, Interval.M1.value, Interval.M1.open_of(time_ms))
