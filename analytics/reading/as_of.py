"""What was known at an earlier time: the state of a symbol then, from the records that were known by then.

Every record carries the feed's clock at which it became known. The past is a ``Snapshot`` like the present: the same
reading makes the same answers of it (docs/decisions/0012-what-was-known-at-an-earlier-time.md).
"""

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from analytics.clickhouse.client import client
from analytics.clickhouse.sql import sql
from analytics.reading import minutes
from analytics.reading.cursor import seq_of
from analytics.reading.stored import Span
from analytics.reading.view import Clock, LiveView, Snapshot
from ingestion.log import topics
from ingestion.pipeline.closing import GRACE_MS
from ingestion.pipeline.coverage import SymbolCoverage, fold_events
from ingestion.pipeline.records import Candle, CandleReason, CoverageEvent, Enriched, Live
from ingestion.pipeline.window import empty_candle
from markets.types import MINUTE_MS, Interval

# A minute, the grace after it, and as much again for the frames that move the clock.
_LONGEST_SILENCE_MS: Final = MINUTE_MS + 2 * GRACE_MS


class _Newest(NamedTuple):
    """The newest trade that was known: its id, time and price, and when it became known."""

    trade_id: int
    time: int
    price: int
    known_at: int


class _Standing(NamedTuple):
    """``known_at``: of the newest record, ``newest_minute``: the last that had closed; ``next_at`` and ``next_seq``: of
    the first record that was known later. Each null without any."""

    known_at: int | None
    newest_minute: int | None
    next_at: int | None
    next_seq: int | None


def past(view: LiveView, known: Snapshot, as_of: int) -> Snapshot:
    """The symbol as it was known at ``as_of`` (epoch ms of its feed's clock); ``known`` itself when that is not past.

    ``view``: the one that ``known`` was taken from, a moment ago. Without a record from before ``as_of`` the clock is
    None and nothing is covered.
    """
    now = minutes.clock_of(known)
    if now is None or as_of >= now.feed_time:
        return known
    # The view first: what it lets go meanwhile is in the tables.
    unsunk = view.unsunk_candles(known.symbol)
    coming = view.unsunk_coverage(known.symbol)
    epoch = view.epoch(topics.CANDLES_1M.name)
    trades = tuple(item for item in known.unsunk_trades if item.known_at <= as_of)
    standing = _standing(known.symbol, as_of, [(seq_of(epoch, offset), record) for offset, record in unsunk])
    events = _events(known.symbol, as_of, coming, view.epoch(topics.COVERAGE.name))
    newest = _newest_trade(known.symbol, as_of, trades)
    clock = _clock(as_of, standing, events, newest, now.feed_time)
    return Snapshot(
        known.symbol,
        clock,
        None if clock is None else _live(known.symbol, clock, newest),
        SymbolCoverage() if clock is None else fold_events(events),
        known.seq if standing.next_seq is None else standing.next_seq,
        known.trades_seq,
        tuple(record for _, record in unsunk if record.known_at <= as_of),
        trades,
        as_of=as_of,
    )


def _standing(symbol: str, as_of: int, unsunk: Iterable[tuple[int, Any]]) -> _Standing:
    """One look over four narrow columns of the symbol's journal: some 35 ms for a million records."""
    row = client().query(sql("standing_as_of"), parameters={"symbol": symbol, "as_of": as_of}).first_row
    known_at, newest_minute, next_at, next_seq = ([] if value is None else [value] for value in row)
    for seq, record in unsunk:
        if record.known_at > as_of:
            next_at.append(record.known_at)
            next_seq.append(seq)
            continue
        known_at.append(record.known_at)
        if record.reason == CandleReason.CLOSED:
            newest_minute.append(record.candle.open_time)
    return _Standing(
        max(known_at, default=None),
        max(newest_minute, default=None),
        min(next_at, default=None),
        min(next_seq, default=None),
    )


def _events(symbol: str, as_of: int, unsunk: Iterable[tuple[int, CoverageEvent]], epoch: int) -> list[CoverageEvent]:
    rows = client().query(sql("coverage_as_of"), parameters={"symbol": symbol, "as_of": as_of}).result_rows
    by_seq = {seq: _event(symbol, fields) for seq, *fields in rows}
    by_seq.update((seq_of(epoch, offset), event) for offset, event in unsunk if event.known_at <= as_of)
    return [by_seq[seq] for seq in sorted(by_seq)]


def _event(symbol: str, fields: list[Any]) -> CoverageEvent:
    kind, *others = fields
    return CoverageEvent(kind, symbol, *others)


def _newest_trade(symbol: str, as_of: int, unsunk: Iterable[Enriched]) -> _Newest | None:
    row = client().query(sql("newest_trade_as_of"), parameters={"symbol": symbol, "as_of": as_of}).first_row
    found = [] if row is None else [_Newest(*row)]
    found += [_Newest(item.trade.trade_id, item.trade.trade_time, item.trade.price, item.known_at) for item in unsunk]
    return max(found, default=None)


def _clock(
    as_of: int, standing: _Standing, events: Iterable[CoverageEvent], newest: _Newest | None, now: int
) -> Clock | None:
    """Where the feed's clock stood, and what had closed.

    While it moves a record is made at least each minute, so it was at ``as_of`` itself unless it stood still around
    that. What had closed goes by the newest record alone: ``GRACE_MS`` after its end a minute has its own.
    """
    times = [event.known_at for event in events]
    times += [time for time in (standing.known_at, newest.known_at if newest else None) if time is not None]
    if not times:
        return None
    proved = max(times)
    closed = 0 if standing.newest_minute is None else standing.newest_minute + MINUTE_MS
    closed_to = max(closed, Interval.M1.open_of(max(proved - GRACE_MS, 0)))
    stood_still = min(standing.next_at or now, now) - proved > _LONGEST_SILENCE_MS
    feed_time = proved if stood_still else as_of
    return Clock(max(feed_time, closed_to), closed_to)


def _live(symbol: str, clock: Clock, newest: _Newest | None) -> Live:
    """What stood at the end of the log, without the prices of the forming minutes: nobody asks the past for those."""
    running = range(clock.closed_to, clock.feed_time + 1, MINUTE_MS)
    forming = tuple(empty_candle(symbol, Interval.M1, open_time, 0) for open_time in running)
    last_id, last_time = (None, None) if newest is None else (newest.trade_id, newest.time)
    return Live(symbol, clock.feed_time, None, clock.closed_to, last_id, last_time, pending=forming)


def ids_in(then: Snapshot, span: Span) -> Span | None:
    """From the first to the last trade id of a range that was known (half-open); None when it held no trade.

    Whole minutes tell theirs; the edges, and what had not closed, are looked up among the trades.
    """
    if then.clock is None:
        return None
    feed_time, closed_to = then.clock
    if span.end >= feed_time:
        # A range up to now holds the trade of this very millisecond.
        span = Span(span.start, feed_time + 1)
    first = min(-(-span.start // MINUTE_MS) * MINUTE_MS, span.end)
    last = max(Interval.M1.open_of(min(span.end, closed_to)), first)
    found = [
        *_stored_ids("trade_ids_as_of", then, Span(span.start, first)),
        *_stored_ids("minute_ids_as_of", then, Span(first, last)),
        *_stored_ids("trade_ids_as_of", then, Span(last, span.end)),
    ]
    told = [record.candle for record in then.unsunk if span.holds(record.candle.open_time)]
    found += [ids for candle in told if (ids := _ids_of(candle)) is not None]
    coming = [item.trade for item in then.unsunk_trades if span.holds(item.trade.trade_time)]
    found += [(trade.trade_id, trade.trade_id) for trade in coming]
    return Span(min(ids[0] for ids in found), max(ids[1] for ids in found) + 1) if found else None


def _stored_ids(question: str, then: Snapshot, span: Span) -> list[tuple[int, int]]:
    if span.start >= span.end:
        return []
    parameters = {"symbol": then.symbol, "start": span.start, "end": span.end, "as_of": then.as_of}
    row = client().query(sql(question), parameters=parameters).first_row
    return [(row[0], row[1])] if row is not None and row[0] is not None and row[1] is not None else []


def _ids_of(candle: Candle) -> tuple[int, int] | None:
    first, last = candle.first_trade_id, candle.last_trade_id
    return None if first is None or last is None else (first, last)
