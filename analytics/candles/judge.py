"""One closed bucket, judged from what is known of it: a record to publish, or why there is none. Pure."""

from collections.abc import Iterator, Sequence
from enum import Enum
from itertools import pairwise
from typing import NamedTuple

import msgspec

from ingestion.pipeline.coverage import (
    SymbolCoverage,
    are_missing,
    is_covered,
    missing_ids,
    overlaps_segment,
    touching,
)
from ingestion.pipeline.records import HISTORY, Candle, CandleReason, CandleRecord, Kline, Trade
from ingestion.pipeline.verdict import CERTIFIED, CLOSED, DISPUTED, PARTIAL, VERDICTS, compare, state_of
from ingestion.pipeline.window import empty_candle, fold
from markets.types import Interval


class Version(msgspec.Struct, frozen=True):
    """What was published of a bucket: its highest revision with its ids, and the newest verdict on that, if any."""

    revision: int
    verdict: str | None = None
    difference: dict[str, list[str]] | None = None
    first_id: int | None = None
    last_id: int | None = None


class Standing(msgspec.Struct, frozen=True):
    """Where a symbol stands: its clock, what is closed, the newest trade held."""

    feed_time: int
    closed_to: int
    newest_id: int | None = None


class Bucket(msgspec.Struct, frozen=True):
    """What is known of one closed minute.

    ``trades`` are those held in the minute and its two neighbours, by id, invalid ids included;
    ``previous_close`` is the flat price if it is empty. ``patient``: a first version may wait for a gap to close.
    """

    symbol: str
    open_time: int
    trades: Sequence[Trade]
    version: Version | None
    kline: Kline | None
    previous_close: int
    patient: bool = True

    @property
    def end(self) -> int:
        return Interval.M1.next_open(self.open_time)


class No(Enum):
    """Why nothing is published. ``WAIT``: look again later; the others settle the bucket until its next mark."""

    WAIT = "wait"
    UNKNOWN = "unknown"
    NOTHING_NEW = "nothing_new"


def waits_for_backfill(coverage: SymbolCoverage, open_time: int) -> bool:
    """True while history is still being fetched for the minute."""
    end = Interval.M1.next_open(open_time)
    return any(gap.cause in HISTORY for gap in touching(coverage.gaps, open_time, end))


def judge(bucket: Bucket, coverage: SymbolCoverage, standing: Standing) -> CandleRecord | No:
    """The record that says something new of the minute, or why there is none."""
    if _waits_for_gap(bucket, coverage) or _misses_trades(bucket, coverage):
        return No.WAIT
    candle = _candle(bucket, coverage, standing)
    if isinstance(candle, No):
        return candle
    if bucket.version is not None and candle.revision < bucket.version.revision:
        # More trades were seen than are stored by now.
        return No.WAIT
    state = _state(bucket, candle, coverage, standing)
    difference = compare(candle, bucket.kline) if bucket.kline is not None and state == DISPUTED else None
    if not _is_new(bucket.version, candle, state, difference):
        return No.WAIT if state == CLOSED and _is_ahead(bucket, coverage, standing) else No.NOTHING_NEW
    return CandleRecord(
        candle,
        state,
        _reason(bucket, candle, state, coverage),
        standing.feed_time,
        _missing(bucket, candle, state, coverage),
        difference,
    )


def _waits_for_gap(bucket: Bucket, coverage: SymbolCoverage) -> bool:
    """True while repair is at it and there is no candle yet: a first one that is known to be short helps nobody."""
    if waits_for_backfill(coverage, bucket.open_time):
        return True
    is_first = bucket.version is None and bucket.patient
    return is_first and _gap_touches(bucket, coverage)


def _gap_touches(bucket: Bucket, coverage: SymbolCoverage) -> bool:
    return bool(touching(coverage.gaps, bucket.open_time, bucket.end))


def _candle(bucket: Bucket, coverage: SymbolCoverage, standing: Standing) -> Candle | No:
    start, end = bucket.open_time, bucket.end
    inside = [trade for trade in bucket.trades if start <= trade.trade_time < end]
    folded = fold(inside, Interval.M1)
    if folded:
        return folded[0]
    # A verdict that was given of the empty minute must be taken back when the exchange says otherwise now.
    was_judged = bucket.version is not None and bucket.version.verdict is not None
    if not was_judged and _is_unknown(bucket, coverage, standing):
        return No.UNKNOWN
    return empty_candle(bucket.symbol, Interval.M1, bucket.open_time, bucket.previous_close)


def _is_unknown(bucket: Bucket, coverage: SymbolCoverage, standing: Standing) -> bool:
    """True when nobody can say that a minute without held trades is empty."""
    if _gap_touches(bucket, coverage) or _is_doubtful(bucket, coverage):
        return True
    if not is_covered(coverage, bucket.open_time, bucket.end, standing.feed_time):
        return True
    # Covered without a gap, yet the exchange counts trades: they are still to come.
    return bucket.kline is not None and bucket.kline.trades > 0


def _is_doubtful(bucket: Bucket, coverage: SymbolCoverage) -> bool:
    """True when ids that the exchange cannot serve may belong here, and it does not say that there was no trade."""
    holes = touching(coverage.holes, bucket.open_time, bucket.end)
    says_empty = bucket.kline is not None and not bucket.kline.trades
    return not says_empty and any(not hole.proved for hole in holes)


def _state(bucket: Bucket, candle: Candle, coverage: SymbolCoverage, standing: Standing) -> str:
    covered = is_covered(coverage, bucket.open_time, bucket.end, standing.feed_time)
    if bucket.kline is None:
        return CLOSED if covered else PARTIAL
    waits = _gap_touches(bucket, coverage) or _is_cut(bucket, bucket.kline, coverage, standing)
    return state_of(candle, bucket.kline, waits, covered)


def _is_cut(bucket: Bucket, kline: Kline, coverage: SymbolCoverage, standing: Standing) -> bool:
    """True when the exchange counts fills before the first or after the last trade of the bucket, and that trade is at
    an end of its segment: what is missing beyond the end is no gap (yet). Without fill ids (REST) its count must do."""
    inside = [trade for trade in bucket.trades if bucket.open_time <= trade.trade_time < bucket.end]
    fills = [trade for trade in inside if not trade.is_invalid]
    if not fills:
        return False
    first, last = inside[0].trade_id, inside[-1].trade_id
    counts_more = kline.first_fill_id < 0 and kline.trades > sum(trade.last_id - trade.first_id + 1 for trade in fills)
    counts_before = counts_more or 0 <= kline.first_fill_id < fills[0].first_id
    if counts_before and any(part.from_id == first for part in coverage.segments):
        return True
    is_end = _is_newest(bucket, standing) or any(part.to_id == last for part in coverage.segments)
    return is_end and (counts_more or kline.last_fill_id > fills[-1].last_id)


def _is_ahead(bucket: Bucket, coverage: SymbolCoverage, standing: Standing) -> bool:
    """True when the kline counts trades that the next one held will show to be missing, or not to be."""
    is_cut = bucket.kline is not None and _is_cut(bucket, bucket.kline, coverage, standing)
    return is_cut and _is_newest(bucket, standing)


def _is_newest(bucket: Bucket, standing: Standing) -> bool:
    """True when nothing newer is held than the bucket's trades."""
    inside = [trade.trade_id for trade in bucket.trades if bucket.open_time <= trade.trade_time < bucket.end]
    return bool(inside) and standing.newest_id is not None and standing.newest_id <= inside[-1]


def _is_new(version: Version | None, candle: Candle, state: str, difference: dict[str, list[str]] | None) -> bool:
    if version is None or candle.revision > version.revision:
        return True
    return state in VERDICTS and (version.verdict != state or version.difference != difference)


def _reason(bucket: Bucket, candle: Candle, state: str, coverage: SymbolCoverage) -> CandleReason:
    if bucket.version is None:
        return CandleReason.BACKFILL
    if candle.revision == bucket.version.revision:
        # Equal to what the exchange said before, and not to what it says now.
        is_restated = bucket.version.verdict == CERTIFIED and state == DISPUTED
        return CandleReason.RESTATED if is_restated else CandleReason.VERDICT
    filled = (span for span in coverage.repaired if span.cause in HISTORY)
    is_history = any(span.touches(bucket.open_time, bucket.end) for span in filled)
    return CandleReason.BACKFILL if is_history else CandleReason.LATE


def _missing(bucket: Bucket, candle: Candle, state: str, coverage: SymbolCoverage) -> int | None:
    """Ids that may belong to the minute and are not held; never less than what its own ids prove."""
    if state == CERTIFIED:
        return 0
    if not overlaps_segment(coverage, bucket.open_time, bucket.end):
        return None
    proved = 0
    if candle.first_trade_id is not None and candle.last_trade_id is not None:
        ids = range(candle.first_trade_id, candle.last_trade_id + 1)
        proved = len(ids) - sum(trade.trade_id in ids for trade in bucket.trades)
    return max(proved, missing_ids(coverage, bucket.open_time, bucket.end))


# --- ids that are neither held nor accounted for -----------------------------------------------------


class Absent(NamedTuple):
    """Ids ``first..last`` (inclusive) that should be stored, and the times between which they happened."""

    first: int
    last: int
    from_time: int
    to_time: int


def _misses_trades(bucket: Bucket, coverage: SymbolCoverage) -> bool:
    """True when ids jump over the minute without a known gap or hole: their trades are not stored yet."""
    return any(True for _ in _jumps(bucket, coverage))


def _jumps(bucket: Bucket, coverage: SymbolCoverage) -> Iterator[Absent]:
    for before, after in pairwise(bucket.trades):
        if after.trade_id == before.trade_id + 1:
            continue
        times = sorted((before.trade_time, after.trade_time))
        touches = times[0] < bucket.end and times[1] >= bucket.open_time
        if touches and not _is_explained(coverage, before.trade_id + 1, after.trade_id - 1):
            yield Absent(before.trade_id + 1, after.trade_id - 1, *times)


def absent(bucket: Bucket, coverage: SymbolCoverage) -> list[Absent]:
    """The ids that the minute's candle waits for and that no gap is known of: held once, by what is published and what
    lies around them, and not stored."""
    if waits_for_backfill(coverage, bucket.open_time):
        return []
    found = list(_jumps(bucket, coverage))
    version = bucket.version
    if found or version is None or version.first_id is None or version.last_id is None:
        return found
    inside = [t for t in bucket.trades if bucket.open_time <= t.trade_time < bucket.end and not t.is_invalid]
    if len(inside) >= version.revision:
        return []
    return [Absent(version.first_id, version.last_id, bucket.open_time, bucket.end - 1)]


def _is_explained(coverage: SymbolCoverage, first: int, last: int) -> bool:
    """True when the ids ``first..last`` are known to be missing, or a segment begins among them."""
    if any(_begins(segment.from_id, first, last) for segment in coverage.segments):
        return True
    return are_missing(coverage, first, last)


def _begins(from_id: int | None, first: int, last: int) -> bool:
    return from_id is not None and first <= from_id <= last + 1
