"""What is asked for, so that a difference goes away. Asking twice is harmless, and so is a kill in between."""

from collections.abc import Iterable, Sequence

from analytics.audit.findings import Day, Difference, Remedy
from analytics.sink.marks import Mark, Marks
from analytics.sink.positions import mark_dirty
from ingestion.log import codec
from ingestion.log.port import Log, Record
from ingestion.log.topics import CANDLES_1M, RAW_TRADES
from ingestion.pipeline.records import CandleReason, CandleRecord, Lost
from ingestion.pipeline.verdict import CLOSED


def ask(log: Log, days: Iterable[Day]) -> dict[Remedy, int]:
    """Ask for what repairs the days; how often each remedy was asked for."""
    asked = dict.fromkeys(Remedy, 0)
    for day in days:
        _ask_for(log, day)
        for difference in day.differences:
            asked[difference.remedy] += 1
    return {remedy: count for remedy, count in asked.items() if count}


def _ask_for(log: Log, day: Day) -> None:
    lost = [_lost(one, day.until) for one in day.differences if one.remedy is Remedy.REFETCH]
    if lost:
        log.append(RAW_TRADES.name, lost)
    wanted = {one.open_time for one in day.differences if one.remedy is Remedy.RESTATE}
    restated = [
        # Of the same revision the later row counts, and a verdict on that revision stays with it. A restated verdict
        # would be no row: for readers this is a correction that comes late.
        codec.to_record(CandleRecord(candle, CLOSED, CandleReason.LATE, day.until))
        for open_time, candle in day.restated.items()
        if open_time in wanted
    ]
    if restated:
        log.append(CANDLES_1M.name, restated)
    mark_dirty(Marks(marks_of(day.differences)))


def marks_of(differences: Sequence[Difference]) -> list[Mark]:
    """The buckets to be made again. A minute that is stated anew is judged anew as well."""
    return [
        Mark(one.symbol, one.interval, one.open_time)
        for one in differences
        if one.remedy in (Remedy.REBUILD, Remedy.RESTATE, Remedy.ROLL_UP)
        and one.interval is not None
        and one.open_time is not None
    ]


def _lost(one: Difference, clock: int) -> Record:
    assert one.from_id is not None
    assert one.to_id is not None
    start, end = one.from_time or 0, one.to_time or clock
    return codec.to_record(Lost(one.symbol, one.from_id, one.to_id, start, end, clock))
