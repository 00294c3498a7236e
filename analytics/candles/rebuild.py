"""Dirty minutes made again from the trades that are stored; what is new goes to the log, not to the tables.

Crash anywhere and repeat: what was published already says nothing new the second time.
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, groupby

import structlog

from analytics import metrics
from analytics.candles import dirty, store
from analytics.candles.judge import Bucket, No, Standing, Version, judge, waits_for_backfill
from analytics.candles.store import CoverageBook, Positions
from analytics.models import Dirty
from analytics.sink.selectors import sink_positions
from ingestion.log import codec
from ingestion.log.port import Log
from ingestion.log.topics import CANDLES_1M, ENRICHED_TRADES
from ingestion.pipeline.coverage import SymbolCoverage
from ingestion.pipeline.records import CandleRecord, Trade
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

Outcome = tuple[Dirty, CandleRecord | No]


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
    # A minute that is open in the stream is the processor's: its close carries what was marked.
    dirty.done(row for row in ready if _end(row) > standing.closed_to)
    closed = [row for row in ready if _end(row) <= standing.closed_to]
    coverage = book.of(log, symbol, positions)
    unstored = store.unstored_versions(log, symbol, positions)
    _settle(log, list(_judge_all(symbol, closed, standing, coverage, unstored)))


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
            yield row, No.WAIT
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
        yield row, judge(bucket, coverage, standing)


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


def _settle(log: Log, outcomes: Sequence[Outcome]) -> None:
    """Publish first, let go after: killed in between, the next worker finds nothing new to say."""
    records = [outcome for _, outcome in outcomes if isinstance(outcome, CandleRecord)]
    if records:
        log.append(CANDLES_1M.name, [codec.to_record(record) for record in records])
    for record in records:
        metrics.REBUILT.labels(str(record.reason)).inc()
    dirty.done(row for row, outcome in outcomes if outcome is not No.WAIT)
    waiting = [row for row, outcome in outcomes if outcome is No.WAIT]
    dirty.postpone(waiting)
    for row in waiting:
        if row.tries == _COMPLAIN_AT_TRY:
            _log.warning(
                "a candle waits for trades that do not come",
                symbol=row.symbol,
                open_time=row.open_time,
                hint="is repair_gaps running, and does /coverage show a gap there?",
            )


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
