"""The log's records of one topic become messages, each made once for all its subscribers.

A feed belongs to the hub's loop and never blocks: what must be asked of tables it says as a ``Question``.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from analytics.reading import cursor as cursors
from analytics.reading.cursor import Cursor, seq_of
from analytics.reading.known import (
    FORMING,
    CandleView,
    KnownCandle,
    candle_json,
    derive,
    newest,
    of_forming,
    of_record,
    with_kline,
)
from analytics.reading.reports import best_reports
from analytics.reading.trades import trade_json
from analytics.reading.view import LiveView, Tailed
from analytics.ws import messages
from analytics.ws.folding import Fold
from analytics.ws.messages import Message, Topic
from analytics.ws.reads import Reads, Seed
from ingestion.log import topics
from ingestion.pipeline.records import Candle, CandleReason, CandleRecord, Enriched, Kline, Live
from markets.types import MINUTE_MS, Interval

# Versions of so many minutes are remembered, to tell news from repeats.
_KEPT_MINUTES = 5_000
_MOST_BUCKETS = 500
# Records kept while the tables are away: what is let go is found again by reading the buckets anew.
_MOST_WAITING = 20_000
# At least as many as the fold keeps buckets.
_KEPT_KLINES = 8


class Question(NamedTuple):
    """Something to ask in a thread, and who takes the answer (on the loop) and makes messages of it."""

    ask: Callable[[Reads], Any]
    take: Callable[[Any], list[Message]]
    give_up: Callable[[], None] = lambda: None


class Feed:
    """What every feed can do; the alerts have nothing to tell yet, so this is their feed."""

    def __init__(self, topic: Topic, view: LiveView, epoch: int) -> None:
        """``epoch``: of the log's topic that gives the sequence numbers."""
        self.topic = topic
        self._view = view
        self._epoch = epoch

    def start_at(self, since: Cursor) -> None:
        """For a replay: the client has everything before this cursor."""

    def take(self, batch: Sequence[Tailed]) -> list[Message]:
        """The messages that must arrive, from records of the topic's symbol in the order of the log."""
        return []

    def forming(self) -> list[Message]:
        """What has changed in candles that are not closed; asked at most each 100 ms."""
        return []

    def question(self) -> Question | None:
        """What has to be read now; None when nothing."""
        return None


class TradeFeed(Feed):
    """Every trade of the symbol; ids that the exchange declared invalid are left out."""

    _place = 0

    def start_at(self, since: Cursor) -> None:
        self._place = since.place

    def take(self, batch: Sequence[Tailed]) -> list[Message]:
        return [
            self.message(tailed.stored.offset, tailed.record)
            for tailed in batch
            if isinstance(tailed.record, Enriched) and not tailed.record.trade.is_invalid
        ]

    def message(self, offset: int, item: Enriched) -> Message:
        """The message of the trade at this offset of ``enriched_trades``."""
        self._place = max(self._place, item.trade.trade_id + 1)
        seq = seq_of(self._epoch, offset + 1)
        cursor = Cursor(self.topic.symbol, cursors.TRADES, None, self._place, seq)
        return Message(messages.trade(self.topic, trade_json(item), cursors.encode(cursor)), seq)


class CandleFeed(Feed):
    """What the candle feeds share: the place in the log, and forming candles that are told when they change."""

    def __init__(self, topic: Topic, view: LiveView, epoch: int) -> None:
        super().__init__(topic, view, epoch)
        assert topic.interval is not None
        self.interval: Interval = topic.interval
        self.seq = view.seq(topics.CANDLES_1M.name, topic.symbol)
        self._place = 0
        self._live: Live | None = view.live(topic.symbol)
        self._told: dict[int, Candle] = {}

    def start_at(self, since: Cursor) -> None:
        self._place, self.seq = since.place, since.seq

    def forming(self) -> list[Message]:
        found = [known for known in self._running() if self._told.get(known.open_time) != known.candle]
        self._told.update((known.open_time, known.candle) for known in found)
        return [message for known in found for message in self._messages(known)]

    def _running(self) -> Iterable[KnownCandle]:
        return ()

    def running_minutes(self) -> tuple[Candle, ...]:
        live = self._live
        if live is None:
            return ()
        return (*live.pending, *(() if live.candle is None else (live.candle,)))

    def _messages(self, known: KnownCandle, seq: int = 0) -> list[Message]:
        """One message, or none for a bucket that is unknown."""
        if not known.candle.agg_trades and not known.candle.close:
            return []
        clock = self._view.clock(self.topic.symbol)
        known = self._beside_kline(known)
        view = None if clock is None else derive(known, self._view.coverage(self.topic.symbol), clock)
        return [] if view is None else [self.message(view, seq)]

    def _beside_kline(self, known: KnownCandle) -> KnownCandle:
        return known

    def message(self, view: CandleView, seq: int = 0) -> Message:
        """The message that tells a candle. ``seq``: of the record that it was made from."""
        key = (self.topic, view.open_time)
        if view.state == FORMING:
            return Message(self._text(view), seq, key=key)
        self._told.pop(view.open_time, None)
        self._place = max(self._place, self.interval.next_open(view.open_time))
        return Message(self._text(view), seq, clears=key)

    def _text(self, view: CandleView) -> str:
        place = self._place or view.open_time
        cursor = Cursor(self.topic.symbol, cursors.CANDLES, self.interval.value, place, self._safe_seq())
        return messages.candle(self.topic, candle_json(view), cursors.encode(cursor))

    def _safe_seq(self) -> int:
        """Everything before it has been told."""
        return self.seq


class MinuteFeed(CandleFeed):
    """1m candles: every record of ``candles_1m`` that is news, as it comes."""

    def __init__(self, topic: Topic, view: LiveView, epoch: int) -> None:
        super().__init__(topic, view, epoch)
        self._versions: dict[int, KnownCandle] = {}

    def take(self, batch: Sequence[Tailed]) -> list[Message]:
        made: list[Message] = []
        for stored, record in batch:
            if isinstance(record, CandleRecord):
                self.seq = seq_of(self._epoch, stored.offset + 1)
                made += self._told_record(record)
            elif isinstance(record, Live):
                self._live = record
        return made

    def _told_record(self, record: CandleRecord) -> list[Message]:
        known = of_record(record)
        held = self._versions.pop(known.open_time, None)
        best = known if held is None else newest((held, known))[known.open_time]
        self._versions[known.open_time] = best
        if len(self._versions) > _KEPT_MINUTES:
            del self._versions[next(iter(self._versions))]
        if held is not None and (best is held or _same(best, held)):
            return []
        return self._messages(known, self.seq)

    def _running(self) -> Iterable[KnownCandle]:
        return [of_forming(candle) for candle in self.running_minutes() if candle.open_time not in self._versions]


def _same(left: KnownCandle, right: KnownCandle) -> bool:
    names = ("candle", "certified", "disputed", "difference")
    return all(getattr(left, name) == getattr(right, name) for name in names)


class _Cause(NamedTuple):
    """Why a bucket is read anew. ``floor``: no cursor may pass it before; ``seq``: of its message."""

    floor: int
    seq: int


class FoldedFeed(CandleFeed):
    """Candles above 1m: folded from 1m records, seeded from tables; corrections of old ones are read anew."""

    def __init__(self, topic: Topic, view: LiveView, epoch: int) -> None:
        super().__init__(topic, view, epoch)
        self._fold = Fold(self.interval)
        self._waiting: list[Tailed] = []
        self._is_seeded = False
        # Buckets to read anew, and those being read: open time -> the record that said so first.
        self._stale: dict[int, _Cause] = {}
        self._reading: dict[int, _Cause] = {}
        # The exchange's own candles of the newest buckets: folded ones are told with their verdict.
        self._klines: dict[int, Kline] = {}
        clock = view.clock(topic.symbol)
        self._told_to = 0 if clock is None else self.interval.open_of(clock.closed_to)

    def take(self, batch: Sequence[Tailed]) -> list[Message]:
        if not self._is_seeded:
            self._waiting += [item for item in batch if isinstance(item.record, CandleRecord | Live | Kline)]
            del self._waiting[:-_MOST_WAITING]
            return []
        made: list[Message] = []
        for stored, record in batch:
            if isinstance(record, CandleRecord):
                made += self._take_record(stored.offset, record)
            elif isinstance(record, Live):
                made += self._take_live(record)
            elif isinstance(record, Kline) and record.interval == self.interval and record.closed:
                self._take_kline(record)
        return made

    def _take_kline(self, kline: Kline) -> None:
        """A bucket that was told without it is told again, as REST has it now."""
        self._klines = best_reports((*self._klines.values(), kline))
        for open_time in sorted(self._klines)[:-_KEPT_KLINES]:
            del self._klines[open_time]
        if self.interval.next_open(kline.open_time) <= self._fold.closed_to:
            self._read_anew(kline.open_time, _Cause(self.seq, 0))

    def _beside_kline(self, known: KnownCandle) -> KnownCandle:
        kline = self._klines.get(known.open_time)
        if kline is None:
            return known
        return with_kline(known, kline, None if self._live is None else self._live.last_trade_id)

    def _take_record(self, offset: int, record: CandleRecord) -> list[Message]:
        self.seq = seq_of(self._epoch, offset + 1)
        bucket = self._fold.take(of_record(record))
        if bucket is not None:
            self._read_anew(bucket, _Cause(self.seq - 1, self.seq))
        closed: list[KnownCandle] = []
        if record.reason == CandleReason.CLOSED:
            closed = self._fold.close(record.candle.open_time + MINUTE_MS)
        news = [*closed, *self._fold.revised()]
        return [message for known in news for message in self._messages(known, self.seq)]

    def _take_live(self, live: Live) -> list[Message]:
        # The candles of its commit may be read after it, so the word of the one before counts: a bucket whose
        # last minutes have no record (a gap) is closed by it.
        before, self._live = self._live, live
        if before is None or before.closed_to is None:
            return []
        return [m for known in self._fold.close(before.closed_to) for m in self._messages(known)]

    def _read_anew(self, bucket: int, cause: _Cause) -> None:
        if self.interval.next_open(bucket) > self._fold.closed_to:
            self._is_seeded, self._told_to = False, bucket
        else:
            self._stale.setdefault(bucket, cause)

    def _running(self) -> Iterable[KnownCandle]:
        return self._fold.forming(self.running_minutes()) if self._is_seeded else ()

    def _safe_seq(self) -> int:
        causes = (*self._stale.values(), *self._reading.values())
        return min((self.seq, *(cause.floor for cause in causes)))

    # --- questions -------------------------------------------------------------------------------

    def question(self) -> Question | None:
        if not self._is_seeded:
            return Question(lambda reads: reads.seed(self.topic.symbol, self.interval), self._seeded)
        if not self._stale:
            return None
        opens = sorted(self._stale)[:_MOST_BUCKETS]
        self._reading = {open_time: self._stale.pop(open_time) for open_time in opens}
        return Question(
            lambda reads: reads.buckets(self.topic.symbol, self.interval, opens), self._told_anew, self._put_back
        )

    def _seeded(self, seed: Seed) -> list[Message]:
        self._fold.seed(seed.closed_to, seed.parts)
        self._is_seeded = True
        # Buckets that closed while the seed was read are in no fold.
        bucket, now = self._told_to, self.interval.open_of(self._fold.closed_to)
        for _ in range(_MOST_BUCKETS if bucket else 0):
            if bucket < now:
                self._read_anew(bucket, _Cause(self.seq, 0))
                bucket = self.interval.next_open(bucket)
        waiting, self._waiting = self._waiting, []
        return self.take(waiting)

    def _told_anew(self, views: Sequence[CandleView]) -> list[Message]:
        made: list[Message] = []
        for view in views:
            cause = self._reading.pop(view.open_time)
            if view.state != FORMING:
                made.append(self.message(view, cause.seq))
        self._reading.clear()
        return made

    def _put_back(self) -> None:
        self._stale = {**self._stale, **self._reading}
        self._reading.clear()
