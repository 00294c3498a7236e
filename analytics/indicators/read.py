"""Indicators of any period, computed on read from the stored klines."""

from collections.abc import Sequence
from typing import NamedTuple

from analytics.clickhouse.client import client
from analytics.clickhouse.sql import sql
from analytics.indicators import store
from analytics.indicators.catalogue import Indicator
from analytics.indicators.compute import Row, first_needed, rows
from markets.types import Interval


class IndicatorPage(NamedTuple):
    """Rows of the klines that open in ``[start, stop)``, oldest first; ``more``: the asked range goes on after it."""

    rows: list[Row]
    start: int
    stop: int
    more: bool


def read_indicators(
    symbol: str, interval: Interval, indicators: Sequence[Indicator], *, start: int | None, end: int | None, limit: int
) -> IndicatorPage:
    """At most ``limit`` buckets from ``start`` on; without it, the last ones before ``end`` (default: the newest)."""
    query = {"symbol": symbol, "interval": interval.value, "start": start or 0}
    oldest, newest = client().query(sql("kline_extent"), parameters=query).result_rows[0]
    if newest is None:
        return IndicatorPage([], start or 0, start or 0, more=False)
    stop = _aligned(interval, newest + 1 if end is None else min(end, newest + 1))
    # From the first one that there is: nobody wants the empty pages before it.
    first = interval.step_back(stop, limit) if start is None else stop if oldest is None else oldest
    page_stop = max(first, min(stop, interval.step_back(first, -limit)))
    needed = max(0, first_needed(interval, first, indicators))
    bars = store.read_bars(symbol, interval, needed, page_stop - 1)
    return IndicatorPage(list(rows(bars, interval, first, indicators)), first, page_stop, page_stop < stop)


def _aligned(interval: Interval, time_ms: int) -> int:
    """The first open time at or after a time."""
    open_time = interval.open_of(time_ms)
    return open_time if open_time == time_ms else interval.next_open(open_time)
