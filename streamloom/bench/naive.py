"""How one would write it at first: json and Decimal, a set of what was seen, one callback for each message.

Exact, plain and slow. Do not make these faster: they are what the fast ways are measured by.
"""

import datetime as dt
import json
from collections.abc import Callable, Iterable
from decimal import ROUND_DOWN, Context, Decimal
from typing import Any, Final

from markets.types import MINUTE_MS

# Products of two amounts need up to 60 digits.
EXACT: Final = Context(prec=80)
CENT: Final = Decimal("0.00000001")
Trade = dict[str, Any]
_SESSIONS: Final = ("asia",) * 8 + ("europe",) * 8 + ("america",) * 8


def decode(value: bytes) -> Trade:
    """A record of the log as a dict with Decimals."""
    return json.loads(value, parse_float=Decimal)


def encode(fields: dict[str, Any]) -> bytes:
    """JSON with amounts as texts: json knows no exact numbers."""
    return json.dumps(fields, default=str).encode()


def parse_frame(frame: bytes, ingest_ts: int) -> Trade:
    """The trade of a combined frame."""
    wire = json.loads(frame)["data"]
    return {
        "event_time": wire["E"],
        "symbol": wire["s"],
        "price": Decimal(wire["p"]),
        "qty": Decimal(wire["q"]),
        "trade_id": wire["a"],
        "is_buyer_maker": wire["m"],
        "source": "simulated",
        "ingest_ts": ingest_ts,
        "trade_time": wire["T"],
        "first_id": wire["f"],
        "last_id": wire["l"],
    }


class Windows:
    """Minutes of every symbol from its trades, each taken once."""

    def __init__(self) -> None:
        self.seen: set[tuple[str, int]] = set()
        self.candles: dict[tuple[str, int], dict[str, Any]] = {}

    def on_trade(self, trade: Trade) -> bool:
        """Take a trade; False when it was there already."""
        key = (trade["symbol"], trade["trade_id"])
        if key in self.seen:
            return False
        self.seen.add(key)
        open_time = trade["trade_time"] // MINUTE_MS * MINUTE_MS
        candle = self.candles.setdefault((trade["symbol"], open_time), _new_candle(trade))
        _add(candle, trade)
        return True


def _new_candle(trade: Trade) -> dict[str, Any]:
    price = trade["price"]
    zero = Decimal(0)
    return {
        **{"open": price, "high": price, "low": price, "close": price},
        **{"volume": zero, "quote_volume": zero, "trades": 0},
        **{"taker_buy_volume": zero, "taker_buy_quote_volume": zero},
        **{"first_trade_id": trade["trade_id"], "last_trade_id": trade["trade_id"]},
        **{"first_fill_id": trade["first_id"], "last_fill_id": trade["last_id"], "agg_trades": 0},
    }


def _add(candle: dict[str, Any], trade: Trade) -> None:
    price, qty = trade["price"], trade["qty"]
    quote = EXACT.multiply(price, qty).quantize(CENT, rounding=ROUND_DOWN, context=EXACT)
    candle["high"], candle["low"] = max(candle["high"], price), min(candle["low"], price)
    if trade["trade_id"] <= candle["first_trade_id"]:
        candle.update(open=price, first_trade_id=trade["trade_id"], first_fill_id=trade["first_id"])
    if trade["trade_id"] >= candle["last_trade_id"]:
        candle.update(close=price, last_trade_id=trade["trade_id"], last_fill_id=trade["last_id"])
    candle["agg_trades"] += 1
    candle["trades"] += trade["last_id"] - trade["first_id"] + 1
    candle["volume"] = EXACT.add(candle["volume"], qty)
    candle["quote_volume"] = EXACT.add(candle["quote_volume"], quote)
    if not trade["is_buyer_maker"]:
        candle["taker_buy_volume"] = EXACT.add(candle["taker_buy_volume"], qty)
        candle["taker_buy_quote_volume"] = EXACT.add(candle["taker_buy_quote_volume"], quote)


def enrich(trade: Trade, base: str, quote: str, known_at: int) -> dict[str, Any]:
    """The fields of ``enriched_trades``."""
    time = dt.datetime.fromtimestamp(trade["trade_time"] / 1000, tz=dt.UTC)
    return {
        **trade,
        "base": base,
        "quote": quote,
        "notional": EXACT.multiply(trade["price"], trade["qty"]),
        "side": "sell" if trade["is_buyer_maker"] else "buy",
        "session": _SESSIONS[time.hour],
        "latency_ms": trade["ingest_ts"] - trade["event_time"],
        "trade_day": time.date().isoformat(),
        "known_at": known_at,
        "late": False,
    }


def for_each(values: Iterable[bytes], callback: Callable[[Trade], Any]) -> None:
    """One callback for each message."""
    for value in values:
        callback(decode(value))


def scaled(amount: Decimal | str | int) -> int:
    """The integer scaled by 10**8: the form in which both ways are compared."""
    exact = Decimal(amount).scaleb(8, context=EXACT)
    if exact != exact.to_integral_value():
        raise ValueError(f"more than eight decimals: {amount}")
    return int(exact)
