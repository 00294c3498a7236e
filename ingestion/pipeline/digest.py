"""One short text for a set of candles: equal exactly when every exact field of every candle is equal.

Live, backfill and replay of the same trades must give the same digest (DESIGN section 6, One fold).
"""

import hashlib
from collections.abc import Iterable
from typing import Final

from ingestion.pipeline.records import Candle

# Goes into the hash. It changes when FIELDS or the text of a candle do: digests of two versions never agree by chance.
_VERSION: Final = "streamloom candles 1"

_PRICES: Final = ("open", "high", "low", "close")
FIELDS: Final = (
    "symbol",
    "interval",
    "open_time",
    *_PRICES,
    "volume",
    "quote_volume",
    "trades",
    "taker_buy_volume",
    "taker_buy_quote_volume",
    "first_trade_id",
    "last_trade_id",
    "first_fill_id",
    "last_fill_id",
    "agg_trades",
    "quote_rounding",
)


def digest(candles: Iterable[Candle]) -> str:
    """The SHA-256 of the candles' exact fields, 64 hexadecimal digits; their order does not matter.

    Each candle is one line of ``FIELDS`` joined by commas (amounts scaled by 10**8, times in epoch ms, nothing for
    null), in the order of symbol, interval and open time. The prices of a candle without trades are left out: they
    are derived on read, from the candle before. Verdicts, ``missing`` and ``known_at`` are no fields of a candle.
    Raises ValueError when one bucket comes twice.

    >>> digest([])[:16]
    '8e929767ef4211d9'
    """
    lines: dict[tuple[str, str, int], str] = {}
    for candle in candles:
        bucket = (candle.symbol, candle.interval, candle.open_time)
        if bucket in lines:
            raise ValueError(f"{bucket} comes twice: a digest is of one version of each candle")
        lines[bucket] = _line(candle)
    sha = hashlib.sha256(_VERSION.encode())
    for bucket in sorted(lines):
        sha.update(lines[bucket].encode())
    return sha.hexdigest()


def _line(candle: Candle) -> str:
    left_out = () if candle.agg_trades else _PRICES
    values = (None if name in left_out else getattr(candle, name) for name in FIELDS)
    return "\n" + ",".join("" if value is None else str(value) for value in values)
