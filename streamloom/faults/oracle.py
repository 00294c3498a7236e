"""What must come out: the exchange's own trades, folded by the pure pipeline."""

from collections.abc import Sequence
from typing import Any

from ingestion.binance.simulator.book import Book
from ingestion.binance.simulator.made_up import made_up_books
from ingestion.binance.simulator.rows import Row
from ingestion.pipeline.records import Candle, Trade
from ingestion.pipeline.window import empty_candle, fold, volatility, vwap
from markets.types import Interval, to_text

Json = dict[str, Any]

_AMOUNTS = (
    "open",
    "high",
    "low",
    "close",
    "volume",
    "quote_volume",
    "taker_buy_volume",
    "taker_buy_quote_volume",
    "quote_rounding",
)
_COUNTS = (
    "open_time",
    "trades",
    "first_trade_id",
    "last_trade_id",
    "first_fill_id",
    "last_fill_id",
    "agg_trades",
    "revision",
)

# What ``/candles`` says of a candle that follows from its trades alone, beside its open time.
TRUTH_FIELDS = (*_COUNTS[1:], *_AMOUNTS, "vwap", "volatility")


def market(seed: int, symbol: str) -> Book:
    """The made-up market, which is a function of its seed."""
    return made_up_books(seed)[symbol]


def traded(book: Book, first_id: int, last_id: int) -> list[Trade]:
    """The market's trades of these ids, both ends inclusive."""
    rows = book.rows(book.place_of(first_id), book.place_of(last_id + 1))
    return [trade_of(book.spec.symbol, row) for row in rows]


def hole_spans(book: Book, last_id: int) -> list[tuple[int, int, int]]:
    """The ids up to ``last_id`` that never were: how many, and the times of the trades next to them."""
    spans = []
    for first, last in book.holes:
        if last <= last_id:
            before, after = traded(book, first - 1, first - 1)[0], traded(book, last + 1, last + 1)[0]
            spans.append((last - first + 1, before.trade_time, after.trade_time))
    return spans


def trade_of(symbol: str, row: Row) -> Trade:
    """A row of the exchange as the pipeline gets it, without what differs by the way it came."""
    return Trade(
        symbol,
        row.trade_id,
        row.price,
        row.qty,
        row.first_id,
        row.last_id,
        row.trade_time,
        row.is_buyer_maker,
        "",
        0,
        row.event_time,
    )


def listed(trade: Trade) -> Json:
    """What ``/trades`` says of a trade, whatever way it came."""
    return {
        "trade_id": trade.trade_id,
        "price": to_text(trade.price),
        "qty": to_text(trade.qty),
        "is_buyer_maker": trade.is_buyer_maker,
        "trade_time": trade.trade_time,
        "first_id": trade.first_id,
        "last_id": trade.last_id,
    }


def candles(trades: Sequence[Trade], interval: Interval, start: int, end: int) -> list[Json]:
    """What ``/candles`` says of every bucket in ``[start, end)``; ``trades`` begin before ``start``, at best."""
    folded = {candle.open_time: candle for candle in fold(trades, interval)}
    found: list[Json] = []
    close = max((candle for candle in folded.values() if candle.open_time < start), key=_open_time, default=None)
    price = close.close if close is not None else 0
    while start < end:
        candle = folded.get(start) or empty_candle(trades[0].symbol, interval, start, price)
        found.append(answered(candle))
        price, start = candle.close, interval.next_open(start)
    return found


def _open_time(candle: Candle) -> int:
    return candle.open_time


def answered(candle: Candle) -> Json:
    """What ``/candles`` says of a candle, as far as that follows from its trades."""
    average = vwap(candle)
    return {
        **{name: getattr(candle, name) for name in _COUNTS},
        **{name: to_text(getattr(candle, name)) for name in _AMOUNTS},
        "vwap": None if average is None else to_text(average),
        "volatility": volatility(candle),
    }
