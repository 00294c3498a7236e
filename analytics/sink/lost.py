"""Trades that retention deleted before they were stored: which they are, so that repair can fetch them again.

What is held is neither stored nor in the log any more. The processor is told (``Lost``); it opens gaps for those of
the ids that it holds, and from there all goes the way of any gap. Told twice (a kill before the place has moved), the
trades are fetched twice at worst: every reader goes by their ids.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from analytics.candles.store import newest_live
from analytics.clickhouse.client import client
from analytics.clickhouse.sql import sql
from ingestion.log import codec
from ingestion.log.port import Log
from ingestion.log.topics import ENRICHED_TRADES
from ingestion.pipeline.records import Live, Lost
from markets.selectors import watched

# Ids of a symbol in which jumps are looked for, and records that are read to see which ids are still to be stored.
_REACH: Final = 2_000_000
_LOOK_AHEAD: Final = 200_000
_CHUNK: Final = 20_000


class Ids(NamedTuple):
    """Ids ``first..last`` (inclusive), between trades of these times."""

    first: int
    last: int
    from_time: int
    to_time: int


def lost_trades(log: Log, partition: int, oldest: int) -> list[Lost]:
    """The ids of the partition's symbols that are not stored, and not in the log from ``oldest`` on.

    Gaps and holes are among them: only the processor knows, and leaves them as they are.
    """
    topic = ENRICHED_TRADES.name
    symbols = [symbol for symbol in watched() if log.partition_of(topic, symbol) == partition]
    # First where each stands, then what is kept: whatever is taken after the first look is in the second.
    lives = {symbol: live for symbol in symbols if (live := newest_live(log, symbol)) is not None}
    kept = _kept(log, partition, oldest)
    return [
        Lost(symbol, part.first, part.last, part.from_time, part.to_time, live.feed_time)
        for symbol, live in lives.items()
        for jump in _jumps(symbol, live)
        for part in _without(jump, kept.get(symbol, []))
    ]


def _jumps(symbol: str, live: Live) -> Iterator[Ids]:
    newest, time = live.last_trade_id, live.last_trade_time
    if newest is None or time is None:
        return
    rows = client().query(sql("id_jumps"), parameters={"symbol": symbol, "reach": _REACH}).result_rows
    for first, last, from_time, to_time in rows or [(0, None, 0, None)]:
        ids = Ids(first, newest if last is None else last, from_time, time if to_time is None else to_time)
        if ids.first <= ids.last:
            yield ids


def _kept(log: Log, partition: int, oldest: int) -> Mapping[str, list[list[int]]]:
    """The id ranges of the records that are still to be stored, in the order of the log."""
    topic, ranges = ENRICHED_TRADES.name, defaultdict(list)
    end = min(log.end_offset(topic, partition), oldest + _LOOK_AHEAD)
    for start in range(oldest, end, _CHUNK):
        for stored in log.read_range(topic, partition, start, min(end, start + _CHUNK)):
            trade_id, known = codec.enriched(stored.value).trade.trade_id, ranges[stored.key]
            if known and known[-1][1] == trade_id - 1:
                known[-1][1] = trade_id
            else:
                known.append([trade_id, trade_id])
    return ranges


def _without(ids: Ids, kept: list[list[int]]) -> Iterator[Ids]:
    first = ids.first
    for low, high in sorted(kept):
        if high < first or low > ids.last:
            continue
        if low > first:
            yield ids._replace(first=first, last=low - 1)
        first = high + 1
    if first <= ids.last:
        yield ids._replace(first=first)
