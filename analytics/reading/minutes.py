"""Stored candles and the log's, merged: the one way to the minutes of a symbol, at any width from 1m up."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import reduce
from typing import NamedTuple

from analytics.clickhouse.client import client
from analytics.clickhouse.sql import sql
from analytics.reading.known import KnownCandle, join, merge_known, newest, of_forming, of_record
from analytics.reading.stored import Span, Width, buckets
from analytics.reading.view import Clock, Snapshot
from ingestion.log.topics import PRICES
from ingestion.pipeline.records import Candle, Kline
from markets.types import MINUTE_MS, Interval

# The last time that ClickHouse can say (the year 2299).
FOREVER = 10_413_000_000_000
_GROWTH = 8


class Wish(NamedTuple):
    """Which candles are wanted: up to ``limit`` of ``span``, from its start or (``newest``) up to its end."""

    interval: Interval
    span: Span
    limit: int
    newest: bool = False
    forming: bool = False
    with_empty: bool = True


def wished(snapshot: Snapshot, wish: Wish) -> list[KnownCandle]:
    """The candles of a wish, oldest first: what is stored, what the sink has not stored yet, what is forming."""
    joined = _minutes(snapshot, wish) if wish.interval is Interval.M1 else _joined(snapshot, wish)
    if not wish.with_empty:
        joined = [known for known in joined if known.candle.agg_trades]
    return joined[-wish.limit :] if wish.newest else joined[: wish.limit]


def _minutes(snapshot: Snapshot, wish: Wish) -> list[KnownCandle]:
    told, forming = _told(snapshot, wish)
    known = _settled((*_stored(snapshot, wish, []), *told), forming)
    return sorted(known, key=lambda item: item.open_time)


def _joined(snapshot: Snapshot, wish: Wish) -> list[KnownCandle]:
    overlay = _overlay(snapshot, wish)
    stored = _stored(snapshot, wish, [part.open_time for part in overlay])
    return join((*stored, *overlay), wish.interval)


def one(snapshot: Snapshot, span: Span) -> KnownCandle | None:
    """All closed minutes of a span of any width as one candle; None when there is none."""
    overlay = _overlay(snapshot, Wish(Interval.M1, span, 1))
    told = [part.open_time for part in overlay]
    width = Width(span.end - span.start, span.start)
    rows = buckets(snapshot.symbol, Interval.M1, span, width=width, minutes=told)
    parts = sorted((*rows, *overlay), key=lambda part: part.open_time)
    return reduce(merge_known, parts) if parts else None


def closes(snapshot: Snapshot, span: Span) -> list[tuple[int, int]]:
    """(open time, close) of every closed minute with trades in the span, oldest first."""
    overlay = _overlay(snapshot, Wish(Interval.M1, span, 1))
    rows = client().query(
        sql("minute_closes"),
        parameters={"symbol": snapshot.symbol, "start": span.start, "end": span.end},
    )
    found = dict(rows.result_rows)
    found.update((part.open_time, part.candle.close) for part in overlay if part.candle.agg_trades)
    return sorted(found.items())


def close_before(snapshot: Snapshot, time_ms: int) -> int | None:
    """The close of the last minute with trades before ``time_ms``; None when none is known."""
    question = "close_before" if snapshot.as_of is None else "close_before_as_of"
    parameters = {"symbol": snapshot.symbol, "before": time_ms, "as_of": snapshot.as_of or 0}
    row = client().query(sql(question), parameters=parameters).first_row
    found = [] if row is None else [tuple(row)]
    # Of one minute the later record of the log has at least the trades of the earlier.
    found += [
        (record.candle.open_time, record.candle.agg_trades, record.candle.close)
        for record in snapshot.unsunk
        if record.candle.open_time < time_ms and record.candle.agg_trades
    ]
    return max(found)[2] if found else None


def clock_of(snapshot: Snapshot) -> Clock | None:
    """The symbol's clock; where the log tells none, the end of the last minute known. None: nothing is known."""
    if snapshot.clock is not None:
        return snapshot.clock
    stored = extent(snapshot.symbol)
    ends = [record.candle.open_time + MINUTE_MS for record in snapshot.unsunk]
    ends += [] if stored is None else [stored.end]
    return Clock(max(ends), max(ends)) if ends else None


def odd_close_times(symbol: str, interval: Interval, span: Span) -> dict[int, int]:
    """The close times of the exchange's klines that do not end where their bucket does, by open time."""
    rows = client().query(
        sql("odd_close_times"),
        parameters={
            "symbol": symbol,
            "interval": interval.value,
            "start": span.start,
            "end": span.end,
            "width_ms": interval.width_ms or 0,
        },
    )
    return dict(rows.result_rows)


def own_klines(symbol: str, interval: Interval, span: Span) -> dict[int, Kline]:
    """The exchange's own closed candles of this very interval in the span, by open time."""
    if interval not in PRICES:
        return {}
    parameters = {"symbol": symbol, "interval": interval.value, "start": span.start, "end": span.end}
    rows = client().query(sql("own_klines"), parameters=parameters).result_rows
    return {row[0]: Kline(symbol, interval.value, *row[:-2], True, *row[-2:]) for row in rows}


def extent(symbol: str) -> Span | None:
    """From the first stored minute to the end of the last; None when nothing is stored."""
    row = client().query(sql("minute_extent"), parameters={"symbol": symbol}).first_row
    return None if row is None or not row[2] else Span(row[0], row[1] + MINUTE_MS)


# --- the log's part -----------------------------------------------------------------------------------


def _told(snapshot: Snapshot, wish: Wish) -> tuple[list[KnownCandle], list[KnownCandle]]:
    """The closed minutes of the wish that the sink has not stored yet, and the forming ones."""
    span = _minutes_of(wish)
    told = [of_record(r) for r in snapshot.unsunk if span.holds(r.candle.open_time)]
    running = forming_candles(snapshot) if wish.forming else ()
    return told, [of_forming(candle) for candle in running if span.holds(candle.open_time)]


def _settled(versions: Iterable[KnownCandle], forming: Iterable[KnownCandle]) -> list[KnownCandle]:
    """Each minute once. One that has closed since the live record was read is closed."""
    closed = newest(versions)
    return [*closed.values(), *(known for known in forming if known.open_time not in closed)]


def _overlay(snapshot: Snapshot, wish: Wish) -> list[KnownCandle]:
    """The minutes that the log knows better than the tables may, each once."""
    told, forming = _told(snapshot, wish)
    minutes = sorted({known.open_time for known in (*told, *forming)})
    if not minutes:
        return []
    reach = Span(minutes[0], minutes[-1] + 1)
    stored = buckets(snapshot.symbol, Interval.M1, reach, as_of=snapshot.as_of, minutes=minutes, inside=True)
    return _settled((*stored, *told), forming)


def forming_candles(snapshot: Snapshot) -> Sequence[Candle]:
    """The 1m candles that are not closed yet, oldest first."""
    live = snapshot.live
    if live is None:
        return ()
    return (*live.pending, *(() if live.candle is None else (live.candle,)))


def _minutes_of(wish: Wish) -> Span:
    """The minutes that belong to buckets which open inside the wish's span."""
    if wish.interval is Interval.M1:
        return wish.span
    start, end = (first_open(wish.interval, edge) for edge in wish.span)
    return Span(start, end)


def first_open(interval: Interval, time_ms: int) -> int:
    """The first open time that is not before ``time_ms``."""
    open_time = interval.open_of(max(time_ms, 0))
    return open_time if open_time >= time_ms else interval.next_open(open_time)


# --- the tables' part ---------------------------------------------------------------------------------


def _stored(snapshot: Snapshot, wish: Wish, told: list[int]) -> list[KnownCandle]:
    """Up to ``limit`` stored buckets, without the minutes that the log told of."""
    keep = sorted({wish.interval.open_of(minute) for minute in told})
    found: list[KnownCandle] = []
    for chunk in chunks(wish, lambda: extent(snapshot.symbol)):
        found += buckets(
            snapshot.symbol,
            wish.interval,
            chunk,
            as_of=snapshot.as_of,
            minutes=told,
            keep=keep,
            with_empty=wish.with_empty,
            newest=wish.newest,
            limit=wish.limit - len(found),
        )
        if len(found) >= wish.limit:
            break
    return found


def chunks(wish: Wish, extent_of: Callable[[], Span | None]) -> Iterator[Span]:
    """The wish's span in pieces, nearest first: a page of a dense market needs only the first one.

    ``extent_of``: from the first to the last time with data; asked only when the first piece was not enough.
    """
    span, step = _minutes_of(wish), wish.limit
    near = _piece(span, wish, step)
    if near.end > near.start:
        yield near
    known = extent_of() if near != span else None
    while known is not None and near != span:
        span = Span(span.start, near.start) if wish.newest else Span(near.end, span.end)
        first = wish.interval.open_of(known.start)
        span = Span(max(span.start, first), min(span.end, known.end))
        if span.start >= span.end:
            return
        step *= _GROWTH
        near = _piece(span, wish, step)
        yield near


def _piece(span: Span, wish: Wish, buckets: int) -> Span:
    if wish.newest:
        end = wish.interval.open_of(max(span.end - 1, 0))
        return Span(max(span.start, wish.interval.step_back(end, min(buckets, _reach(wish, end)))), span.end)
    start = wish.interval.open_of(span.start)
    width = wish.interval.width_ms or 31 * 86_400_000
    return Span(span.start, min(span.end, wish.interval.open_of(start + buckets * width)))


def _reach(wish: Wish, end: int) -> int:
    """No more buckets back than there are since the epoch."""
    return end // (wish.interval.width_ms or 28 * 86_400_000)
