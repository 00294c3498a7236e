"""1s candles from trades, by the pipeline's own fold. Pure: no clock, no I/O."""

from collections.abc import Iterable
from typing import Final

import msgspec

from analytics.reading.known import KnownCandle, of_forming
from ingestion.pipeline.records import Enriched, Trade
from ingestion.pipeline.window import fold
from markets.types import SECOND_MS, Interval

# Late trades of a gap that heals within this time need no read.
KEEP_MS: Final = 120_000


class SecondFold:
    """The newest seconds of one symbol. Trades are kept by id, so taking one twice changes nothing."""

    def __init__(self) -> None:
        self.closed_to = 0
        self.newest_time = 0
        self._seconds: dict[int, dict[int, Trade]] = {}
        self._known_at: dict[int, int] = {}
        self._changed: set[int] = set()

    def seed(self, closed_to: int, trades: Iterable[Enriched]) -> None:
        """Begin: ``trades`` are those from ``KEEP_MS`` before ``closed_to`` on. Seconds before it were told already."""
        for item in trades:
            self._put(item)
        self.closed_to = max(self.closed_to, closed_to)
        self._changed = {second for second in self._changed if second >= self.closed_to}

    def take(self, item: Enriched) -> int | None:
        """Take a trade. Answers the open time of its second when that is too old to be held."""
        second = Interval.S1.open_of(item.trade.trade_time)
        if item.trade.is_invalid:
            return None
        if second < self.closed_to - KEEP_MS:
            return second
        self._put(item)
        return None

    def _put(self, item: Enriched) -> None:
        trade = item.trade
        second = Interval.S1.open_of(trade.trade_time)
        held = self._seconds.setdefault(second, {})
        if trade.is_invalid or trade.trade_id in held:
            return
        held[trade.trade_id] = trade
        self._known_at[second] = max(self._known_at.get(second, 0), item.known_at)
        self._changed.add(second)
        self.newest_time = max(self.newest_time, trade.trade_time)

    def close(self, closed_to: int) -> tuple[list[KnownCandle], range]:
        """Nothing more comes before ``closed_to``: the seconds with trades that closed or changed since the last
        call, oldest first, and the open times of all that closed now (the quiet ones are the caller's to fill)."""
        before, self.closed_to = self.closed_to, max(self.closed_to, closed_to)
        news = sorted(second for second in self._changed if second < self.closed_to)
        told = [candle for second in news for candle in self._candle(second, forming=False)]
        self._changed.difference_update(news)
        for second in [held for held in self._seconds if held < self.closed_to - KEEP_MS]:
            del self._seconds[second]
            self._known_at.pop(second, None)
        return told, range(before or self.closed_to, self.closed_to, SECOND_MS)

    def forming(self) -> list[KnownCandle]:
        """The seconds with trades that are not closed yet, oldest first."""
        running = sorted(second for second in self._changed if second >= self.closed_to)
        return [candle for second in running for candle in self._candle(second, forming=True)]

    def _candle(self, second: int, *, forming: bool) -> list[KnownCandle]:
        known_at = self._known_at.get(second)
        return [
            msgspec.structs.replace(of_forming(candle), forming=forming, known_at=known_at)
            for candle in fold(self._seconds.get(second, {}).values(), Interval.S1)
        ]
