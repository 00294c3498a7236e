"""Trades become candles. One fold for live, rebuild, backfill, replay and tests.

Bucket by trade time, order by trade id, exact integers throughout (DESIGN section 6).
"""

import math
from collections.abc import Iterable, Sequence

import msgspec

from ingestion.pipeline.records import Candle, Trade
from markets.types import SCALE, Interval

_LN2 = math.log(2.0)
# Fills are never finer than this part of a trade's own quantity is taken to be: 10**-3 (see quote_rounding).
_COARSEST_STEP = 10**5


class Bucket(msgspec.Struct, gc=False):
    """A candle in the making: the running sums of one minute. Mutable, because this is the hot path."""

    open_time: int
    open: int = 0
    high: int = 0
    low: int = 0
    close: int = 0
    volume: int = 0
    quote_volume: int = 0
    trades: int = 0
    taker_buy_volume: int = 0
    taker_buy_quote_volume: int = 0
    first_trade_id: int = -1
    last_trade_id: int = -1
    first_fill_id: int = -1
    last_fill_id: int = -1
    agg_trades: int = 0
    quote_rounding: int = 0

    def add(self, trade: Trade) -> None:
        """Take one trade in; the order in which trades come does not matter. Never twice the same."""
        price, qty, trade_id = trade.price, trade.qty, trade.trade_id
        # The exchange cuts each fill's price x qty down to 8 decimals before it sums.
        quote = price * qty // SCALE
        fills = trade.last_id - trade.first_id + 1
        if not self.agg_trades:
            self.open = self.high = self.low = self.close = price
            self.first_trade_id = self.last_trade_id = trade_id
            self.first_fill_id, self.last_fill_id = trade.first_id, trade.last_id
        else:
            if price > self.high:
                self.high = price
            elif price < self.low:
                self.low = price
            if trade_id > self.last_trade_id:
                self.last_trade_id, self.close = trade_id, price
                self.last_fill_id = trade.last_id
            elif trade_id < self.first_trade_id:
                self.first_trade_id, self.open = trade_id, price
                self.first_fill_id = trade.first_id
        self.agg_trades += 1
        self.trades += fills
        self.volume += qty
        self.quote_volume += quote
        if not trade.is_buyer_maker:
            self.taker_buy_volume += qty
            self.taker_buy_quote_volume += quote
        if fills > 1:
            self.quote_rounding += quote_rounding(price, qty, fills)

    def candle(self, symbol: str, interval: Interval = Interval.M1) -> Candle:
        """The candle as it stands; the bucket must hold a trade."""
        return Candle(
            symbol,
            interval.value,
            self.open_time,
            self.open,
            self.high,
            self.low,
            self.close,
            self.volume,
            self.quote_volume,
            self.trades,
            self.taker_buy_volume,
            self.taker_buy_quote_volume,
            self.first_trade_id,
            self.last_trade_id,
            self.first_fill_id,
            self.last_fill_id,
            self.agg_trades,
            self.quote_rounding,
        )


def quote_rounding(price: int, qty: int, fills: int) -> int:
    """By how much (1e-8 units) our quote amount of a trade may exceed the exchange's.

    The exchange cuts each fill down, we can only cut the whole trade: at most (fills - 1) units more.
    Nothing where every fill's product has at most 8 decimals anyway. The fills' quantities are unknown, but
    are multiples of the quantity step; the trade's own trailing zeros, capped at 3 decimals, stand in for it.
    """
    unit = 1
    while unit < _COARSEST_STEP and qty % (unit * 10) == 0:
        unit *= 10
    return 0 if price * unit % SCALE == 0 else fills - 1


def fold(trades: Iterable[Trade], interval: Interval) -> list[Candle]:
    """One candle per bucket that has a trade, oldest first; ids taken back by the exchange are skipped.

    The trades are of one symbol, distinct, in any order.
    """
    buckets: dict[int, Bucket] = {}
    symbol = ""
    for trade in trades:
        if trade.is_invalid:
            continue
        symbol = trade.symbol
        open_time = interval.open_of(trade.trade_time)
        bucket = buckets.get(open_time)
        if bucket is None:
            bucket = buckets[open_time] = Bucket(open_time)
        bucket.add(trade)
    return [buckets[open_time].candle(symbol, interval) for open_time in sorted(buckets)]


def empty_candle(symbol: str, interval: Interval, open_time: int, price: int) -> Candle:
    """The flat candle of a bucket without trades, at the previous close (0: none is known)."""
    return Candle(symbol, interval.value, open_time, price, price, price, price)


def merge(left: Candle, right: Candle) -> Candle:
    """The candle of both trade sets together; they are of one bucket and share no trade. Order does not matter."""
    if not right.agg_trades:
        return left
    if not left.agg_trades:
        return msgspec.structs.replace(right, open_time=left.open_time, interval=left.interval)
    assert left.first_trade_id is not None
    assert right.first_trade_id is not None
    assert left.last_trade_id is not None
    assert right.last_trade_id is not None
    # Each end on its own: the ids of the two may interleave (stored minutes, and the log's between them).
    first = left if left.first_trade_id < right.first_trade_id else right
    last = left if left.last_trade_id > right.last_trade_id else right
    return Candle(
        symbol=left.symbol,
        interval=left.interval,
        open_time=left.open_time,
        open=first.open,
        high=max(left.high, right.high),
        low=min(left.low, right.low),
        close=last.close,
        volume=left.volume + right.volume,
        quote_volume=left.quote_volume + right.quote_volume,
        trades=left.trades + right.trades,
        taker_buy_volume=left.taker_buy_volume + right.taker_buy_volume,
        taker_buy_quote_volume=left.taker_buy_quote_volume + right.taker_buy_quote_volume,
        first_trade_id=first.first_trade_id,
        last_trade_id=last.last_trade_id,
        first_fill_id=first.first_fill_id,
        last_fill_id=last.last_fill_id,
        agg_trades=left.agg_trades + right.agg_trades,
        quote_rounding=left.quote_rounding + right.quote_rounding,
    )


def roll_up(candles: Sequence[Candle], interval: Interval) -> list[Candle]:
    """Finer candles of one symbol merged into ``interval``, oldest first; one per finer bucket at most.

    A bucket of empty candles only stays empty, flat at the last of their prices.
    """
    merged: dict[int, Candle] = {}
    for candle in sorted(candles, key=lambda item: item.open_time):
        open_time = interval.open_of(candle.open_time)
        part = msgspec.structs.replace(candle, open_time=open_time, interval=interval.value)
        so_far = merged.get(open_time)
        if so_far is None or not (so_far.agg_trades or part.agg_trades):
            merged[open_time] = part
        else:
            merged[open_time] = merge(so_far, part)
    return list(merged.values())


def vwap(candle: Candle) -> int | None:
    """Volume-weighted average price, cut down to 8 decimals; None without trades.

    >>> from markets.types import to_scaled
    >>> candle = Candle("X", "1m", 0, 1, 1, 1, 1, volume=to_scaled("3"), quote_volume=to_scaled("10"))
    >>> vwap(candle)
    333333333
    """
    return candle.quote_volume * SCALE // candle.volume if candle.volume else None


def volatility(candle: Candle) -> float:
    """The square root of the Garman-Klass variance of the four prices, to 12 significant digits; 0 when empty.

    Source: Garman and Klass (1980), with the open taken as the previous close's stand-in:
    1/2 ln(H/L)**2 - (2 ln 2 - 1) ln(C/O)**2.
    """
    if not candle.agg_trades:
        return 0.0
    spread = math.log(candle.high / candle.low)
    move = math.log(candle.close / candle.open)
    variance = 0.5 * spread * spread - (2.0 * _LN2 - 1.0) * move * move
    return float(f"{math.sqrt(max(variance, 0.0)):.12g}")
