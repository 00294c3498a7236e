"""When a minute can get no more trades, and what its closed candle says.

A bucket closes when (a) the next id's trade lies past its end and no open gap touches it, (b) its closed
kline has come and its last fill is held, or (c) the feed's clock passed its end by three seconds.
Source: DESIGN section 6; E - T reaches 2.6 s in recordings, hence the three seconds.
"""

import msgspec

from ingestion.pipeline.holdings import Holdings
from ingestion.pipeline.records import (
    Candle,
    CandleReason,
    CandleRecord,
    CoverageEvent,
    CoverageKind,
    Kline,
    Trade,
)
from ingestion.pipeline.spans import Segment
from ingestion.pipeline.verdict import VERDICTS, compare, state_of
from ingestion.pipeline.window import Bucket, empty_candle
from markets.types import MINUTE_MS, Interval

GRACE_MS = 3_000
# For how long a closed candle waits for its kline here; later a rebuild compares it.
_REMEMBER_MS = 10 * MINUTE_MS


class Minutes(msgspec.Struct):
    """The minutes of one symbol that may still change, and the closed ones that await their kline.

    ``closed_to``: every minute before it is closed; None before the first coverage.
    """

    symbol: str
    closed_to: int | None = None
    last_close: int | None = None
    last_close_id: int = -1
    buckets: dict[int, Bucket] = {}
    klines: dict[int, Kline] = {}
    awaiting: dict[int, Candle] = {}

    def start(self, covered_from: int) -> None:
        """A segment begins: minutes before it are none of ours to close."""
        first = Interval.M1.open_of(covered_from)
        if self.closed_to is None or first > self.closed_to:
            self.closed_to = first
            self.buckets = {at: bucket for at, bucket in self.buckets.items() if at >= first}

    def add(self, trade: Trade) -> bool:
        """Take a trade into its open minute; False when that minute is closed already (the trade is late)."""
        open_time = trade.trade_time - trade.trade_time % MINUTE_MS
        if self.closed_to is None or open_time < self.closed_to:
            self._forget(open_time)
            return False
        bucket = self.buckets.get(open_time)
        if bucket is None:
            bucket = self.buckets[open_time] = Bucket(open_time)
        bucket.add(trade)
        return True

    def _forget(self, open_time: int) -> None:
        """The closed candle got another trade: only a rebuild can compare it now."""
        self.awaiting.pop(open_time, None)

    def note_price(self, trade: Trade) -> None:
        """Remember the newest price before the open minutes: the flat price of empty ones."""
        if trade.trade_id > self.last_close_id:
            self.last_close, self.last_close_id = trade.price, trade.trade_id

    def advance(self, holdings: Holdings, clock: int, most: int) -> tuple[list[CandleRecord], list[CoverageEvent]]:
        """Close, in order, the minutes that can be closed now; at most so many, the others with the next record."""
        records: list[CandleRecord] = []
        events: list[CoverageEvent] = []
        for _ in range(most):
            if self.closed_to is None or not self._may_close(self.closed_to, holdings, clock):
                break
            self._close(self.closed_to, holdings, clock, records, events)
            self.closed_to += MINUTE_MS
        if records:
            self._drop_old(clock)
        return records, events

    def finish(self, holdings: Holdings, ended_at: int, clock: int) -> tuple[list[CandleRecord], list[CoverageEvent]]:
        """The segment ended: close every minute until then, whatever may be missing at its end.

        The last one stays open while it holds no trade: should the segment go on, it goes on there.
        """
        records: list[CandleRecord] = []
        events: list[CoverageEvent] = []
        last = Interval.M1.open_of(ended_at)
        first = last if self.closed_to is None else self.closed_to
        for open_time in sorted({*range(first, last, MINUTE_MS), *self.buckets}):
            self._close(open_time, holdings, clock, records, events)
            self.closed_to = open_time + MINUTE_MS
        self.klines.clear()
        return records, events

    def _may_close(self, open_time: int, holdings: Holdings, clock: int) -> bool:
        end = open_time + MINUTE_MS
        segment = holdings.open_segment()
        if segment is None:
            # Switched off: should the symbol be wanted again from here on, these minutes belong to it.
            return False
        if clock >= end + GRACE_MS:
            return True
        if segment.hi_time >= end and segment.hi >= segment.lo:
            return not holdings.gap_touches(open_time, end)
        kline = self.klines.get(open_time)
        return kline is not None and self._holds_all_of(kline)

    def _holds_all_of(self, kline: Kline) -> bool:
        """True when the last fill that the exchange counted into the minute is held."""
        bucket = self.buckets.get(kline.open_time)
        if bucket is None:
            return kline.last_fill_id < 0
        return 0 <= kline.last_fill_id <= bucket.last_fill_id

    def _close(
        self,
        open_time: int,
        holdings: Holdings,
        clock: int,
        records: list[CandleRecord],
        events: list[CoverageEvent],
    ) -> None:
        bucket = self.buckets.pop(open_time, None)
        kline = self.klines.pop(open_time, None)
        segment = holdings.segment_at(open_time + MINUTE_MS - 1)
        if kline is not None:
            events += self._tail_behind(holdings, kline, clock)
        if bucket is not None:
            self.last_close, self.last_close_id = bucket.close, bucket.last_trade_id
            candle = bucket.candle(self.symbol)
        elif segment is None or segment.covered_from > open_time or not _is_empty(open_time, kline, holdings):
            return
        else:
            candle = empty_candle(self.symbol, Interval.M1, open_time, self.last_close or 0)
        records.append(self._closed_record(candle, kline, holdings, clock))

    def _closed_record(self, candle: Candle, kline: Kline | None, holdings: Holdings, clock: int) -> CandleRecord:
        state = self._state(candle, kline, holdings)
        if state in ("closed", "partial") and kline is None:
            self.awaiting[candle.open_time] = candle
        return self._record(candle, kline, state, CandleReason.CLOSED, holdings, clock)

    def _state(self, candle: Candle, kline: Kline | None, holdings: Holdings) -> str:
        end = candle.open_time + MINUTE_MS
        segment = holdings.segment_at(candle.open_time)
        covered = segment is not None and (segment.closed_at is None or segment.closed_at >= end)
        if kline is None:
            return "closed" if covered else "partial"
        is_cut = segment is not None and _is_cut(candle, kline, segment)
        waits = is_cut or holdings.gap_touches(candle.open_time, end)
        return state_of(candle, kline, waits, covered)

    def _record(
        self,
        candle: Candle,
        kline: Kline | None,
        state: str,
        reason: CandleReason,
        holdings: Holdings,
        clock: int,
    ) -> CandleRecord:
        end = candle.open_time + MINUTE_MS
        missing = 0 if state == "certified" else holdings.missing_between(candle.open_time, end)
        difference = compare(candle, kline) if kline is not None and state == "disputed" else None
        return CandleRecord(candle, state, reason, clock, missing, difference)

    def take_kline(
        self, kline: Kline, holdings: Holdings, clock: int
    ) -> tuple[Kline, list[CandleRecord], list[CoverageEvent]]:
        """A closed kline: keep it for a minute that is open, compare a closed one, or pass it on for a rebuild.

        Returns the kline as it is to be stored, the verdict if there is one, and what it says of our end.
        """
        open_time = kline.open_time
        self._drop_old(clock)
        if self.closed_to is not None and open_time >= self.closed_to and holdings.open_segment() is not None:
            self.klines[open_time] = kline
            return _noted(kline, holdings), [], []
        behind = self._tail_behind(holdings, kline, clock)
        candle = self.awaiting.pop(open_time, None)
        if candle is None:
            # Unknown, corrected, judged already or long ago: only a rebuild knows what there is to compare.
            is_ours = self.closed_to is not None and holdings.segment_at(open_time) is not None
            return msgspec.structs.replace(kline, recheck=is_ours), [], behind
        state = self._state(candle, kline, holdings)
        if state not in VERDICTS:
            return _noted(kline, holdings), [], behind
        record = self._record(candle, kline, state, CandleReason.VERDICT, holdings, clock)
        return _noted(kline, holdings), [record], behind

    def _drop_old(self, clock: int) -> None:
        horizon = clock - _REMEMBER_MS
        for open_time in [at for at in self.awaiting if at < horizon]:
            del self.awaiting[open_time]

    def _tail_behind(self, holdings: Holdings, kline: Kline, clock: int) -> list[CoverageEvent]:
        """The exchange counted a fill after our newest: trades are missing at the end, where no gap shows it."""
        segment = holdings.open_segment()
        if segment is None or not _is_ahead(kline, holdings):
            return []
        place = (segment.hi + 1, None, segment.hi_time, None)
        return [CoverageEvent(CoverageKind.TAIL_BEHIND, self.symbol, *place, "tail", clock)]

    def forming(self, clock: int) -> tuple[Candle | None, tuple[Candle, ...]]:
        """The candle of the clock's minute and those of earlier minutes that have not closed yet."""
        now = Interval.M1.open_of(clock)
        if self.closed_to is None or now < self.closed_to:
            return None, ()
        earlier = tuple(self.buckets[at].candle(self.symbol) for at in sorted(self.buckets) if at < now)
        bucket = self.buckets.get(now)
        if bucket is not None:
            return bucket.candle(self.symbol), earlier
        price = earlier[-1].close if earlier else self.last_close
        return (None if price is None else empty_candle(self.symbol, Interval.M1, now, price)), earlier


def _is_cut(candle: Candle, kline: Kline, segment: Segment) -> bool:
    """True when the exchange counts fills before or after all that the segment holds.

    No gap shows those: ids below the first and above the last are missing only once the segment reaches further.
    """
    if kline.last_fill_id > segment.hi_fill:
        return True
    return candle.first_trade_id == segment.lo and 0 <= kline.first_fill_id < (candle.first_fill_id or 0)


def _is_empty(open_time: int, kline: Kline | None, holdings: Holdings) -> bool:
    """Does a covered minute without held trades have none? With ids that cannot be had only the exchange can say so."""
    end = open_time + MINUTE_MS
    if kline is None:
        return not holdings.is_unknown(open_time, end)
    return not kline.trades and not holdings.gap_touches(open_time, end)


def _noted(kline: Kline, holdings: Holdings) -> Kline:
    """Where ids are missing, a rebuild looks at the minute too: whether its verdict proves a hole."""
    doubt = holdings.is_unknown(kline.open_time, kline.open_time + MINUTE_MS)
    return msgspec.structs.replace(kline, recheck=True) if doubt else kline


def _is_ahead(kline: Kline, holdings: Holdings) -> bool:
    """True when the kline counts a fill newer than all that were ever held."""
    return kline.last_fill_id > max((segment.hi_fill for segment in holdings.segments), default=-1)
