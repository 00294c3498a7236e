"""1s candles for the sockets: folded from trades, closed as REST closes them."""

from collections.abc import Iterable, Sequence

from analytics.reading import seconds
from analytics.reading.cursor import seq_of
from analytics.reading.known import FORMING, CandleView, KnownCandle
from analytics.reading.view import LiveView, Snapshot, Tailed
from analytics.ws.feeds import CandleFeed, Question
from analytics.ws.messages import Message, Topic
from analytics.ws.seconds import SecondFold
from ingestion.pipeline.coverage import is_covered
from ingestion.pipeline.records import CandleRecord, Enriched, Live
from ingestion.pipeline.window import empty_candle
from markets.types import SECOND_MS, Interval

# A clock that leaps further at once (a quiet night replayed at speed) tells only the seconds with trades: the
# flat ones between are REST's.
_MOST_QUIET = 600
_MOST_STALE = 500
_MOST_WAITING = 50_000


def second_seq(open_time: int) -> int:
    """What tells a closed second from those that a client has: seconds are no records, so it is their end."""
    return open_time + SECOND_MS


class SecondFeed(CandleFeed):
    """1s candles of one symbol. Quiet seconds inside a segment are told flat."""

    def __init__(self, topic: Topic, view: LiveView, epoch: int) -> None:
        super().__init__(topic, view, epoch)
        self._fold = SecondFold()
        self._is_seeded = False
        self._waiting: list[Tailed] = []
        self._stale: set[int] = set()
        self._last_price = 0

    def take(self, batch: Sequence[Tailed]) -> list[Message]:
        if not self._is_seeded:
            self._waiting += batch
            del self._waiting[:-_MOST_WAITING]
            return []
        for stored, record in batch:
            if isinstance(record, Enriched):
                self._take_trade(record)
            elif isinstance(record, Live):
                self._live = record
            elif isinstance(record, CandleRecord):
                self.seq = seq_of(self._epoch, stored.offset + 1)
        return self._close()

    def _take_trade(self, item: Enriched) -> None:
        second = self._fold.take(item)
        if second is not None:
            self._stale.add(second)

    def _close(self) -> list[Message]:
        clock = self._view.clock(self.topic.symbol)
        if clock is None:
            return []
        known = Snapshot(self.topic.symbol, clock, self._live, self._view.coverage(self.topic.symbol), self.seq, 0)
        told, closed_now = self._fold.close(seconds.closed_to(known, clock))
        made: list[Message] = []
        for candle in self._with_quiet(told, closed_now, known):
            self._last_price = candle.candle.close
            is_new = candle.open_time in closed_now
            made += self._messages(candle, second_seq(candle.open_time) if is_new else 0)
        return made

    def _with_quiet(self, told: Sequence[KnownCandle], closed_now: range, known: Snapshot) -> Iterable[KnownCandle]:
        by_open = {candle.open_time: candle for candle in told}
        quiet = [s for s in closed_now if s not in by_open] if len(closed_now) <= _MOST_QUIET else []
        price = self._last_price
        for second in sorted((*by_open, *quiet)):
            candle = by_open.get(second)
            if candle is not None:
                price = candle.candle.close
                yield candle
            elif known.clock and is_covered(known.coverage, second, second + SECOND_MS, known.clock.feed_time):
                flat = empty_candle(self.topic.symbol, Interval.S1, second, price)
                yield KnownCandle(flat, known_at=second + SECOND_MS)

    def _running(self) -> Iterable[KnownCandle]:
        return self._fold.forming() if self._is_seeded else ()

    # --- questions -------------------------------------------------------------------------------

    def question(self) -> Question | None:
        if not self._is_seeded:
            return Question(lambda reads: reads.seconds(self.topic.symbol), self._seeded)
        if not self._stale:
            return None
        opens = sorted(self._stale)[:_MOST_STALE]
        self._stale.difference_update(opens)
        return Question(
            lambda reads: reads.buckets(self.topic.symbol, Interval.S1, opens),
            self._told_anew,
            lambda: self._stale.update(opens),
        )

    def _seeded(self, seed: tuple[int, Sequence[Enriched]]) -> list[Message]:
        closed_to, trades = seed
        self._fold.seed(closed_to, trades)
        before = [item for item in trades if item.trade.trade_time < closed_to]
        self._last_price = before[-1].trade.price if before else 0
        self._is_seeded = True
        waiting, self._waiting = self._waiting, []
        return self.take(waiting)

    def _told_anew(self, views: Sequence[CandleView]) -> list[Message]:
        return [self.message(view) for view in views if view.state != FORMING]
