"""A market out of recorded trades, in id order whatever the order of the files."""

import math
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate
from pathlib import Path

from ingestion.binance.simulator.book import Book
from ingestion.binance.simulator.recordings import BadRecording, read_recording
from ingestion.binance.simulator.rows import Row, Spec
from markets.types import SCALE

# Longest first: BTCUSDT is BTC in USDT, and FDUSD would match USD.
_QUOTES = (
    "FDUSD", "USDT", "USDC", "TUSD", "BUSD", "USDP", "USD1", "DAI", "PAX",
    "BTC", "ETH", "BNB", "TRX", "XRP", "DOGE", "EUR", "TRY", "BRL", "GBP", "AUD", "JPY", "USD",
)  # fmt: skip


class RecordedBook(Book):
    """The recorded trades of one symbol, in columns: a tuple per trade would be ten times the size."""

    def __init__(self, spec: Spec, rows: Sequence[Row]) -> None:
        super().__init__(spec)
        columns = list(zip(*rows, strict=True))
        self._ids = array("q", columns[0])
        # Plain lists: a quantity of a cheap coin can pass 64 bits when scaled.
        self._prices, self._qtys = list(columns[1]), list(columns[2])
        self._firsts, self._lasts = array("q", columns[3]), array("q", columns[4])
        self._times: array[int] = array("q", columns[5])
        self._events: array[int] = array("q", columns[6])
        self._makers = list(columns[7])
        self._rising: array[int] = array("q", accumulate(self._times, max))
        # Trades are sent in id order, so none is due before the one below it.
        self._dues: array[int] = array("q", accumulate(self._events, max))

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def first(self) -> int:
        return 0

    @property
    def starts_at(self) -> int:
        """The first trade's time."""
        return self._times[0]

    @property
    def ends_at(self) -> int:
        """When the last trade has been sent."""
        return max(self._dues[-1], self._rising[-1])

    def place_at(self, time_ms: int) -> int:
        return bisect_left(self._rising, time_ms)

    def place_due(self, time_ms: int) -> int:
        return bisect_right(self._dues, time_ms)

    def place_of(self, trade_id: int) -> int:
        return bisect_left(self._ids, trade_id)

    def due(self, place: int) -> int | None:
        return self._dues[place] if place < len(self._dues) else None

    def _stored(self, start: int, stop: int) -> list[Row]:
        part = slice(start, stop)
        return list(
            map(
                Row,
                self._ids[part],
                self._prices[part],
                self._qtys[part],
                self._firsts[part],
                self._lasts[part],
                self._times[part],
                self._events[part],
                self._makers[part],
            )
        )


def recorded_books(paths: Iterable[Path]) -> dict[str, Book]:
    """The markets that the files hold, by symbol; a trade found twice is kept once."""
    by_symbol: dict[str, dict[int, Row]] = {}
    for path in paths:
        for symbol, row in read_recording(path):
            by_symbol.setdefault(symbol, {}).setdefault(row.trade_id, row)
    if not by_symbol:
        raise BadRecording("the files hold no trade")
    return {symbol: _book(symbol, rows) for symbol, rows in sorted(by_symbol.items())}


def _book(symbol: str, rows: dict[int, Row]) -> RecordedBook:
    ordered = [rows[trade_id] for trade_id in sorted(rows)]
    return RecordedBook(_spec(symbol, ordered), ordered)


def _spec(symbol: str, rows: Sequence[Row]) -> Spec:
    """Steps as the trades show them: the largest power of ten that divides all, at most one unit."""
    base, quote = _assets(symbol)
    tick = _step(math.gcd(*(row.price for row in rows)))
    step = _step(math.gcd(*(row.qty for row in rows)))
    return Spec(symbol, base, quote, tick, step)


def _step(divisor: int) -> int:
    step = SCALE
    while step > 1 and divisor % step:
        step //= 10
    return step


def _assets(symbol: str) -> tuple[str, str]:
    for quote in _QUOTES:
        if symbol.endswith(quote) and len(symbol) > len(quote):
            return symbol[: -len(quote)], quote
    return symbol[:-3], symbol[-3:]
