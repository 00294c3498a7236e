"""One turn of a partition: lease it, read what is new, insert one block per table, advance.

A kill at any line is harmless. Before the insert nothing has happened; between insert and advance the same
records are inserted again and the tables' natural keys make one row of them; after it all is done.
"""

import random
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

import structlog
from clickhouse_connect.driver.client import Client

from analytics import metrics
from analytics.clickhouse.client import client
from analytics.clickhouse.sql import sql
from analytics.disputes import Dispute, report
from analytics.models import SinkPosition
from analytics.sink import marks, positions, tables
from analytics.sink.lost import lost_trades
from analytics.sink.marks import Mark, Marks
from analytics.sink.tables import Read, Route, Unread
from ingestion.log import codec, topics
from ingestion.log.port import Log, RangeGone, Stored, TopicPartition
from ingestion.pipeline.records import DeadLetter, Reason
from ingestion.pipeline.verdict import DISPUTED

_log = structlog.get_logger(__name__)

_MINUTES_AT_ONCE = 500


def load(log: Log, topic: str, partition: int, *, max_rows: int, budget_s: float = 5.0, chance: random.Random) -> int:
    """Store what is new in the partition; the number of records passed. 0 when somebody else is at it.

    Goes on while whole blocks wait, for at most ``budget_s``. A failure is kept in SinkPosition and tried
    again later: it never raises for it.
    """
    held = positions.take_lease(log.topic_id(topic), topic, partition, start=log.start_offset(topic, partition))
    if held is None:
        return 0
    try:
        passed = _load_blocks(log, held, max_rows, time.monotonic() + budget_s)
        positions.release(held)
    except positions.LeaseLost:
        _log.warning("another worker took the partition", topic=topic, partition=partition)
        return 0
    except Exception as error:  # noqa: BLE001 - the top of the task: whatever failed is kept, shown and retried
        _failed(held, error, chance.random())
        return 0
    return passed


def _load_blocks(log: Log, held: SinkPosition, max_rows: int, until: float) -> int:
    passed = 0
    while True:
        with metrics.SINK_SECONDS.labels(held.topic).time():
            count = _load_block(log, held, max_rows)
        passed += count
        if count < max_rows or time.monotonic() >= until:
            return passed


def _load_block(log: Log, held: SinkPosition, max_rows: int) -> int:
    """The number of offsets passed: 0 when nothing is new."""
    route, start = tables.ROUTES[held.topic], held.next_offset
    end = min(log.end_offset(held.topic, held.partition), start + max_rows)
    if end <= start:
        return 0
    try:
        records = log.read_range(held.topic, held.partition, start, end)
    except RangeGone as gone:
        return _skip_gone(log, held, gone.oldest)
    epoch = log.epoch(held.topic)
    good, unread = tables.decode(route, records)
    blocks, unfit = tables.build(route, good, epoch)
    for table, block in blocks.items():
        client().insert_arrow(table, block)
    # Only once the rows are stored: while ClickHouse is away the same letters would be written each time.
    _bury(log, [*unread, *unfit])
    _advance(log, held, end, route, good)
    _report_disputes(route, good)
    metrics.SINK_RECORDS.labels(held.topic).inc(len(records))
    return end - start


def _advance(log: Log, held: SinkPosition, end: int, route: Route, reads: Sequence[Read]) -> None:
    records = [read.record for read in reads]
    buckets = chain(route.marks(records), _around_candles(route, records))
    trades_to = None
    if held.topic == topics.COVERAGE.name:
        # What closed a gap is committed together with the trades that filled it, so they are below this.
        trades_to = log.end_offset(topics.ENRICHED_TRADES.name, held.partition)
    arrived = max((read.stored.timestamp for read in reads), default=None)
    positions.advance(held, end, Marks(buckets, route.spans(records), trades_to, arrived))
    log.report(topics.GROUP_SINK, {TopicPartition(held.topic, held.partition): end})


def _around_candles(route: Route, records: Sequence[Any]) -> Iterable[Mark]:
    """The buckets above the minutes, and the minutes that wait for a verdict though their kline is there.

    Whoever is stored last, kline or minute, sees the other and asks for the verdict: rows first, marks after.
    """
    if route.topic != topics.CANDLES_1M.name or not records:
        return ()
    parents = marks.parents(records, _newest_minutes(client(), records))
    return chain(parents, _with_klines(client(), list(marks.without_verdict(records))))


def _with_klines(store: Client, minutes: Sequence[Mark]) -> Iterator[Mark]:
    """Those of the minutes whose kline is stored."""
    wanted = sorted(minutes, key=lambda mark: mark.open_time)
    for start in range(0, len(wanted), _MINUTES_AT_ONCE):
        some = wanted[start : start + _MINUTES_AT_ONCE]
        answer = store.query(
            sql("minutes_with_kline"),
            parameters={
                "symbols": sorted({mark.symbol for mark in some}),
                "minutes": sorted({mark.open_time for mark in some}),
                "start": some[0].open_time,
                "end": some[-1].open_time,
            },
        )
        known = set(answer.result_rows)
        yield from (mark for mark in some if (mark.symbol, mark.open_time) in known)


def _report_disputes(route: Route, reads: Sequence[Read]) -> None:
    if route.topic == topics.CANDLES_1M.name:
        records = (read.record for read in reads)
        report([Dispute(item.candle, item.difference) for item in records if item.state == DISPUTED])


def _newest_minutes(store: Client, records: Sequence[Any]) -> dict[str, int]:
    """The newest closed minute of each symbol, at least those of ``records`` (which are stored already)."""
    answer = store.query(
        sql("newest_minutes"),
        parameters={
            "symbols": sorted({record.candle.symbol for record in records}),
            "since": min(record.candle.open_time for record in records),
        },
    )
    return dict(answer.result_rows)


def _skip_gone(log: Log, held: SinkPosition, oldest: int) -> int:
    """Retention took records before they were stored: say so loudly and go on with what is left."""
    lost = oldest - held.next_offset
    metrics.SINK_RECORDS_GONE.labels(held.topic).inc(lost)
    _log.error(
        "records were deleted before they were stored",
        topic=held.topic,
        partition=held.partition,
        first=held.next_offset,
        lost=lost,
        hint="the sink was away for longer than the retention; its trades are fetched again by repair_gaps",
    )
    # Before the append: embedded, raw_trades may wait for a processor that waits for us.
    log.report(topics.GROUP_SINK, {TopicPartition(held.topic, held.partition): oldest})
    if held.topic == topics.ENRICHED_TRADES.name:
        log.append(topics.RAW_TRADES.name, map(codec.to_record, lost_trades(log, held.partition, oldest)))
    positions.advance(held, oldest, Marks())
    return lost


def _bury(log: Log, unread: Sequence[Unread]) -> None:
    """Give what cannot be stored a place where it can be seen and replayed from."""
    for stored, detail in unread:
        _log.warning("a record cannot be stored", topic=stored.topic, offset=stored.offset, detail=detail)
        metrics.SINK_UNREADABLE.labels(stored.topic).inc()
    if unread:
        letters = [_letter(stored, detail) for stored, detail in unread]
        log.append(topics.DEAD_LETTERS.name, [codec.to_record(letter) for letter in letters])


def _letter(stored: Stored, detail: str) -> DeadLetter:
    return DeadLetter(
        reason=Reason.UNREADABLE_RECORD,
        detail=detail,
        origin=f"{stored.topic}/{stored.partition}/{stored.offset}",
        frame=stored.value,
        known_at=stored.timestamp,
        symbol=stored.key,
    )


def _failed(held: SinkPosition, error: Exception, jitter: float) -> None:
    delay = positions.give_up(held, error, jitter)
    metrics.SINK_FAILURES.labels(held.topic).inc()
    _log.error(
        "storing failed, will be tried again",
        topic=held.topic,
        partition=held.partition,
        at=held.next_offset,
        attempt=held.attempts + 1,
        retry_in_s=round(delay, 1),
        error=str(error),
        hint="is ClickHouse up and migrated (clickhouse_migrate --check), is its disk full?",
    )
