"""A kline's figures from rows, exactly; bars of neighbouring spans merge."""

from collections.abc import Iterable

from ingestion.binance.simulator.rows import Row, Spec, quote_of


class Bar:
    """OHLCV of a span, amounts scaled by 10**8. Without trades ``trades`` is 0 and prices are 0.

    Changed in place: a running kline takes a few trades each push.
    """

    __slots__ = (
        "buy_quote",
        "buy_volume",
        "close",
        "first_id",
        "high",
        "last_id",
        "low",
        "open",
        "quote",
        "trades",
        "volume",
    )

    def __init__(self) -> None:
        self.open = self.high = self.low = self.close = 0
        self.volume = self.quote = self.buy_volume = self.buy_quote = 0
        self.trades = 0
        self.first_id = self.last_id = -1

    def add(self, rows: Iterable[Row], spec: Spec) -> None:
        """Take rows that follow, in id order. Ids the exchange declared invalid are in no kline."""
        for row in rows:
            if row.first_id < 0:
                continue
            self._take_price(row)
            quote = quote_of(row, spec)
            self.volume += row.qty
            self.quote += quote
            self.trades += row.last_id - row.first_id + 1
            if not row.is_buyer_maker:
                self.buy_volume += row.qty
                self.buy_quote += quote

    def _take_price(self, row: Row) -> None:
        price = row.price
        if self.trades == 0:
            self.open = self.high = self.low = price
            self.first_id = row.first_id
        elif price > self.high:
            self.high = price
        elif price < self.low:
            self.low = price
        self.close = price
        self.last_id = row.last_id

    def extend(self, later: "Bar") -> None:
        """Take the bar of the span that follows."""
        if later.trades == 0:
            return
        if self.trades == 0:
            self.open, self.high, self.low = later.open, later.high, later.low
            self.first_id = later.first_id
        self.high = max(self.high, later.high)
        self.low = min(self.low, later.low)
        self.close, self.last_id = later.close, later.last_id
        self.volume += later.volume
        self.quote += later.quote
        self.trades += later.trades
        self.buy_volume += later.buy_volume
        self.buy_quote += later.buy_quote

    def flat(self, price: int) -> "Bar":
        """This bar, or, when it has no trade, one that is flat at ``price``."""
        if self.trades:
            return self
        empty = Bar()
        empty.open = empty.high = empty.low = empty.close = price
        return empty
