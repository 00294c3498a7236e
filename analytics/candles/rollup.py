"""Hours and days kept merged from their minutes: a cache, used only where it is current.

A rolled-up row says nothing that its minutes do not say, and its revision shows when it is behind them. So it
is inserted here and not sent through the log (docs/decisions/0005-roll-ups-are-a-cache.md). Then the buckets are
compared with the exchange's own (``check``).
"""

from collections.abc import Callable, Sequence
from itertools import groupby

from analytics import metrics
from analytics.candles import dirty
from analytics.clickhouse.client import client
from analytics.clickhouse.sql import sql
from analytics.sink.marks import CACHED, CHECKED
from markets.types import Interval

# Some seconds of work at the most: the sink's tasks have the same threads.
BATCH = 100


# (interval, symbol, open times) -> those that are to be looked at again later.
Check = Callable[[Interval, str, Sequence[int]], set[int]]


def roll_up_dirty(most: int = BATCH, check: Check = lambda interval, symbol, opens: set()) -> int:
    """Merge up to ``most`` dirty hours and days from their minutes, and check them; the number of buckets due."""
    rows = dirty.claim([interval.value for interval in CHECKED], most)
    for (name, symbol), buckets in groupby(rows, key=lambda row: (row.interval, row.symbol)):
        interval, some = Interval(name), list(buckets)
        opens = [row.open_time for row in some]
        if interval in CACHED:
            _roll_up(interval, symbol, opens)
        waiting = check(interval, symbol, opens)
        dirty.done(row for row in some if row.open_time not in waiting)
        dirty.postpone(row for row in some if row.open_time in waiting)
    return len(rows)


def _roll_up(interval: Interval, symbol: str, opens: Sequence[int]) -> None:
    client().command(
        sql("roll_up"),
        parameters={
            "interval": interval.value,
            "width": interval.width_ms,
            "symbol": symbol,
            "start": opens[0],
            "end": interval.next_open(opens[-1]),
            "buckets": opens,
        },
    )
    metrics.ROLLED_UP.labels(interval.value).inc(len(opens))
