"""One symbol and UTC day: what is stored of it is read portion by portion, and every check is made.

Memory: the day's candles (1,440), and at most a portion of its trades.
"""

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence

from analytics.audit import larger, minutes, reads
from analytics.audit.accounts import accounts
from analytics.audit.findings import Day, Difference, Dispute, Remedy
from analytics.audit.larger import CHECKED, Bucket
from analytics.audit.minutes import Minute
from analytics.audit.standing import Known, minutes_of
from analytics.models import Dirty
from analytics.reading.stored import Span
from analytics.sink.marks import CACHED
from ingestion.pipeline.coverage import is_covered, touching
from ingestion.pipeline.digest import digest
from ingestion.pipeline.records import Candle, Kline
from ingestion.pipeline.verdict import CERTIFIED, DISPUTED
from ingestion.pipeline.window import empty_candle, fold
from markets.types import DAY_MS, MINUTE_MS, Interval

Stored = Mapping[tuple[Interval, int], Candle]
Klines = Mapping[tuple[Interval, int], Kline]
Dirties = frozenset[tuple[str, int]]


def audit_day(known: Known, start: int) -> Day:
    """Everything that is stored of the day that begins at ``start``, up to the symbol's last closed minute."""
    symbol = known.symbol
    span = Span(start, min(start + DAY_MS, known.closed_to))
    # Before the rows: what is rebuilt meanwhile is looked at again.
    dirty = _dirty(symbol, span)
    busy = reads.busy_minutes(symbol, span)
    stored = reads.candles(symbol, (Interval.M1, *CACHED), span)
    klines = reads.klines(symbol, (Interval.M1, *CHECKED), span)
    folded = {candle.open_time: candle for part in reads.trades(symbol, busy) for candle in fold(part, Interval.M1)}
    seen = list(_minutes(known, span, stored, klines, folded, dirty))
    rows = [minute.stored for minute in seen if minute.stored is not None]
    waiting = frozenset(minute.open_time for minute in seen if minute.waits)
    buckets = list(_buckets(known, span, rows, stored, klines, dirty, waiting))
    parts, found = accounts(known, span)
    found += [one for minute in seen for one in minutes.differences(minute)]
    found += [one for bucket in buckets for one in larger.differences(bucket)]
    return Day(
        symbol=symbol,
        day=day_text(start),
        start=start,
        until=span.end,
        trades=sum(minute.trades for minute in busy),
        rows=sum(minute.rows for minute in busy),
        candles=len(rows),
        certified=sum(minute.verdict == CERTIFIED for minute in seen),
        disputed=sum(minute.verdict == DISPUTED for minute in seen),
        missing=sum(part.missing for part in parts),
        holes=sum(part.holes for part in parts),
        waiting=len(dirty) + len(waiting - {open_time for _, open_time in dirty}),
        uncertified=sum(minute.is_uncertified for minute in seen),
        digest=digest(rows),
        ids=tuple(parts),
        disputes=tuple(_disputes(seen, buckets)),
        reports=tuple(reads.reports(symbol, (Interval.M1, *CHECKED), span)),
        differences=tuple(found),
        restated=_restated(symbol, seen, found),
    )


def day_text(start: int) -> str:
    """The UTC day that begins at ``start``, as ``YYYY-MM-DD``."""
    return dt.datetime.fromtimestamp(start / 1000, tz=dt.UTC).date().isoformat()


def start_of(day: dt.date) -> int:
    """The first moment of the UTC day, epoch ms."""
    return int(dt.datetime.combine(day, dt.time(), dt.UTC).timestamp()) * 1000


def _dirty(symbol: str, span: Span) -> Dirties:
    """The buckets of the day that wait for a rebuild or a roll-up, as (interval, open time)."""
    rows = Dirty.objects.filter(symbol=symbol, open_time__gte=span.start, open_time__lt=span.end)
    return frozenset(rows.values_list("interval", "open_time"))


def _minutes(
    known: Known,
    span: Span,
    stored: Stored,
    klines: Klines,
    folded: Mapping[int, Candle],
    dirty: Dirties,
) -> Iterator[Minute]:
    verdicts = reads.verdicts(known.symbol, span)
    for open_time in minutes_of(span.start, span.end):
        end = open_time + MINUTE_MS
        row, kline = stored.get((Interval.M1, open_time)), klines.get((Interval.M1, open_time))
        yield Minute(
            known.symbol,
            open_time,
            row,
            folded.get(open_time),
            None if row is None else verdicts.get((open_time, row.revision)),
            kline,
            is_covered(known.coverage, open_time, end, known.closed_to),
            _touched(known, open_time, end) or _is_cut(known, row, kline, end),
            (Interval.M1.value, open_time) in dirty or known.waits(open_time),
        )


def _touched(known: Known, start: int, end: int) -> bool:
    return bool(touching(known.coverage.gaps, start, end) or touching(known.coverage.holes, start, end))


def _is_cut(known: Known, row: Candle | None, kline: Kline | None, end: int) -> bool:
    """True when the exchange counts fills that lie beyond an end of what is held: no gap can show them (yet)."""
    fills = 0 if row is None else row.trades
    if kline is None or kline.trades <= fills:
        return False
    if known.newest_time < end:
        return True
    segments = known.coverage.segments
    return row is not None and any(
        part.from_id == row.first_trade_id or part.to_id == row.last_trade_id for part in segments
    )


def _buckets(
    known: Known,
    span: Span,
    rows: Sequence[Candle],
    stored: Stored,
    klines: Klines,
    dirty: Dirties,
    waiting: frozenset[int],
) -> Iterator[Bucket]:
    for interval in CHECKED:
        merged = larger.merged(rows, interval)
        kept = {open_time: candle for (kind, open_time), candle in stored.items() if kind == interval}
        for open_time in sorted(merged.keys() | kept.keys()):
            end = interval.next_open(open_time)
            if end > span.end:
                continue
            covered = is_covered(known.coverage, open_time, end, known.closed_to)
            yield Bucket(
                known.symbol,
                interval,
                open_time,
                merged.get(open_time),
                kept.get(open_time),
                klines.get((interval, open_time)),
                covered and not _touched(known, open_time, end),
                (interval.value, open_time) in dirty or not waiting.isdisjoint(minutes_of(open_time, end)),
            )


def _disputes(seen: Sequence[Minute], buckets: Sequence[Bucket]) -> Iterator[Dispute]:
    for minute in seen:
        if minute.verdict == DISPUTED and minute.against:
            yield Dispute(Interval.M1.value, minute.open_time, minute.against)
    for bucket in buckets:
        found = larger.dispute(bucket)
        if found is not None:
            yield found


def _restated(symbol: str, seen: Sequence[Minute], found: Sequence[Difference]) -> dict[int, Candle]:
    """The minutes that are to be published again, as their stored trades make them."""
    wanted = {one.open_time for one in found if one.remedy is Remedy.RESTATE}
    made: dict[int, Candle] = {}
    price: int | None = None
    for minute in seen:
        if minute.open_time in wanted:
            if price is None and minute.folded is None:
                price = reads.price_before(symbol, minute.open_time)
            made[minute.open_time] = minute.folded or empty_candle(symbol, Interval.M1, minute.open_time, price or 0)
        price = minute.folded.close if minute.folded is not None else price
    return made
