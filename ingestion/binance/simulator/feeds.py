"""What one symbol's streams say between two moments of feed time."""

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import NamedTuple

from ingestion.binance.simulator import frames
from ingestion.binance.simulator.bars import Bar
from ingestion.binance.simulator.book import Book
from ingestion.binance.simulator.calendar import KlineCalendar, Push, Stream
from ingestion.binance.simulator.faults import FaultPlan, Shaper
from ingestion.binance.simulator.rows import Row

# One turn sends at most so many trades of a symbol: a reader is never far behind the clock.
_ROWS_A_TURN = 64


class Event(NamedTuple):
    """A frame to send: when, on which stream, what."""

    due: int
    stream: str
    payload: str


class KlineFeed:
    """One kline stream: its running bar takes each trade once."""

    def __init__(self, stream: Stream, book: Book, from_ms: int) -> None:
        assert stream.interval is not None
        self._name, self._interval = stream.name, stream.interval.value
        self._book = book
        self._calendar = KlineCalendar(stream)
        self._next = self._calendar.after(from_ms)
        self._bar, self._open, self._place = Bar(), -1, 0

    @property
    def next_due(self) -> int:
        return self._next.due

    def forget(self) -> None:
        """The market's past has changed: fold the bucket anew."""
        self._open = -1

    def until(self, time_ms: int, plan: FaultPlan) -> Iterator[Event]:
        """The frames due up to ``time_ms``; a market that has not begun has none."""
        symbol = self._book.spec.symbol
        while self._next.due <= time_ms:
            push = self._next
            self._next = self._calendar.after(push.due)
            payload = self._payload(push)
            is_dropped = push.closes and plan.hits("drop_klines", symbol, push.open_time)
            if payload is not None and not is_dropped:
                yield Event(push.due, self._name, payload)

    def _payload(self, push: Push) -> str | None:
        boundary = self._calendar.next_open(push.open_time)
        if self._is_silent(push, boundary):
            return None
        self._advance(push.open_time, boundary if push.closes else push.due + 1)
        bar = self._bar
        if bar.trades == 0:
            last = self._book.last_before(push.open_time)
            if last is None:
                return None
            bar = bar.flat(last.price)
        return frames.kline(
            self._book.spec.symbol,
            self._interval,
            bar,
            (push.open_time, boundary - 1),
            event_time=push.due,
            closed=push.closes,
        )

    def _is_silent(self, push: Push, boundary: int) -> bool:
        """The exchange stands still and says nothing; buckets that lie wholly in the halt never had a kline."""
        return self._book.is_halted(push.due, push.due + 1) or self._book.is_halted(push.open_time, boundary)

    def _advance(self, open_time: int, end_ms: int) -> None:
        stop = self._book.place_at(end_ms)
        if open_time != self._open:
            self._open = open_time
            self._bar = self._book.between(open_time, end_ms)
        else:
            self._bar.add(self._book.rows(self._place, stop), self._book.spec)
        self._place = stop


class Feed:
    """All streams of one symbol that somebody reads."""

    def __init__(self, book: Book, from_ms: int) -> None:
        self.book = book
        self._place = book.place_due(from_ms)
        self._shaper = Shaper(book.spec.symbol)
        self._klines: dict[str, KlineFeed] = {}
        self._encoders: dict[str, Callable[[Row], list[str]]] = {}

    def add(self, stream: Stream, from_ms: int) -> None:
        """Somebody reads the stream from now on."""
        if stream.kind == "kline":
            self._klines[stream.name] = KlineFeed(stream, self.book, from_ms)
        elif stream.kind == "trade":
            self._encoders[stream.name] = lambda row: frames.fills(self.book.spec, row)
        else:
            symbol = self.book.spec.symbol
            self._encoders[stream.name] = lambda row: [frames.agg_trade(symbol, row)]

    def discard(self, name: str) -> None:
        """Nobody reads the stream any more."""
        self._klines.pop(name, None)
        self._encoders.pop(name, None)

    @property
    def is_idle(self) -> bool:
        return not self._klines and not self._encoders

    def forget(self) -> None:
        """The market's past has changed."""
        for kline in self._klines.values():
            kline.forget()

    def next_due(self) -> int | None:
        """When this symbol has something to say again; None: never."""
        dues = [kline.next_due for kline in self._klines.values()]
        dues += self._trade_dues() if self._encoders else []
        return min(dues, default=None)

    def _trade_dues(self) -> Collection[int]:
        dues = (self.book.due(self._place), self._shaper.held_until)
        return [due for due in dues if due is not None]

    def horizon(self) -> int | None:
        """How far one turn may go: no more than a handful of trades; None: as far as it likes."""
        return self.book.due(self._place + _ROWS_A_TURN)

    def until(self, time_ms: int, plan: FaultPlan) -> list[Event]:
        """The frames due up to ``time_ms``, in order."""
        events = list(self._trades(time_ms, plan)) if self._encoders else []
        stop = self.book.place_due(time_ms)
        self._place = max(self._place, stop)
        for kline in self._klines.values():
            events += kline.until(time_ms, plan)
        if self._klines:
            events.sort(key=_due)
        return events

    def _trades(self, time_ms: int, plan: FaultPlan) -> Iterator[Event]:
        rows: Iterable[Row] = self.book.rows(self._place, self.book.place_due(time_ms))
        if plan.moves_trades or self._shaper.held_until is not None:
            rows = self._shaper.shape(rows, plan, time_ms)
        due = 0
        symbol = self.book.spec.symbol
        for row in rows:
            due = max(due, row.event_time)
            broken = plan.malformed and plan.hits("malformed", symbol, row.trade_id)
            for name, encode in self._encoders.items():
                for payload in encode(row):
                    yield Event(due, name, payload[: len(payload) // 2] if broken else payload)


def _due(event: Event) -> int:
    return event.due
