"""The one form in which outcomes of both ways are compared: plain tuples of scaled integers."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Final

from ingestion.pipeline.records import Candle, Enriched, Trade
from streamloom.bench.naive import EXACT, scaled

_AMOUNTS: Final = (
    "open",
    "high",
    "low",
    "close",
    "volume",
    "quote_volume",
    "taker_buy_volume",
    "taker_buy_quote_volume",
)
_COUNTS: Final = ("trades", "first_trade_id", "last_trade_id", "first_fill_id", "last_fill_id", "agg_trades")
_TRADE: Final = (
    "symbol",
    "trade_id",
    "first_id",
    "last_id",
    "trade_time",
    "is_buyer_maker",
    "source",
    "ingest_ts",
    "event_time",
)
_ENRICHED: Final = ("base", "quote", "side", "session", "latency_ms", "trade_day", "known_at", "late")


def of_candles(candles: Iterable[Candle]) -> list[Any]:
    """Candles that hold a trade, by symbol and time."""
    return sorted(
        (c.symbol, c.open_time, *(getattr(c, name) for name in (*_AMOUNTS, *_COUNTS))) for c in candles if c.agg_trades
    )


def of_naive_candles(candles: Mapping[tuple[str, int], Mapping[str, Any]]) -> list[Any]:
    return sorted(
        (*key, *(scaled(candle[name]) for name in _AMOUNTS), *(candle[name] for name in _COUNTS))
        for key, candle in candles.items()
    )


def of_trade(trade: Trade) -> tuple[Any, ...]:
    return (trade.price, trade.qty, *(getattr(trade, name) for name in _TRADE))


def of_naive_trade(trade: Mapping[str, Any]) -> tuple[Any, ...]:
    return (scaled(trade["price"]), scaled(trade["qty"]), *(trade[name] for name in _TRADE))


def of_enriched(record: Enriched) -> tuple[Any, ...]:
    return (*of_trade(record.trade), record.notional, *(getattr(record, name) for name in _ENRICHED))


def of_naive_enriched(fields: Mapping[str, Any]) -> tuple[Any, ...]:
    """The notional has sixteen decimals."""
    exact = int(Decimal(fields["notional"]).scaleb(16, context=EXACT))
    return (*of_naive_trade(fields), exact, *(fields[name] for name in _ENRICHED))
