"""Dirty minutes made again from the trades that are stored; what is new goes to the log, not to the tables.

Crash anywhere and repeat: what was published already says nothing new the second time.
"""

import time
from bisect import bisect_left
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import chain, groupby
from typing import NamedTuple

import structlog

from analytics import metrics
from analytics.candles import dirty, store
from analytics.candles.judge import Absent, Bucket, No, Standing, Version, absent, judge, waits_for_backfill
from analytics.candles.prove import Run, are_certified, doubted, goes_on
from analytics.candles.store import CoverageBook, Positions
from analytics.models import Dirty
from analytics.sink.positions import arrived_ms
from analytics.sink.selectors import sink_positions
from ingestion.log import codec
from ingestion.log.port import Log
from ingestion.log.topics import CANDLES_1M, ENRICHED_TRADES, GROUP_PROCESS, RAW_TRADES
from ingestion.metrics import VERDICT_SECONDS
from ingestion.pipeline.closing import GRACE_MS
from ingestion.pipeline.coverage import SymbolCoverage
from ingestion.pipeline.records import CandleRecord, Lost, Proved, Trade
from ingestion.pipeline.verdict import VERDICTS
from markets.types import MINUTE_MS, Interval

_log = structlog.get_logger(__name__)

BATCH = 500
# Minutes near each other are read with one query, a busy one holding some 10,000 trades.
_TOGETHER = 30
_NEAR_MS = 3 * MINUTE_MS
# The sink is at most this far behind when all is well.
_SOON_S = 0.5
# For about a minute a first candle waits until the gap in it is repaired; then it is published with what it has.
_PATIENT_TRIES = 6
# By then something is wrong that does not mend itself.
_COMPLAIN_AT_TRY = 8
# After about a minute what is not stored was not only late; before the complaint, so that it may mend itself.
_LOST_AT_TRY = 6
# A minute that is open is looked at again when it should have closed, and so often in between.
_OPEN_MOST_S = 60.0
_UNREAD_MOST = 1_000
# Labels of the metric: where the kline came from that the verdict rests on.
_STREAM, _FETCHED = "stream", ("rest", "archive")


class Outcome(NamedTuple):
    """What came of a dirty minute. ``absent``: the ids it waits for though no gap is known of them."""

    row: Dirty
    result: CandleRecord | No
    source: str = ""
    absent: Sequence[Absent] = ()


def rebuild_dirty(log: Log, book: CoverageBook, most: int = BATCH) -> int:
    """Make up to ``most`` dirty minutes again; the number of buckets that were due."""
    # Before the claim: what is stored up to here has its marks among the rows that are claimed next.
    positions = sink_positions()
    rows = dirty.claim([Interval.M1.value], most)
    for symbol, minutes in groupby(rows, key=lambda row: row.symbol):
        _rebuild_symbol(log, book, symbol, list(minutes), positions)
    return len(rows)


def _rebuild_symbol(log: Log, book: CoverageBook, symbol: str, rows: Sequence[Dirty], positions: Positions) -> None:
    stored_to = positions.get((ENRICHED_TRADES.name, log.partition_of(ENRICHED_TRADES.name, symbol)), 0)
    dirty.postpone([row for row in rows if row.trades_to > stored_to], _SOON_S)
    ready = [row for row in rows if row.trades_to <= stored_to]
    standing = store.standing(log, symbol) if ready else None
    if standing is None:
        dirty.postpone(ready)
        return
    _leave_open_ones([row for row in ready if _end(row) > standing.closed_to], standing)
    closed = [row for row in ready if _end(row) <= standing.closed_to]
    if not closed:
        return
    coverage = book.of(log, symbol, positions)
    unstored = store.unstored_versions(log, symbol, positions)
    outcomes = list(_judge_all(symbol, closed, standing, coverage, unstored))
    _publish(log, outcomes)
    told = [(made.candle.open_time, store.version_of(made)) for made in _records(outcomes)]
    doubtful = _prove_holes(log, symbol, outcomes, coverage, [*unstored, *told], standing)
    if log.end_offset(ENRICHED_TRADES.name, log.partition_of(ENRICHED_TRADES.name, symbol)) - stored_to < _UNREAD_MOST:
        _fetch_again(log, symbol, outcomes, standing)
    _let_go(outcomes, doubtful)


def _leave_open_ones(rows: Sequence[Dirty], standing: Standing) -> None:
    """A minute that is open in the stream is the processor's. What was marked counts when it has closed: its record may
    come without a verdict though its kline was here before."""
    for row in rows:
        left_ms = _end(row) + GRACE_MS - standing.feed_time
        if left_ms > 0:
            dirty.postpone([row], min(left_ms / 1_000, _OPEN_MOST_S))
        else:
            # Switched off: should it be wanted again, its close or its trades bring new marks.
            dirty.done([row])


def _judge_all(
    symbol: str,
    rows: Sequence[Dirty],
    standing: Standing,
    coverage: SymbolCoverage,
    unstored: Sequence[tuple[int, Version]],
) -> Iterator[Outcome]:
    wanted = []
    for row in rows:
        if waits_for_backfill(coverage, row.open_time):
            yield Outcome(row, No.WAIT)
        else:
            wanted.append(row)
    for near in _near(wanted):
        yield from _judge_near(symbol, near, standing, coverage, unstored)


def _judge_near(
    symbol: str,
    rows: Sequence[Dirty],
    standing: Standing,
    coverage: SymbolCoverage,
    unstored: Sequence[tuple[int, Version]],
) -> Iterator[Outcome]:
    start, end = rows[0].open_time, _end(rows[-1])
    trades = store.trades(symbol, start - MINUTE_MS, end + MINUTE_MS)
    stored = store.versions(symbol, start, end)
    versions = store.newest_versions([*stored.items(), *unstored])
    klines = store.klines(symbol, start, end)
    by_minute = _by_minute(trades)
    prices = _flat_prices(symbol, rows, by_minute)
    for row in rows:
        bucket = Bucket(
            symbol,
            row.open_time,
            _around(by_minute, row.open_time),
            versions.get(row.open_time),
            klines.get(row.open_time),
            prices.get(row.open_time, 0),
            row.tries < _PATIENT_TRIES,
        )
        result = judge(bucket, coverage, standing)
        source = "" if bucket.kline is None else bucket.kline.source
        yield Outcome(row, result, source, absent(bucket, coverage) if result is No.WAIT else ())


def _around(by_minute: Mapping[int, list[Trade]], open_time: int) -> list[Trade]:
    """The trades of the minute and its two neighbours, by id."""
    minutes = (by_minute.get(open_time + step, []) for step in (-MINUTE_MS, 0, MINUTE_MS))
    return sorted(chain.from_iterable(minutes), key=lambda trade: trade.trade_id)


def _flat_prices(symbol: str, rows: Sequence[Dirty], by_minute: Mapping[int, list[Trade]]) -> dict[int, int]:
    """The price at which each minute without trades is flat: that of the last trade before it."""
    closes = {at: price for at, minute in sorted(by_minute.items()) if (price := _last_price(minute)) is not None}
    minutes, flat = list(closes), {}
    before_all: int | None = None
    for open_time in (row.open_time for row in rows if row.open_time not in closes):
        place = bisect_left(minutes, open_time)
        if not place and before_all is None:
            before_all = store.price_before(symbol, rows[0].open_time)
        flat[open_time] = closes[minutes[place - 1]] if place else before_all or 0
    return flat


def _last_price(minute: Sequence[Trade]) -> int | None:
    return next((trade.price for trade in reversed(minute) if not trade.is_invalid), None)


def _records(outcomes: Sequence[Outcome]) -> list[CandleRecord]:
    return [outcome.result for outcome in outcomes if isinstance(outcome.result, CandleRecord)]


def _publish(log: Log, outcomes: Sequence[Outcome]) -> None:
    """Publish first, let go after: killed in between, the next worker finds nothing new to say."""
    records = _records(outcomes)
    if records:
        log.append(CANDLES_1M.name, [codec.to_record(record) for record in records])
    for record in records:
        metrics.REBUILT.labels(str(record.reason)).inc()
    now_ms = time.time_ns() // 1_000_000
    for outcome in outcomes:
        if isinstance(outcome.result, CandleRecord) and outcome.result.state in VERDICTS:
            source = outcome.source if outcome.source in _FETCHED else _STREAM
            waited_ms = now_ms - arrived_ms(outcome.row.gen)
            VERDICT_SECONDS.labels(source).observe(max(waited_ms, 0) / 1_000)


def _let_go(outcomes: Sequence[Outcome], doubtful: Collection[int]) -> None:
    """``doubtful``: the minutes whose verdicts prove a hole, which could not be said now."""
    dirty.done(o.row for o in outcomes if o.result is not No.WAIT and o.row.open_time not in doubtful)
    dirty.postpone([o.row for o in outcomes if o.result is not No.WAIT and o.row.open_time in doubtful], _SOON_S)
    waiting = [outcome.row for outcome in outcomes if outcome.result is No.WAIT]
    dirty.postpone(waiting)
    stuck = [row for row in waiting if row.tries == _COMPLAIN_AT_TRY]
    if stuck:
        _log.warning(
            "candles wait for trades that do not come",
            symbol=stuck[0].symbol,
            first=stuck[0].open_time,
            candles=len(stuck),
            hint="is repair_gaps running, and does /coverage show a gap there?",
        )


# --- what the verdicts say of holes, and stored trades that are gone ----------------------------------


def _prove_holes(
    log: Log,
    symbol: str,
    outcomes: Sequence[Outcome],
    coverage: SymbolCoverage,
    newer: Sequence[tuple[int, Version]],
    standing: Standing,
) -> set[int]:
    """Say of each hole whose minutes are all certified that it is proved; the minutes to look at again for that."""
    settled = {outcome.row.open_time for outcome in outcomes if outcome.result is not No.WAIT}
    proved = [run for run in doubted(coverage, settled) if _is_proved(symbol, run, newer)]
    if not proved:
        return set()
    if not _has_room(log, symbol):
        return settled.intersection(at for run in proved for at in run.minutes)
    records = [Proved(symbol, run.from_id, run.to_id, standing.feed_time) for run in proved]
    log.append(RAW_TRADES.name, map(codec.to_record, records))
    return set()


def _is_proved(symbol: str, run: Run, newer: Sequence[tuple[int, Version]]) -> bool:
    stored = store.versions(symbol, run.minutes[0], run.minutes[-1] + MINUTE_MS)
    versions = store.newest_versions([*stored.items(), *newer])
    return are_certified(run, versions) and goes_on(store.fills_around(symbol, run.from_id, run.to_id))


def _fetch_again(log: Log, symbol: str, outcomes: Sequence[Outcome], standing: Standing) -> None:
    """Trades that were held once and are not stored any more: said now and then, the repair does the rest."""
    due = [o for o in outcomes if o.absent and o.row.tries and o.row.tries % _LOST_AT_TRY == 0]
    ids = {part.first: part for outcome in due for part in outcome.absent}
    if not ids or not _has_room(log, symbol):
        return
    records = [Lost(symbol, *part, standing.feed_time) for part in ids.values()]
    _log.warning(
        "stored trades are gone, they are fetched again",
        symbol=symbol,
        ids=[(part.first, part.last) for part in ids.values()][:5],
        hint="was something deleted in ClickHouse? audit says what else is missing",
    )
    log.append(RAW_TRADES.name, map(codec.to_record, records))


def _has_room(log: Log, symbol: str) -> bool:
    """False while the processor is behind: appends to its topic may wait for it, and a worker must not."""
    topic = RAW_TRADES.name
    partition = log.partition_of(topic, symbol)
    return log.end_offset(topic, partition) - log.position(GROUP_PROCESS, topic, partition) < _UNREAD_MOST


def _near(rows: Sequence[Dirty]) -> Iterator[list[Dirty]]:
    """Rows in order of time, cut where they are far apart or many."""
    group: list[Dirty] = []
    for row in rows:
        if group and (len(group) == _TOGETHER or row.open_time - group[-1].open_time > _NEAR_MS):
            yield group
            group = []
        group.append(row)
    if group:
        yield group


def _by_minute(trades: Sequence[Trade]) -> dict[int, list[Trade]]:
    minutes: dict[int, list[Trade]] = {}
    for trade in trades:
        minutes.setdefault(Interval.M1.open_of(trade.trade_time), []).append(trade)
    return minutes


def _end(row: Dirty) -> int:
    return row.open_time + MINUTE_MS
