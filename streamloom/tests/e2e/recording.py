"""What another exchange would have to tell: rows of a recording, and the candles that follow from them.

Written from the exchange's contract alone and with decimals, so that it shares nothing with the product but the facts.
"""

import csv
import gzip
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import ROUND_DOWN, Decimal
from pathlib import Path
from typing import Any

MINUTE = 60_000
EIGHT = Decimal("0.00000001")
WIDTHS = {"1m": MINUTE, "1h": 60 * MINUTE, "1d": 1440 * MINUTE}


@dataclass(frozen=True, slots=True)
class Row:
    """One aggregate trade: times in epoch ms, ``fills`` inclusive; ``seen`` is when the exchange spoke of it."""

    symbol: str
    id: int
    price: str
    qty: str
    first: int
    last: int
    time: int
    maker: bool
    seen: int

    @property
    def is_invalid(self) -> bool:
        return self.first < 0


def fills(path: Path, symbol: str | None = None) -> list[Row]:
    """A file of single fills as trades of one fill each, by id."""
    with gzip.open(path, "rt", newline="") as file:
        rows = [_fill(line, symbol) for line in csv.DictReader(file)]
    return sorted(rows, key=lambda row: row.id)


def _fill(line: dict[str, str], symbol: str | None) -> Row:
    fill = int(line["trade_id"])
    maker = line["buyer_market_maker"].lower() in ("true", "t", "1")
    return Row(
        symbol or line["symbol"],
        fill,
        line["price"],
        line["quantity"],
        fill,
        fill,
        int(line["trade_time"]),
        maker,
        int(line["event_time"]),
    )


@dataclass(slots=True)
class Bar:
    """A candle in the making, as the exchange makes it: fills cut down to eight decimals one by one."""

    open: str
    high: Decimal = Decimal("-Infinity")
    low: Decimal = Decimal("Infinity")
    close: str = ""
    volume: Decimal = Decimal(0)
    quote: Decimal = Decimal(0)
    buy: Decimal = Decimal(0)
    buy_quote: Decimal = Decimal(0)
    first: int = -1
    last: int = -1
    count: int = 0
    ids: list[int] = field(default_factory=list)

    def add(self, row: Row) -> None:
        price, qty = Decimal(row.price), Decimal(row.qty)
        quote = (price * qty).quantize(EIGHT, ROUND_DOWN)
        self.high, self.low, self.close = max(self.high, price), min(self.low, price), row.price
        self.volume, self.quote = self.volume + qty, self.quote + quote
        if not row.maker:
            self.buy, self.buy_quote = self.buy + qty, self.buy_quote + quote
        self.first = row.first if self.first < 0 else self.first
        self.last = row.last
        self.count += row.last - row.first + 1
        self.ids.append(row.id)

    def words(self) -> tuple[str, ...]:
        """open, high, low, close, volume, quote volume, taker's volume and quote volume, as the exchange writes."""
        if self.first < 0:
            return (text(Decimal(self.open)),) * 4 + ("0.00000000",) * 4
        numbers = (Decimal(self.open), self.high, self.low, Decimal(self.close))
        return tuple(text(number) for number in (*numbers, self.volume, self.quote, self.buy, self.buy_quote))


def text(number: Decimal) -> str:
    return f"{number.quantize(EIGHT, ROUND_DOWN):f}"


def fold(rows: Iterable[Row], width: int) -> dict[int, Bar]:
    """Candles by open time; rows in the order of their ids. Empty ones are left out."""
    bars: dict[int, Bar] = {}
    for row in rows:
        if row.is_invalid:
            continue
        open_time = row.time // width * width
        if open_time not in bars:
            bars[open_time] = Bar(row.price)
        bars[open_time].add(row)
    return bars


def candles(rows: list[Row], interval: str) -> list[dict[str, Any]]:
    """What an API must answer for a span that is held from the first row to the last, flat candles included."""
    width, made = WIDTHS[interval], []
    bars, close = fold(rows, width), None
    for open_time in range(min(bars), max(bars) + width, width):
        bar = bars.get(open_time) or Bar(str(close))
        close = bar.close or close
        names = ("open", "high", "low", "close", "volume", "quote_volume", "taker_buy_volume", "taker_buy_quote_volume")
        made.append(
            {"open_time": open_time, **dict(zip(names, bar.words(), strict=True)), "trades": bar.count}
            | {"first_trade_id": bar.ids[0] if bar.ids else None, "last_trade_id": bar.ids[-1] if bar.ids else None}
            | {"agg_trades": len(bar.ids)}
        )
    return made


def by_symbol(rows: Iterable[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[row.symbol].append(row)
    return {symbol: sorted(mine, key=lambda row: row.id) for symbol, mine in found.items()}


def jumps(rows: list[Row]) -> Iterator[tuple[int, int]]:
    """The ids that a recording lacks, as inclusive ranges."""
    for left, right in zip(rows, rows[1:], strict=False):
        if right.id != left.id + 1:
            yield left.id + 1, right.id - 1
