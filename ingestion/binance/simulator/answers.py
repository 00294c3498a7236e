"""The REST answers as plain data: what the exchange knows by its clock, never more."""

from collections.abc import Callable, Mapping
from typing import Any

from ingestion.binance.simulator.bars import Bar
from ingestion.binance.simulator.book import Book
from ingestion.binance.simulator.parameters import ApiError, Parameters
from ingestion.binance.simulator.rows import Row, fill_quantities
from ingestion.binance.simulator.symbols import describe_symbol
from markets.types import DAY_MS, MINUTE_MS, SCALE, Interval, to_text

_ZERO = to_text(0)
_AVERAGE_MINUTES = 5
_CHUNK = 1000


class Exchange:
    """Answers from the books. ``now``: the exchange's clock; ``lag_ms``: how far REST is behind it.

    ``reach_ms``: trades that are older are in the archive only (0: REST has them all).
    """

    def __init__(
        self,
        books: Mapping[str, Book],
        *,
        now: Callable[[], int],
        lag_ms: Callable[[], int],
        weight_limit: int,
        reach_ms: Callable[[], int] = lambda: 0,
    ) -> None:
        self._books, self._now, self._lag_ms = books, now, lag_ms
        self._weight_limit = weight_limit
        self._reach_ms = reach_ms

    def _book(self, symbol: str) -> Book:
        book = self._books.get(symbol)
        if book is None:
            raise ApiError(-1121, "Invalid symbol.")
        return book

    def _known_to(self) -> int:
        """The first millisecond that REST does not know yet."""
        return self._now() - self._lag_ms() + 1

    def _floor(self, book: Book) -> int:
        """The first place of which REST still has the trade."""
        reach_ms = self._reach_ms()
        return max(book.first, book.place_at(self._now() - reach_ms)) if reach_ms else book.first

    def ping(self, _: Parameters) -> Any:
        return {}

    def time(self, _: Parameters) -> Any:
        return {"serverTime": self._now()}

    def exchange_info(self, params: Parameters) -> Any:
        names = params.symbols()
        books = self._books.values() if names is None else [self._book(name) for name in names]
        if params.has("symbolStatus") and params.text("symbolStatus") != "TRADING":
            books = []
        return {
            "timezone": "UTC",
            "serverTime": self._now(),
            "rateLimits": [
                _rate_limit("REQUEST_WEIGHT", 1, self._weight_limit),
                _rate_limit("RAW_REQUESTS", 5, 300_000),
            ],
            "exchangeFilters": [],
            "symbols": [describe_symbol(book.spec) for book in books],
        }

    def klines(self, params: Parameters) -> Any:
        book, interval = self._book(params.symbol()), params.interval()
        start, end = params.time("startTime"), params.time("endTime")
        limit, offset = params.limit(), params.zone_ms()
        known_to = self._known_to()
        opens = Opens(interval, offset)
        rows = _oldest(book, book.first, book.place_at(known_to), 1)
        if not rows:
            return []
        first = opens.of(rows[0].trade_time)
        last = opens.of(known_to - 1 if end is None else min(end, known_to - 1))
        if start is None:
            start = opens.back(last, limit - 1)
        return [
            kline_row(book, open_time, opens.after(open_time), known_to)
            for open_time in opens.between(max(first, opens.at_or_after(start)), last, limit, book.is_halted)
        ]

    def agg_trades(self, params: Parameters) -> Any:
        book, limit = self._book(params.symbol()), params.limit()
        from_id = params.number("fromId")
        start, end = params.time("startTime"), params.time("endTime")
        known_to = self._known_to()
        if from_id is not None and (start is not None or end is not None):
            raise ApiError(-1128, "Combination of optional parameters invalid.")
        stop, floor = book.place_at(known_to if end is None else min(end + 1, known_to)), self._floor(book)
        if from_id is not None:
            rows = _oldest(book, max(floor, book.place_of(from_id)), stop, limit)
        elif start is not None:
            rows = _oldest(book, max(floor, book.place_at(start)), stop, limit)
        else:
            rows = _newest(book, floor, stop, limit)
        return [_agg_row(row) for row in rows]

    def trades(self, params: Parameters) -> Any:
        book, limit = self._book(params.symbol()), params.limit()
        rows = _newest(book, self._floor(book), book.place_at(self._known_to()), limit)
        return [fill for row in rows for fill in fill_rows(book, row)][-limit:]

    def average_price(self, params: Parameters) -> Any:
        book, known_to = self._book(params.symbol()), self._known_to()
        bar = book.between(known_to - _AVERAGE_MINUTES * MINUTE_MS, known_to)
        last = book.last_before(known_to)
        price = bar.quote * SCALE // bar.volume if bar.volume else (last.price if last else 0)
        closed = last.trade_time if last else 0
        return {"mins": _AVERAGE_MINUTES, "price": to_text(price), "closeTime": closed}

    def ticker_price(self, params: Parameters) -> Any:
        return self._each(params, self._price_of)

    def ticker_day(self, params: Parameters) -> Any:
        full = params.choice("type", ("FULL", "MINI")) == "FULL"
        return self._each(params, lambda book: self._day_of(book, full=full))

    def _each(self, params: Parameters, answer: Callable[[Book], Any]) -> Any:
        names = params.symbols()
        if names is not None and params.has("symbol"):
            return answer(self._book(names[0]))
        chosen = list(self._books) if names is None else names
        return [answer(self._book(name)) for name in chosen]

    def _price_of(self, book: Book) -> Any:
        last = book.last_before(self._known_to())
        return {"symbol": book.spec.symbol, "price": to_text(last.price if last else 0)}

    def _day_of(self, book: Book, *, full: bool) -> Any:
        known_to = self._known_to()
        start = known_to - 1 - DAY_MS
        before, last = book.last_before(start), book.last_before(known_to)
        previous = before.price if before else 0
        bar = book.between(start, known_to).flat(last.price if last else 0)
        answer = {
            "symbol": book.spec.symbol,
            "openPrice": to_text(bar.open),
            "highPrice": to_text(bar.high),
            "lowPrice": to_text(bar.low),
            "lastPrice": to_text(bar.close),
            "volume": to_text(bar.volume),
            "quoteVolume": to_text(bar.quote),
            "openTime": start,
            "closeTime": known_to - 1,
            "firstId": bar.first_id,
            "lastId": bar.last_id,
            "count": bar.trades,
        }
        if full:
            answer |= _day_extras(bar, previous, last.qty if last else 0)
        return answer


class Opens:
    """The open times of an interval whose days may begin at another hour."""

    def __init__(self, interval: Interval, offset_ms: int) -> None:
        self._interval, self._offset = interval, offset_ms

    def of(self, time_ms: int) -> int:
        return self._interval.open_of(time_ms + self._offset) - self._offset

    def after(self, open_time: int) -> int:
        return self._interval.next_open(open_time + self._offset) - self._offset

    def back(self, open_time: int, buckets: int) -> int:
        return self._interval.step_back(open_time + self._offset, buckets) - self._offset

    def at_or_after(self, time_ms: int) -> int:
        open_time = self.of(time_ms)
        return open_time if open_time == time_ms else self.after(open_time)

    def between(self, first: int, last: int, limit: int, is_halted: Callable[[int, int], bool]) -> list[int]:
        """The first ``limit`` open times of the buckets that have a kline."""
        opens: list[int] = []
        while first <= last and len(opens) < limit:
            after = self.after(first)
            if not is_halted(first, after):
                opens.append(first)
            first = after
        return opens


def kline_row(book: Book, open_time: int, next_open: int, known_to: int) -> list[Any]:
    bar = book.between(open_time, min(next_open, known_to))
    if bar.trades == 0:
        last = book.last_before(open_time)
        bar = bar.flat(last.price if last else 0)
    prices = (to_text(price) for price in (bar.open, bar.high, bar.low, bar.close))
    return [
        open_time,
        *prices,
        to_text(bar.volume),
        next_open - 1,
        to_text(bar.quote),
        bar.trades,
        to_text(bar.buy_volume),
        to_text(bar.buy_quote),
        "0",
    ]


def _agg_row(row: Row) -> dict[str, Any]:
    return {
        "a": row.trade_id,
        "p": to_text(row.price),
        "q": to_text(row.qty),
        "f": row.first_id,
        "l": row.last_id,
        "T": row.trade_time,
        "m": row.is_buyer_maker,
        "M": True,
    }


def fill_rows(book: Book, row: Row) -> list[dict[str, Any]]:
    if row.first_id < 0:
        return []
    return [
        {
            "id": row.first_id + place,
            "price": to_text(row.price),
            "qty": to_text(qty),
            "quoteQty": to_text(row.price * qty // SCALE),
            "time": row.trade_time,
            "isBuyerMaker": row.is_buyer_maker,
            "isBestMatch": True,
        }
        for place, qty in enumerate(fill_quantities(row, book.spec.step))
    ]


def _oldest(book: Book, start: int, stop: int, limit: int) -> list[Row]:
    """The first rows of the places; holes do not shorten the page."""
    rows: list[Row] = []
    while start < stop and len(rows) < limit:
        rows += book.rows(start, min(stop, start + _CHUNK))
        start += _CHUNK
    return rows[:limit]


def _newest(book: Book, floor: int, stop: int, limit: int) -> list[Row]:
    rows: list[Row] = []
    while stop > floor and len(rows) < limit:
        rows = book.rows(max(floor, stop - limit), stop) + rows
        stop -= limit
    return rows[-limit:]


def _day_extras(bar: Bar, previous: int, last_qty: int) -> dict[str, str]:
    change = bar.close - bar.open
    percent = round(change * 100_000 / bar.open) if bar.open else 0
    sign = "-" if percent < 0 else ""
    return {
        "priceChange": to_text(change),
        "priceChangePercent": f"{sign}{abs(percent) // 1000}.{abs(percent) % 1000:03d}",
        "weightedAvgPrice": to_text(bar.quote * SCALE // bar.volume) if bar.volume else _ZERO,
        "prevClosePrice": to_text(previous),
        "lastQty": to_text(last_qty),
        # This exchange has trades and no book.
        "bidPrice": _ZERO,
        "bidQty": _ZERO,
        "askPrice": _ZERO,
        "askQty": _ZERO,
    }


def _rate_limit(kind: str, minutes: int, limit: int) -> dict[str, Any]:
    return {
        "rateLimitType": kind,
        "interval": "MINUTE",
        "intervalNum": minutes,
        "limit": limit,
    }
