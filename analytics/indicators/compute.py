"""Bars in, values out. Pure."""

import datetime as dt
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np

from analytics.indicators.catalogue import KEPT, KEPT_WARM_UP, Bars, Column, Indicator
from markets.types import DAY_MS, HOUR_MS, Interval

# Under this name the values tell where their sums began (epoch ms of the first bar).
ANCHOR: Final = "anchor"


class Row(NamedTuple):
    """The values of one bar, by name; names without a value are left out."""

    open_time: int
    values: dict[str, float]


def anchor_of(interval: Interval, open_time: int) -> int:
    """Where sums of that bar begin, UTC: with its day below 15m, its month below a day, else its year.

    >>> anchor_of(Interval.M1, 90_000_000), anchor_of(Interval.H1, 90_000_000)
    (86400000, 0)
    """
    width = interval.width_ms or 31 * DAY_MS
    if width < 15 * 60_000:
        return open_time - open_time % DAY_MS
    moment = dt.datetime.fromtimestamp(open_time / 1000, tz=dt.UTC)
    first = moment.replace(
        month=1 if width >= DAY_MS else moment.month, day=1, hour=0, minute=0, second=0, microsecond=0
    )
    return round(first.timestamp() * 1000)


def next_anchor(interval: Interval, open_time: int) -> int:
    """Where the sums after that bar's begin anew."""
    here, step = anchor_of(interval, open_time), 12 * HOUR_MS
    later = here + DAY_MS
    while anchor_of(interval, later) == here:
        later += step
    return anchor_of(interval, later)


def first_needed(interval: Interval, open_time: int, indicators: Sequence[Indicator] = KEPT) -> int:
    """The open time from which bars are needed for the values of the bar at ``open_time``."""
    warm = max((indicator.warm_up for indicator in indicators), default=0)
    start = interval.step_back(open_time, warm)
    anchored = any(indicator.kind.is_anchored for indicator in indicators)
    return min(start, anchor_of(interval, open_time)) if anchored else start


def last_affected(interval: Interval, open_time: int) -> int:
    """The open time up to which kept values depend on the bar at ``open_time`` (in buckets without a halt)."""
    reach = interval.step_back(open_time, -KEPT_WARM_UP)
    return max(reach, next_anchor(interval, open_time) - 1)


def values(bars: Bars, interval: Interval, indicators: Sequence[Indicator] = KEPT) -> dict[str, Column]:
    """A column for each name, as long as the bars; NaN where there is no value.

    The first ``warm_up`` bars serve the later ones: their own values are only as good as what came before them.
    """
    columns: dict[str, Column] = {}
    for indicator in indicators:
        found = _anchored(indicator, bars, interval) if indicator.kind.is_anchored else indicator.values(bars)
        columns.update(zip(indicator.names, found, strict=True))
    return columns


def rows(bars: Bars, interval: Interval, first: int, indicators: Sequence[Indicator] = KEPT) -> Iterator[Row]:
    """The values of the bars from the open time ``first`` on."""
    if not len(bars):
        return
    columns = values(bars, interval, indicators)
    if any(indicator.kind.is_anchored for indicator in indicators):
        columns[ANCHOR] = _anchors(bars, interval)
    start = int(np.searchsorted(bars.open_time, first))
    lists = {name: column[start:].tolist() for name, column in columns.items()}
    for place, open_time in enumerate(bars.open_time[start:].tolist()):
        # NaN is the only value that differs from itself.
        yield Row(open_time, {name: cells[place] for name, cells in lists.items() if cells[place] == cells[place]})


def _anchored(indicator: Indicator, bars: Bars, interval: Interval) -> tuple[Column, ...]:
    parts = [indicator.values(bars.part(start, stop)) for start, stop in _spans(bars, interval)]
    return tuple(np.concatenate(column) for column in zip(*parts, strict=True))


def _anchors(bars: Bars, interval: Interval) -> Column:
    parts = [np.full(stop - start, float(bars.open_time[start])) for start, stop in _spans(bars, interval)]
    return np.concatenate(parts)


def _spans(bars: Bars, interval: Interval) -> Iterator[tuple[int, int]]:
    """The places of the bars that share an anchor."""
    start = 0
    while start < len(bars):
        stop = int(np.searchsorted(bars.open_time, next_anchor(interval, int(bars.open_time[start]))))
        yield start, stop
        start = stop
