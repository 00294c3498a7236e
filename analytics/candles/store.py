"""What is stored of a symbol's minutes: the reads of a rebuild."""

import json
from collections.abc import Iterable, Iterator
from typing import Final

from analytics.candles.judge import Standing, Version
from analytics.clickhouse.client import client
from analytics.clickhouse.sql import sql
from analytics.reading.cursor import seq_of
from analytics.reading.minutes import own_klines
from analytics.reading.stored import Span
from ingestion.log import codec
from ingestion.log.port import Log, RangeGone
from ingestion.log.topics import CANDLES_1M, CANDLES_LIVE, COVERAGE
from ingestion.pipeline.coverage import SymbolCoverage, apply_events
from ingestion.pipeline.records import CandleRecord, CoverageEvent, Kline, Live, Trade
from ingestion.pipeline.verdict import VERDICTS
from markets.types import DAY_MS, MINUTE_MS, Interval

Positions = dict[tuple[str, int], int]

_CHUNK: Final = 2_000
# A symbol that did not move for so many commits of others is asked from the tables instead.
_LOOK_BACK: Final = 20_000


def standing(log: Log, symbol: str) -> Standing | None:
    """Where the symbol stands by its newest live record, else by its newest stored minute; None without both."""
    live = newest_live(log, symbol)
    if live is not None and live.closed_to is not None:
        return Standing(live.feed_time, live.closed_to, live.last_trade_id)
    answer = client().query(sql("newest_minutes"), parameters={"symbols": [symbol], "since": 0})
    for _, newest in answer.result_rows:
        return Standing(newest + MINUTE_MS, newest + MINUTE_MS)
    return None


def newest_live(log: Log, symbol: str) -> Live | None:
    """The symbol's newest live record; None when it is too far back in the log."""
    topic = CANDLES_LIVE.name
    partition = log.partition_of(topic, symbol)
    end = log.end_offset(topic, partition)
    oldest = max(log.start_offset(topic, partition), end - _LOOK_BACK)
    while end > oldest:
        start = max(oldest, end - _CHUNK)
        try:
            records = log.read_range(topic, partition, start, end)
        except RangeGone:
            return None
        for stored in reversed(records):
            if stored.key == symbol:
                return codec.live(stored.value)
        end = start
    return None


class CoverageBook:
    """Each symbol's coverage as of the sink's place, read on from where the last look ended.

    A long history has many thousand changes: folding them all for each batch would cost more than the batch.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], tuple[int, SymbolCoverage]] = {}

    def of(self, log: Log, symbol: str, positions: Positions) -> SymbolCoverage:
        """The changes below the sink's place only: what is stored above it has not made its marks yet."""
        topic = COVERAGE.name
        place = positions.get((topic, log.partition_of(topic, symbol)), 0)
        before = seq_of(log.epoch(topic), place)
        # The topic's id: another log has other coverage.
        key = (log.topic_id(topic), symbol)
        since, coverage = self._known.get(key, (0, SymbolCoverage()))
        if since > before:
            since, coverage = 0, SymbolCoverage()
        coverage = apply_events(coverage, _changes(symbol, since, before))
        self._known[key] = (before, coverage)
        return coverage


def _changes(symbol: str, since: int, before: int) -> Iterator[CoverageEvent]:
    parameters = {"symbol": symbol, "since": since, "before": before}
    for row in client().query(sql("coverage_of_symbol"), parameters=parameters).result_rows:
        kind, *fields = row
        yield CoverageEvent(kind, symbol, *fields)


def trades(symbol: str, from_ms: int, to_ms: int) -> list[Trade]:
    """All ids held in ``[from_ms, to_ms)``, invalid ones included, by id; without what came after the trade."""
    rows = client().query(sql("held_trades"), parameters=_range(symbol, from_ms, to_ms)).result_rows
    return [
        Trade(symbol, trade_id, price, qty, first_id, last_id, time, bool(is_maker), "", 0)
        for trade_id, price, qty, first_id, last_id, time, is_maker in rows
    ]


def versions(symbol: str, from_ms: int, to_ms: int) -> dict[int, Version]:
    """What was published of each minute, by open time."""
    rows = client().query(sql("published_versions"), parameters=_range(symbol, from_ms, to_ms)).result_rows
    return newest_versions(
        (open_time, Version(revision, *_verdict(state, json.loads(text) if text else None), first_id, last_id))
        for open_time, revision, state, text, first_id, last_id in rows
    )


def unstored_versions(log: Log, symbol: str, positions: Positions) -> list[tuple[int, Version]]:
    """What was published of the symbol's minutes and is not stored yet, in order."""
    topic = CANDLES_1M.name
    partition = log.partition_of(topic, symbol)
    place = positions.get((topic, partition), log.start_offset(topic, partition))
    found = []
    for stored in log.read_range(topic, partition, place, log.end_offset(topic, partition)):
        if stored.key != symbol:
            continue
        record = codec.candle(stored.value)
        found.append((record.candle.open_time, version_of(record)))
    return found


def version_of(record: CandleRecord) -> Version:
    """What a record says of its minute."""
    candle = record.candle
    verdict = _verdict(record.state, record.difference)
    return Version(candle.revision, *verdict, candle.first_trade_id, candle.last_trade_id)


def newest_versions(found: Iterable[tuple[int, Version]]) -> dict[int, Version]:
    """One version per minute from all of them in order: a higher revision counts, then a later verdict."""
    newest: dict[int, Version] = {}
    for open_time, version in found:
        held = newest.get(open_time)
        if (
            held is None
            or version.revision > held.revision
            or version.revision == held.revision
            and version.verdict is not None
        ):
            newest[open_time] = version
    return newest


def klines(symbol: str, from_ms: int, to_ms: int) -> dict[int, Kline]:
    """The exchange's own closed minutes, by open time."""
    return own_klines(symbol, Interval.M1, Span(from_ms, to_ms))


def has_minutes(symbol: str, since: int) -> bool:
    """True when a minute of ours is stored that opens then or later."""
    return bool(client().query(sql("newest_minutes"), parameters={"symbols": [symbol], "since": since}).result_rows)


def fills_around(symbol: str, from_id: int, to_id: int) -> tuple[int, int] | None:
    """The last fill held below the ids and the first one above; None where one of them is not held."""
    parameters = {"symbol": symbol, "from_id": from_id, "to_id": to_id}
    below, above = client().query(sql("fills_around"), parameters=parameters).first_row
    return None if below is None or above is None else (below, above)


def price_before(symbol: str, time_ms: int) -> int:
    """The price of the last trade before a time; 0 when none is held within a day (segments end there)."""
    parameters = {"symbol": symbol, "since": time_ms - DAY_MS, "before": time_ms}
    return client().query(sql("price_before"), parameters=parameters).first_row[0]


def _verdict(state: str, difference: dict[str, list[str]] | None) -> tuple[str | None, dict[str, list[str]] | None]:
    return (state, difference) if state in VERDICTS else (None, None)


def _range(symbol: str, from_ms: int, to_ms: int) -> dict[str, str | int]:
    return {"symbol": symbol, "start": from_ms, "end": to_ms}
