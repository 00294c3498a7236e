"""A page of candles of any interval, for REST and for the snapshots of the sockets."""

from bisect import bisect_left, bisect_right

import msgspec

from analytics.reading import minutes, seconds, trades
from analytics.reading.as_of import past
from analytics.reading.known import CandleView, KnownCandle, candle_json, derive, fill_prices, own_missing, with_kline
from analytics.reading.minutes import FOREVER, Span, Wish
from analytics.reading.reports import best_reports
from analytics.reading.tail import get_tail
from analytics.reading.view import Clock, LiveView, Snapshot, snapshot
from ingestion.pipeline.coverage import missing_ids
from ingestion.pipeline.records import Candle
from markets.types import Interval

__all__ = ["CandlePage", "CandleView", "candle_json", "read_candles"]


class CandlePage(msgspec.Struct, frozen=True):
    """Candles in ascending order, and where they stand.

    ``seq``: everything newer than these rows is in the log from there on. ``place``: the first open time that
    the reader does not have for good (never past a forming candle). ``more``: there are further rows now.
    ``span``: the range that the answer speaks of; ``is_whole``: it has no further rows. ``clock``: None while the
    symbol has no data at all.
    """

    candles: list[CandleView]
    seq: int
    place: int
    more: bool
    span: Span
    clock: Clock | None
    snapshot: Snapshot
    is_whole: bool = False


def read_candles(
    symbol: str,
    interval: Interval,
    *,
    start: int | None = None,
    end: int | None = None,
    limit: int = 500,
    forming: bool = False,
    with_empty: bool = True,
    as_of: int | None = None,
    view: LiveView | None = None,
) -> CandlePage:
    """The first ``limit`` candles with ``start <= open_time < end``; without ``start`` the last ones before ``end``.

    Times in epoch ms; an ``end`` after the symbol's now is now. Closed candles, and with ``forming`` also the
    running one. ``with_empty``: buckets without trades are flat candles, else they are left out. ``as_of``: as all of
    it was known at that time of the symbol's clock (then nothing is forming); a later one is now.
    """
    view = get_tail().view if view is None else view
    known = snapshot(view, symbol)
    if as_of is not None:
        known = past(view, known, as_of)
    interval = Interval(interval)
    clock = known.clock if known.as_of is not None else minutes.clock_of(known)
    if clock is None:
        return _nothing(known, start, end)
    last = FOREVER if end is None else end
    wish = Wish(
        interval,
        Span(start or 0, min(last, _readable_to(known, clock, interval, forming=forming))),
        limit + 1,
        newest=start is None,
        forming=forming,
        with_empty=with_empty,
    )
    found = _found(known, clock, wish)
    more = len(found) > limit
    rows = found[-limit:] if wish.newest else found[:limit]
    views = _views(known, clock, rows)
    return CandlePage(
        views,
        known.seq,
        _place(rows, _readable_to(known, clock, interval, forming=False), start, end),
        more and not wish.newest,
        _span(rows, wish, start, end, clock),
        clock,
        known,
        wish.newest or not more,
    )


def all_minutes(page: CandlePage) -> list[Candle] | None:
    """Every closed minute of the page's span, when the page's own candles are these; else None."""
    is_minutes = all(view.candle.interval == Interval.M1 for view in page.candles[:1])
    return [view.candle for view in page.candles] if page.is_whole and page.candles and is_minutes else None


def _found(known: Snapshot, clock: Clock, wish: Wish) -> list[KnownCandle]:
    if wish.span.start >= wish.span.end:
        return []
    if wish.interval is Interval.S1:
        return seconds.wished(known, clock, wish)
    return minutes.wished(known, wish)


def _readable_to(known: Snapshot, clock: Clock, interval: Interval, *, forming: bool) -> int:
    """The end of the open times that can be answered: now, or the first bucket that is not closed."""
    if forming:
        return clock.feed_time + 1
    if interval is Interval.S1:
        return seconds.closed_to(known, clock)
    return interval.open_of(clock.closed_to)


def _views(known: Snapshot, clock: Clock, rows: list[KnownCandle]) -> list[CandleView]:
    if not rows:
        return []
    views = []
    for row in fill_prices(_excused(known, _beside_klines(known, rows)), _close_before(known, rows[0])):
        view = derive(row, known.coverage, clock)
        if view is not None:
            views.append(view)
    return views


def _beside_klines(known: Snapshot, rows: list[KnownCandle]) -> list[KnownCandle]:
    """The rows with what the exchange says of them; of a minute only its close time, its verdict is a record."""
    if known.as_of is not None:
        # Of each candle only the exchange's newest report is kept, and not since when: the minutes' verdicts speak.
        return rows
    interval = Interval(rows[0].candle.interval)
    reach = Span(rows[0].open_time, rows[-1].open_time + 1)
    if interval is Interval.M1:
        odd = minutes.odd_close_times(known.symbol, interval, reach)
        return [msgspec.structs.replace(row, close_time=odd.get(row.open_time)) for row in rows] if odd else rows
    stored = minutes.own_klines(known.symbol, interval, reach)
    klines = best_reports((*stored.values(), *known.unsunk_klines(interval).values()))
    newest = None if known.live is None else known.live.last_trade_id
    return [row if row.open_time not in klines else with_kline(row, klines[row.open_time], newest) for row in rows]


def _excused(known: Snapshot, rows: list[KnownCandle]) -> list[KnownCandle]:
    """The rows, knowing which of the ids that they jump over were declared invalid; asked only where some do."""
    odd = [row.candle for row in rows if _jumps_unexplained(known, row)]
    if not odd:
        return rows
    first = min(candle.first_trade_id or 0 for candle in odd)
    last = max(candle.last_trade_id or 0 for candle in odd)
    invalid = trades.invalid_ids(known.symbol, first, last, known.unsunk_trades, known.as_of)
    return [msgspec.structs.replace(row, excused=max(row.excused, _inside(row, invalid))) for row in rows]


def _jumps_unexplained(known: Snapshot, row: KnownCandle) -> bool:
    jumps = own_missing(row.candle) - row.excused
    if jumps <= 0:
        return False
    end = Interval(row.candle.interval).next_open(row.open_time)
    return jumps > missing_ids(known.coverage, row.open_time, end)


def _inside(row: KnownCandle, ids: list[int]) -> int:
    first, last = row.candle.first_trade_id, row.candle.last_trade_id
    return 0 if first is None or last is None else bisect_right(ids, last) - bisect_left(ids, first)


def _close_before(known: Snapshot, first: KnownCandle) -> int | None:
    if first.candle.agg_trades:
        return None
    if first.candle.interval == Interval.S1:
        return seconds.close_before(known, first.open_time)
    return minutes.close_before(known, first.open_time)


def _place(rows: list[KnownCandle], closed_to: int, start: int | None, end: int | None) -> int:
    """After the last row, but not past the running bucket: the reader will want it again when it has closed."""
    if rows:
        after = Interval(rows[-1].candle.interval).next_open(rows[-1].open_time)
        return min(after, max(closed_to, rows[0].open_time))
    if start is not None:
        return start
    return end or 0


def _span(rows: list[KnownCandle], wish: Wish, start: int | None, end: int | None, clock: Clock) -> Span:
    """The range asked for; an open side reaches as far as the rows can."""
    to = min(wish.span.end if end is None else end, clock.feed_time)
    first = rows[0].open_time if rows else to
    start = first if start is None else start
    return Span(start, max(to, start))


def _nothing(known: Snapshot, start: int | None, end: int | None) -> CandlePage:
    place = start if start is not None else end or 0
    return CandlePage([], known.seq, place, False, Span(place, place), None, known)
