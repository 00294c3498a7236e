"""The history of one minute: every record that was written of it, in the order of the log."""

from collections.abc import Sequence
from typing import Any

import msgspec

from analytics.clickhouse.client import client
from analytics.clickhouse.sql import sql
from analytics.reading.cursor import seq_of
from analytics.reading.known import CandleView, candle_json
from analytics.reading.view import LiveView
from ingestion.log import topics
from ingestion.pipeline.records import Candle, CandleRecord
from markets.types import Interval


class RevisionPage(msgspec.Struct, frozen=True):
    """Records in the order of the log; ``place``: the first seq that the reader does not have."""

    records: list[CandleRecord]
    place: int
    more: bool


def read_revisions(view: LiveView, symbol: str, open_time: int, since: int, limit: int) -> RevisionPage:
    """The first ``limit`` records of the minute from the place ``since`` in the log on: stored, or still to be."""
    # The view first: what it lets go meanwhile is in the tables.
    epoch = view.epoch(topics.CANDLES_1M.name)
    coming = {
        seq_of(epoch, offset): record
        for offset, record in view.unsunk_candles(symbol)
        if record.candle.open_time == open_time and seq_of(epoch, offset) >= since
    }
    by_seq = _stored(symbol, open_time, since, limit + 1) | coming
    seqs = sorted(by_seq)
    shown = seqs[:limit]
    return RevisionPage([by_seq[seq] for seq in shown], shown[-1] + 1 if shown else since, len(seqs) > limit)


def revision_json(record: CandleRecord) -> dict[str, Any]:
    """The version in the shape of a candle: ``state`` and ``missing`` as they were known when it was written."""
    candle = record.candle
    close_time = Interval(candle.interval).next_open(candle.open_time) - 1
    view = CandleView(candle, record.state, record.missing, close_time, record.known_at, record.difference)
    return {"reason": record.reason, **candle_json(view)}


def _stored(symbol: str, open_time: int, since: int, limit: int) -> dict[int, CandleRecord]:
    parameters = {"symbol": symbol, "open_time": open_time, "since": since, "limit": limit}
    rows = client().query(sql("candle_revisions"), parameters=parameters).result_rows
    return {row[0]: _record(symbol, open_time, row[1:]) for row in rows}


def _record(symbol: str, open_time: int, row: Sequence[Any]) -> CandleRecord:
    *figures, state, reason, known_at, missing, difference = row
    candle = Candle(symbol, Interval.M1.value, open_time, *figures)
    told = msgspec.json.decode(difference) if difference else None
    return CandleRecord(candle, state, reason, known_at, missing, told)
