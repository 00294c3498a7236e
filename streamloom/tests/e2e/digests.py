"""Candles that were answered, and candles that must be, as one text each: equal only when every exact field is."""

from collections.abc import Sequence

from ingestion.pipeline.digest import digest
from ingestion.pipeline.records import Candle, Trade
from ingestion.pipeline.window import empty_candle, fold
from markets.types import MINUTE_MS, Interval, to_scaled
from streamloom.tests.demo.running import RunningDemo
from streamloom.tests.e2e import answers
from streamloom.tests.e2e.answers import Json

_AMOUNTS = frozenset(
    ("open", "high", "low", "close", "volume", "quote_volume", "taker_buy_volume", "taker_buy_quote_volume")
    + ("quote_rounding",)
)


def candle_of(symbol: str, interval: Interval, row: Json) -> Candle:
    """The candle that a row of ``/candles`` tells, exactly."""
    names = [name for name in Candle.__struct_fields__ if name not in ("symbol", "interval")]
    return Candle(symbol, interval.value, *(to_scaled(row[n]) if n in _AMOUNTS else row[n] for n in names))


def answered(demo: RunningDemo, symbol: str, start: int, end: int) -> str:
    """The digest of the minutes that are answered of ``[start, end)``."""
    rows = answers.candles(demo, symbol, Interval.M1, start, end)
    return digest(candle_of(symbol, Interval.M1, row) for row in rows)


def expected(trades: Sequence[Trade], start: int, end: int) -> str:
    """The digest of the minutes of ``[start, end)`` that the exchange's trades make."""
    symbol = trades[0].symbol
    made = {candle.open_time: candle for candle in fold(trades, Interval.M1)}
    minutes = range(start, end, MINUTE_MS)
    return digest(made.get(at) or empty_candle(symbol, Interval.M1, at, 0) for at in minutes)
