"""The reads of bars and the write of their indicators."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from analytics.clickhouse.client import client
from analytics.clickhouse.sql import sql
from analytics.indicators.catalogue import Bars
from analytics.indicators.compute import Row
from markets.types import Interval


class Series(NamedTuple):
    """Rows of one symbol and interval."""

    symbol: str
    interval: Interval
    rows: Sequence[Row]


def read_bars(symbol: str, interval: Interval, start: int, last: int) -> Bars:
    """The stored closed klines with ``start <= open_time <= last``, oldest first."""
    answer = client().query(
        sql("indicator_bars"),
        parameters={"symbol": symbol, "interval": interval.value, "start": start, "last": last},
        column_oriented=True,
    )
    columns = answer.result_columns or [[]] * 5
    times, *figures = columns
    return Bars(np.array(times, np.int64), *(np.array(figure, np.float64) for figure in figures))


def write(series: Sequence[Series], revision: int) -> int:
    """Store the rows, one block; of two rows of a bar the higher revision counts. The number of rows."""
    places = [(some.interval.value, some.symbol, row) for some in series for row in some.rows]
    if not places:
        return 0
    intervals, symbols, rows = zip(*places, strict=True)
    table = pa.table(
        {
            "interval": pa.array(intervals, pa.string()).dictionary_encode(),
            "symbol": pa.array(symbols, pa.string()).dictionary_encode(),
            "open_time": pa.array([row.open_time for row in rows], pa.int64()).cast(pa.timestamp("ms", tz="UTC")),
            "revision": pa.array([revision] * len(rows), pa.uint64()),
            "values": pa.array([list(row.values.items()) for row in rows], pa.map_(pa.string(), pa.float64())),
        }
    )
    client().insert_arrow("indicators", table)
    return len(rows)
