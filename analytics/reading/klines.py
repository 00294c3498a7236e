"""The exchange's own candles, as it reported them."""

from typing import Any

import msgspec

from analytics.clickhouse.client import client
from analytics.clickhouse.sql import sql
from analytics.reading.known import EXCHANGE, CandleView, candle_json
from analytics.reading.minutes import Span
from ingestion.pipeline.records import Candle
from markets.types import Interval

# What only we know of a candle, and ids: the exchange's REST rows have none.
_OURS = (
    "first_trade_id",
    "last_trade_id",
    "first_fill_id",
    "last_fill_id",
    "agg_trades",
    "missing",
    "revision",
    "quote_rounding",
    "known_at",
)


class KlinePage(msgspec.Struct, frozen=True):
    """Closed klines in ascending order; ``place`` and ``more`` as in CandlePage."""

    klines: list[CandleView]
    place: int
    more: bool


def read_klines(
    symbol: str, interval: Interval, *, start: int | None, end: int, limit: int, with_empty: bool = True
) -> KlinePage:
    """The first ``limit`` klines with ``start <= open_time < end``; without ``start`` the last ones before ``end``."""
    newest = start is None
    span = Span(start or 0, end)
    rows = client().query(
        sql("klines_before" if newest else "klines_after"),
        parameters={
            "symbol": symbol,
            "interval": interval.value,
            "start": span.start,
            "end": span.end,
            "with_empty": with_empty,
            "limit": limit + 1,
        },
    ).result_rows
    more = len(rows) > limit and not newest
    kept = sorted(rows[:limit])
    views = [_view(symbol, interval, row) for row in kept]
    place = interval.next_open(views[-1].open_time) if views else span.start
    return KlinePage(views, place, more)


def kline_json(view: CandleView) -> dict[str, Any]:
    """A kline in the shape of a candle; what the exchange does not say is null."""
    return {**candle_json(view), **dict.fromkeys(_OURS)}


def _view(symbol: str, interval: Interval, row: Any) -> CandleView:
    open_time, close_time, *figures = row
    # The price columns decide the volatility of a candle with trades alone; fills stand in for trades here.
    fills = figures[6]
    candle = Candle(symbol, interval.value, open_time, *figures, agg_trades=fills)
    return CandleView(candle, EXCHANGE, None, close_time, None)
