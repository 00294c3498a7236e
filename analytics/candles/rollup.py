"""Hours and days kept merged from their minutes: a cache, used only where it is current.

A rolled-up row says nothing that its minutes do not say, and its revision shows when it is behind them. So it
is inserted here and not sent through the log (docs/decisions/0005-roll-ups-are-a-cache.md).
"""

from collections.abc import Sequence
from itertools import groupby

from analytics import metrics
from analytics.candles import dirty
from analytics.clickhouse.client import client
from analytics.clickhouse.sql import sql
from analytics.models import Dirty
from analytics.sink.marks import CACHED
from markets.types import Interval

BATCH = 500


def roll_up_dirty(most: int = BATCH) -> int:
    """Merge up to ``most`` dirty hours and days from their minutes; the number of buckets that were due."""
    rows = dirty.claim([interval.value for interval in CACHED], most)
    for (interval, symbol), buckets in groupby(rows, key=lambda row: (row.interval, row.symbol)):
        _roll_up(Interval(interval), symbol, list(buckets))
    return len(rows)


def _roll_up(interval: Interval, symbol: str, rows: Sequence[Dirty]) -> None:
    opens = [row.open_time for row in rows]
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
    dirty.done(rows)
