"""When the exchange stood still: runs of covered minutes without a trade, of which it has no kline.

A quiet market has klines without trades, an outage of the exchange has no klines, and where ids are missing nobody
knows: three different answers.
"""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import structlog

from analytics.clickhouse.client import client
from analytics.clickhouse.sql import sql
from analytics.reading.minutes import Span
from analytics.reading.tail import LogTail
from analytics.reading.view import Snapshot
from ingestion.log import codec
from ingestion.log.port import LogError
from ingestion.log.topics import PRICES
from ingestion.models import KlineProgress
from ingestion.pipeline.coverage import SymbolCoverage, touching
from markets.types import DAY_MS, MINUTE_MS, Interval

logger = structlog.get_logger(__name__)

# A longer range is looked through from its end: the answer must not cost more with every year of history.
MOST_DAYS: Final = 400
MOST_HALTS: Final = 1_000
# Klines on their way to the table are looked through as long as they are so few.
_MOST_UNSUNK: Final = 20_000


class Halts(NamedTuple):
    """The halts of ``known`` (null: the exchange's klines are not fetched yet), oldest first."""

    known: Span | None
    halts: Sequence[Span]


def find(known: Snapshot, span: Span, tail: LogTail) -> Halts:
    """The halts in the part of the range of which the exchange's klines are known."""
    looked = _known_part(known.symbol, span)
    if looked is None:
        return Halts(None, ())
    # In this order: what was on its way then is in the log or, by now, in the table.
    coming = _coming(known.symbol, looked, tail)
    if coming is None:
        return Halts(None, ())
    query = {"symbol": known.symbol, "start": looked.start, "end": looked.end, "most": MOST_HALTS}
    runs = [Span(*row) for row in client().query(sql("halts"), parameters=query).result_rows]
    return Halts(looked, _sure(reversed(runs), coming, known.coverage))


def _known_part(symbol: str, span: Span) -> Span | None:
    progress = KlineProgress.objects.filter(symbol=symbol, interval=Interval.M1.value).first()
    if progress is None:
        return None
    start = max(-(-span.start // MINUTE_MS) * MINUTE_MS, progress.first_open)
    end = min(span.end - span.end % MINUTE_MS, progress.next_open)
    start = max(start, end - MOST_DAYS * DAY_MS)
    return Span(start, end) if start < end else None


def _coming(symbol: str, span: Span, tail: LogTail) -> set[int] | None:
    """The minutes whose kline is in the log and not in the table yet; None when they are too many to be read."""
    topic = PRICES[Interval.M1.value].name
    try:
        unsunk = tail.unsunk(topic, symbol, _MOST_UNSUNK)
    except LogError as error:
        logger.warning("halts_unknown", error=str(error), what_to_do="check the log; halts are told again with it")
        return None
    if unsunk is None:
        return None
    minutes = (codec.kline(stored.value).open_time for stored in unsunk if stored.key == symbol)
    return {minute for minute in minutes if span.holds(minute)}


def _sure(runs: Iterable[Span], coming: set[int], coverage: SymbolCoverage) -> list[Span]:
    """The runs without minutes that have a kline after all, and without those that are unknown."""
    halts: list[Span] = []
    for run in runs:
        doubted = {minute for minute in coming if run.holds(minute)}
        doubted.update(_unknown_minutes(run, coverage))
        halts += _without(run, sorted(doubted))
    return halts


def _unknown_minutes(run: Span, coverage: SymbolCoverage) -> Iterable[int]:
    for missing in touching(coverage.gaps, *run) + touching(coverage.holes, *run):
        if not missing.proved:
            first = Interval.M1.open_of(max(missing.from_time, run.start))
            yield from range(first, min(missing.to_time + 1, run.end), MINUTE_MS)


def _without(run: Span, minutes: Iterable[int]) -> Iterable[Span]:
    """The parts of a run between these of its minutes (ascending).

    >>> list(_without(Span(0, 240_000), [60_000, 120_000]))
    [Span(start=0, end=60000), Span(start=180000, end=240000)]
    """
    start = run.start
    for minute in minutes:
        if minute > start:
            yield Span(start, minute)
        start = minute + MINUTE_MS
    if start < run.end:
        yield Span(start, run.end)
