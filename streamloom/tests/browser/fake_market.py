"""Made-up candles in the API's shapes: a pure function of symbol, interval, time and a price that a test may set."""

import math
import zlib
from dataclasses import dataclass, field

from markets.types import Interval

# The bucket counted back from the newest one -> what is special about it.
UNKNOWN_BUCKETS = frozenset({31, 32, 33})
MISSING_BUCKET = 24
DISPUTED_BUCKET = 18
PARTIAL_BUCKET = 12
HISTORY = 1_200


@dataclass
class FakeMarket:
    """The symbols, their clock and the price of the forming candle. ``now_ms`` moves only when it is told to."""

    now_ms: int
    base_prices: dict[str, float]
    prices: dict[str, float] = field(default_factory=dict)
    history: int = HISTORY

    def price(self, symbol: str) -> float:
        """The last price."""
        return self.prices.get(symbol, self.base_prices[symbol])

    def candles(self, symbol: str, interval: Interval, count: int, to: int | None) -> list[dict[str, object]]:
        """The last ``count`` candles that open before ``to``, oldest first, the forming one included."""
        newest = interval.open_of(self.now_ms)
        rows: list[dict[str, object]] = []
        for back in range(self.history):
            open_time = interval.step_back(newest, back)
            if back not in UNKNOWN_BUCKETS and (to is None or open_time < to):
                rows.append(self.candle(symbol, interval, open_time, back))
            if len(rows) == count:
                break
        return rows[::-1]

    def candle(self, symbol: str, interval: Interval, open_time: int, back: int) -> dict[str, object]:
        """The candle at ``open_time``, ``back`` buckets before the newest one (0 = forming)."""
        opened, closed = self._price_at(symbol, open_time), self._price_at(symbol, interval.next_open(open_time))
        if back == 0:
            closed = self.price(symbol)
        wick = (0.2 + _chance(symbol, open_time)) * 0.0006 * opened
        volume = 0.4 + 6 * _chance(symbol, open_time + 1) ** 2
        return {
            "open_time": open_time,
            "close_time": interval.next_open(open_time) - 1,
            **{
                name: _text(value)
                for name, value in (
                    ("open", opened),
                    ("high", max(opened, closed) + wick),
                    ("low", min(opened, closed) - wick),
                    ("close", closed),
                )
            },
            "volume": f"{volume:.8f}",
            "quote_volume": f"{volume * closed:.8f}",
            "trades": int(volume * 40),
            "taker_buy_volume": f"{volume / 2:.8f}",
            "taker_buy_quote_volume": f"{volume * closed / 2:.8f}",
            "vwap": _text((opened + closed) / 2),
            "volatility": 1.1e-4,
            "first_trade_id": open_time // 1000,
            "last_trade_id": open_time // 1000 + 40,
            "first_fill_id": open_time // 1000,
            "last_fill_id": open_time // 1000 + 50,
            "agg_trades": 40,
            "revision": 40 if back else int(self.now_ms - open_time) // 100,
            "quote_rounding": "0.00000000",
            "known_at": self.now_ms,
            **_verdict(back),
        }

    def _price_at(self, symbol: str, time_ms: int) -> float:
        """A walk that is the same whenever it is asked for."""
        minutes = time_ms / 60_000
        seed = zlib.crc32(symbol.encode()) % 97
        waves = sum(
            math.sin(minutes / period + seed * place) / place
            for place, period in enumerate((190, 61, 23, 7, 2.3, 0.9), 1)
        )
        return self.base_prices[symbol] * (1 + 0.004 * waves)


def _verdict(back: int) -> dict[str, object]:
    if back == 0:
        return {"state": "forming", "missing": 0}
    if back == MISSING_BUCKET:
        return {"state": "closed", "missing": 3}
    if back == DISPUTED_BUCKET:
        return {"state": "disputed", "missing": 0, "difference": {"volume": ["1.00000000", "1.10000000"]}}
    if back == PARTIAL_BUCKET:
        return {"state": "partial", "missing": 0}
    return {"state": "certified" if back > 1 else "closed", "missing": 0}


def _chance(symbol: str, place: int) -> float:
    return zlib.crc32(f"{symbol}{place}".encode()) / 2**32


def _text(price: float) -> str:
    return f"{round(price, 2):.8f}"
