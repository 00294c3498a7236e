"""15m, 1h and 1d candles beside the exchange's own, when that was stored or a minute below has changed.

An independent check of the roll-ups. It changes no candle: readers derive the verdict themselves
(docs/decisions/0009-verdicts-above-a-minute-are-derived.md). What differs is counted, logged, and noted, so that
``ingest_klines`` asks for the exchange's candle again: a report that was given too early is replaced.
"""

from collections.abc import Iterable, Sequence

import msgspec

from analytics.candles import store
from analytics.candles.store import CoverageBook
from analytics.disputes import Dispute, report
from analytics.models import Dirty
from analytics.reading.known import DISPUTED, derive, with_kline
from analytics.reading.minutes import Wish, own_klines, wished
from analytics.reading.stored import Span
from analytics.reading.view import Clock, Snapshot
from analytics.sink.selectors import sink_positions
from ingestion.klines.larger import note_disputed
from ingestion.log.port import Log
from ingestion.pipeline.coverage import SymbolCoverage
from markets.types import Interval

# Buckets near each other are read with one query.
_TOGETHER = 100


def check(log: Log, book: CoverageBook, interval: Interval, symbol: str, opens: Sequence[int]) -> set[int]:
    """Note the buckets (open times, ascending) that differ, and report those that did not before.

    Those that must wait for their minutes are answered.
    """
    # Symbols that are watched for klines alone have no minutes: asked first, because the rest costs more.
    if not store.has_minutes(symbol, opens[0]) or not own_klines(symbol, interval, Span(opens[0], opens[-1] + 1)):
        return set()
    positions = sink_positions()
    standing = store.standing(log, symbol)
    if standing is None:
        return set()
    coverage = book.of(log, symbol, positions)
    moving = {interval.open_of(minute) for minute, _ in store.unstored_versions(log, symbol, positions)}
    moving |= _dirty(symbol, interval, opens)
    clock = Clock(standing.feed_time, standing.closed_to)
    found: list[Dispute] = []
    settled = [at for at in opens if at not in moving]
    for near in _runs(interval, settled):
        found += _disputes(symbol, interval, near, clock, coverage, standing.newest_id)
    new = note_disputed(symbol, interval, set(settled), {dispute.candle.open_time for dispute in found})
    report([dispute for dispute in found if dispute.candle.open_time in new])
    return moving.intersection(opens)


def _dirty(symbol: str, interval: Interval, opens: Sequence[int]) -> set[int]:
    """The buckets of which a minute is to be made again."""
    rows = Dirty.objects.filter(
        interval=Interval.M1.value,
        symbol=symbol,
        open_time__gte=opens[0],
        open_time__lt=interval.next_open(opens[-1]),
    )
    return {interval.open_of(minute) for minute in rows.values_list("open_time", flat=True)}


def _disputes(
    symbol: str, interval: Interval, opens: Sequence[int], clock: Clock, coverage: SymbolCoverage, newest: int | None
) -> Iterable[Dispute]:
    span = Span(opens[0], opens[-1] + 1)
    klines = {at: kline for at, kline in own_klines(symbol, interval, span).items() if at in set(opens)}
    if not klines:
        return
    # No minute is on its way here, so what was fetched a moment ago is in them.
    settled = msgspec.structs.replace(coverage, repaired=())
    known = Snapshot(symbol, clock, None, settled, 0, 0)
    for candle in wished(known, Wish(interval, span, _TOGETHER)):
        kline = klines.get(candle.open_time)
        view = None if kline is None else derive(with_kline(candle, kline, newest), settled, clock)
        if view is not None and view.state == DISPUTED:
            yield Dispute(view.candle, view.difference)


def _runs(interval: Interval, opens: Sequence[int]) -> Iterable[Sequence[int]]:
    width = interval.width_ms or 0
    start = 0
    for place in range(1, len(opens) + 1):
        if place == len(opens) or opens[place] - opens[start] >= _TOGETHER * width:
            yield opens[start:place]
            start = place
