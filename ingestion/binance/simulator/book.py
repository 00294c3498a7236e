"""One symbol's market: its rows by place, time and id, and the bar of any span of time.

A place is a row's position in the sequence that is served (ids may jump in a recording, places
do not). Rows are a pure function of the market, so a book has no clock: who asks cuts at theirs.
"""

from abc import ABC, abstractmethod

from ingestion.binance.simulator.bars import Bar
from ingestion.binance.simulator.rows import Row, Spec
from markets.types import DAY_MS, HOUR_MS, MINUTE_MS

Spans = list[tuple[int, int]]

# A span is put together from whole days, hours and minutes; only its two ends need rows.
_LEVELS = (DAY_MS, HOUR_MS, MINUTE_MS)
_MINUTES = _LEVELS.index(MINUTE_MS)
_KEPT_BARS = 20_000


def is_within(trade_id: int, spans: Spans) -> bool:
    """True when one of the inclusive id ranges holds the id."""
    return any(low <= trade_id <= high for low, high in spans)


class Book(ABC):
    """A symbol's market. ``holes``: ids that nothing here serves, as if they had never been.

    ``halts``: spans of time (half-open) in which the exchange stood still.
    """

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.holes: Spans = []
        self.halts: Spans = []
        self._bars: dict[tuple[int, int], Bar] = {}

    @property
    @abstractmethod
    def first(self) -> int:
        """The first place."""

    @abstractmethod
    def place_at(self, time_ms: int) -> int:
        """The first place whose trade time is ``time_ms`` or later."""

    @abstractmethod
    def place_due(self, time_ms: int) -> int:
        """The first place that the stream sends after ``time_ms``."""

    @abstractmethod
    def place_of(self, trade_id: int) -> int:
        """The first place whose id is ``trade_id`` or above."""

    @abstractmethod
    def due(self, place: int) -> int | None:
        """When the stream sends the row at ``place``; None past the end."""

    @abstractmethod
    def _stored(self, start: int, stop: int) -> list[Row]:
        """The rows of the places ``[start, stop)``, holes included."""

    def rows(self, start: int, stop: int) -> list[Row]:
        """The rows of the places ``[start, stop)``, oldest first, without those in holes."""
        start = max(start, self.first)
        if stop <= start:
            return []
        rows = self._stored(start, stop)
        if self.holes:
            rows = [row for row in rows if not is_within(row.trade_id, self.holes)]
        return rows

    def set_holes(self, spans: Spans) -> None:
        """Take these ids out of the market, and only these; bars follow."""
        self.holes = spans
        self._bars = {}

    def set_halts(self, spans: Spans) -> None:
        """Nothing is traded in these spans, and they have no klines."""
        self.halts = spans
        self._bars = {}

    def is_halted(self, start_ms: int, end_ms: int) -> bool:
        """True when the whole span lies in a halt."""
        return any(begins <= start_ms and end_ms <= ends for begins, ends in self.halts)

    def last_before(self, time_ms: int) -> Row | None:
        """The newest row with a trade time below ``time_ms`` that is no invalid id."""
        place = self.place_at(time_ms)
        while place > self.first:
            for row in reversed(self.rows(place - 1, place)):
                if row.first_id >= 0:
                    return row
            place -= 1
        return None

    def between(self, start_ms: int, end_ms: int) -> Bar:
        """The bar of all trades with ``start_ms <= T < end_ms``; without trades its prices are 0."""
        bar = Bar()
        self._gather(bar, start_ms, end_ms, 0)
        return bar

    def _gather(self, bar: Bar, start: int, end: int, level: int) -> None:
        if start >= end:
            return
        if level == len(_LEVELS):
            bar.add(self.rows(self.place_at(start), self.place_at(end)), self.spec)
            return
        width = _LEVELS[level]
        whole_from = -(-start // width) * width
        whole_to = end // width * width
        if whole_from >= whole_to:
            self._gather(bar, start, end, level + 1)
            return
        self._gather(bar, start, whole_from, level + 1)
        for open_time in range(whole_from, whole_to, width):
            bar.extend(self._whole(open_time, level))
        self._gather(bar, whole_to, end, level + 1)

    def _whole(self, open_time: int, level: int) -> Bar:
        width = _LEVELS[level]
        if width == MINUTE_MS:
            return self.minute(open_time)
        held = self._bars.get((width, open_time))
        if held is None:
            held = Bar()
            # A day's hours are not kept: a thousand days would push each other out.
            self._gather(held, open_time, open_time + width, _MINUTES)
            if len(self._bars) >= _KEPT_BARS:
                self._bars.clear()
            self._bars[width, open_time] = held
        return held

    def minute(self, open_time: int) -> Bar:
        """The bar of a whole minute."""
        bar = Bar()
        rows = self.rows(self.place_at(open_time), self.place_at(open_time + MINUTE_MS))
        bar.add(rows, self.spec)
        return bar
