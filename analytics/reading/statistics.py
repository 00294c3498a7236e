"""Statistics over a window of a symbol's closed minutes: sums, realized volatility, jumps."""

import math
from collections.abc import Iterator
from decimal import Decimal
from typing import NamedTuple

import msgspec

from analytics.reading import minutes
from analytics.reading.candles import read_candles
from analytics.reading.known import CandleView, KnownCandle
from analytics.reading.minutes import Span
from analytics.reading.view import LiveView, Snapshot
from markets.types import DAY_MS, Interval

YEAR_MS = 365 * DAY_MS
# Rows that one question may look at: 31 days of minutes, and a little.
MOST_BUCKETS = 50_000


def window(known: Snapshot, width_ms: int, to: int | None) -> Span:
    """``[to - width, to)`` in whole minutes; at most, and by default, to the end of the last closed minute."""
    clock = minutes.clock_of(known)
    closed_to = 0 if clock is None else clock.closed_to
    end = closed_to if to is None else min(to, closed_to)
    end = Interval.M1.open_of(max(end, 0))
    return Span(max(end - width_ms, 0), end)


def volume(known: Snapshot, span: Span) -> KnownCandle | None:
    """All closed minutes of the span as one candle; None when there is none."""
    return minutes.one(known, span) if span.end > span.start else None


def volatility(known: Snapshot, span: Span) -> float:
    """Realized volatility: the root of the sum of squared log ratios of consecutive 1m closes.

    The step from the last close before the span is included. Twelve significant digits.
    """
    prices = [close for _, close in minutes.closes(known, span)]
    before = minutes.close_before(known, span.start)
    if before is not None:
        prices.insert(0, before)
    squares = (math.log(after / earlier) ** 2 for earlier, after in zip(prices, prices[1:], strict=False))
    return _rounded(math.sqrt(math.fsum(squares)))


def annualized(value: float, width_ms: int) -> float:
    """A window's volatility scaled to 365 days by the square root of time."""
    return _rounded(value * math.sqrt(YEAR_MS / width_ms))


def _rounded(value: float) -> float:
    return float(f"{value:.12g}")


class Spike(NamedTuple):
    """A candle whose close is far from the previous close (scaled); ``change``: their ratio - 1."""

    view: CandleView
    previous_close: int
    change: float


class Spikes(msgspec.Struct, frozen=True):
    """The jumps of a span, newest first."""

    spikes: list[Spike]
    span: Span
    snapshot: Snapshot


def spikes(
    symbol: str,
    interval: Interval,
    threshold: Decimal,
    *,
    width_ms: int,
    to: int | None,
    view: LiveView | None = None,
) -> Spikes:
    """The closed candles of the last ``width_ms`` whose close is at least ``threshold`` off the one before."""
    page = read_candles(symbol, interval, end=to, limit=1, view=view)
    end = page.span.end
    start = minutes.first_open(interval, max(end - width_ms, 0))
    # One candle more on the left: the first one of the window is compared with it.
    rows = read_candles(
        symbol,
        interval,
        start=interval.step_back(start, 1) if start else 0,
        end=end,
        limit=MOST_BUCKETS,
        with_empty=False,
        view=view,
    )
    before = _close_before(rows.snapshot, rows.candles)
    found = [spike for spike in _jumps(rows.candles, before, threshold) if spike.view.open_time >= start]
    return Spikes(found[::-1], Span(start, max(end, start)), rows.snapshot)


def _close_before(known: Snapshot, candles: list[CandleView]) -> int | None:
    return minutes.close_before(known, candles[0].open_time) if candles else None


def _jumps(candles: list[CandleView], before: int | None, threshold: Decimal) -> Iterator[Spike]:
    previous = before
    for view in candles:
        close = view.candle.close
        # Exact: |close / previous - 1| >= threshold, without a division.
        if previous and abs(close - previous) >= threshold * previous:
            yield Spike(view, previous, _rounded(close / previous - 1))
        previous = close


def windows_fit(interval: Interval, width_ms: int) -> bool:
    """True when the window holds no more buckets than one answer may look at."""
    return width_ms // (interval.width_ms or DAY_MS) <= MOST_BUCKETS


