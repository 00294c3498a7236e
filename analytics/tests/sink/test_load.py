import datetime as dt
import random

import pytest
from django.utils import timezone

from analytics.clickhouse.client import client
from analytics.models import Dirty, SinkPosition
from analytics.sink import positions
from analytics.sink.load import load
from analytics.sink.marks import Mark, Marks
from analytics.sink.selectors import sink_positions
from analytics.tests.samples import (
    BTC,
    HOUR,
    MINUTE,
    TEN,
    candle,
    closed,
    enriched,
    kline_of,
    live,
    put,
    segment,
    span,
    trade,
)
from ingestion.log import codec
from ingestion.log.port import RangeGone, Record
from ingestion.log.topics import CANDLES_1M, COVERAGE, DEAD_LETTERS, ENRICHED_TRADES, GROUP_SINK, RAW_TRADES
from ingestion.pipeline.records import CoverageKind
from markets.models import Symbol

pytestmark = pytest.mark.django_db(transaction=True)

TRADES = ENRICHED_TRADES.name


def run(log, topic=TRADES, *, max_rows=20_000):
    return load(log, topic, 0, max_rows=max_rows, chance=random.Random(1))


def rows(query):
    return client().query(query).result_rows


def dirty():
    return sorted(Dirty.objects.values_list("symbol", "interval", "open_time"))


def put_trades(log, count, start=1):
    put(log, *(enriched(trade(start + i, TEN + i)) for i in range(count)))


def test_a_load_stores_the_trades_and_moves_the_place(clickhouse, log):
    put_trades(log, 3)

    passed = run(log)

    assert passed == 3
    assert rows("SELECT trade_id FROM trades_enriched FINAL ORDER BY trade_id") == [(1,), (2,), (3,)]
    assert sink_positions() == {(TRADES, 0): 3}
    assert log.position(GROUP_SINK, TRADES, 0) == 3


def test_a_second_load_has_nothing_to_do(clickhouse, log):
    put_trades(log, 3)
    run(log)

    assert run(log) == 0


def test_a_backlog_is_stored_in_blocks_of_the_most_rows(clickhouse, log):
    put_trades(log, 7)

    assert run(log, max_rows=3) == 7
    assert rows("SELECT count() FROM trades_enriched FINAL") == [(7,)]


class CutLog:
    """The log, except that one call is replaced: a place at which to stop or to find records gone."""

    def __init__(self, log, **replaced):
        self._log = log
        self.__dict__.update(replaced)

    def __getattr__(self, name):
        return getattr(self._log, name)


def _killed(*args):
    raise KeyboardInterrupt


def test_a_kill_between_insert_and_advance_leaves_one_row_per_trade(clickhouse, log):
    put_trades(log, 3)
    # Letters are written after the insert and before the advance.
    log.append(TRADES, [Record(BTC, b"unreadable")])
    with pytest.raises(KeyboardInterrupt):
        run(CutLog(log, append=_killed))
    assert rows("SELECT count() FROM trades_enriched FINAL") == [(3,)]
    assert sink_positions() == {(TRADES, 0): 0}

    positions.break_leases()
    run(log)

    assert rows("SELECT count() FROM trades_enriched FINAL") == [(3,)]
    assert sink_positions() == {(TRADES, 0): 4}


def test_a_kill_right_after_the_advance_loses_nothing(clickhouse, log):
    put_trades(log, 3)
    with pytest.raises(KeyboardInterrupt):
        run(CutLog(log, report=_killed))

    positions.break_leases()
    put_trades(log, 2, start=4)
    run(log)

    assert rows("SELECT count(), max(trade_id) FROM trades_enriched FINAL") == [(5, 5)]
    assert log.position(GROUP_SINK, TRADES, 0) == 5


def test_a_leased_partition_is_left_alone_until_the_lease_ends(clickhouse, log):
    put_trades(log, 1)
    held = positions.take_lease(log.topic_id(TRADES), TRADES, 0, start=0)

    assert run(log) == 0

    SinkPosition.objects.update(lease_until=timezone.now())
    assert run(log) == 1
    with pytest.raises(positions.LeaseLost):
        positions.advance(held, 5, Marks())
    assert sink_positions() == {(TRADES, 0): 1}


def test_an_advance_without_the_lease_marks_nothing(clickhouse, log):
    held = positions.take_lease(log.topic_id(TRADES), TRADES, 0, start=0)
    SinkPosition.objects.update(lease_token="another")

    with pytest.raises(positions.LeaseLost):
        positions.advance(held, 1, Marks([Mark(BTC, "1m", TEN)]))

    assert dirty() == []


def test_an_unreadable_record_becomes_a_dead_letter_and_blocks_nothing(clickhouse, log):
    put_trades(log, 1)
    log.append(TRADES, [Record(BTC, b'{"no": "trade"}')])
    put_trades(log, 1, start=2)

    run(log)
    run(log, DEAD_LETTERS.name)

    assert rows("SELECT trade_id FROM trades_enriched FINAL ORDER BY 1") == [(1,), (2,)]
    assert rows("SELECT reason, symbol, origin, frame, topic, offset FROM dead_letters FINAL") == [
        ("unreadable_record", BTC, f"{TRADES}/0/1", '{"no": "trade"}', DEAD_LETTERS.name, 0)
    ]


@pytest.mark.parametrize(
    "impossible",
    [
        trade(2, TEN, price=10**18),
        trade(2, TEN, qty=10**38),
        trade(2, 2**62),
        trade(2**63, TEN, first_id=1, last_id=1),
        trade(2, TEN, first_id=5, last_id=4),
        trade(2, TEN, ingest_ts=2**64),
    ],
)
def test_numbers_that_no_column_can_hold_become_dead_letters(clickhouse, log, impossible):
    put(log, enriched(trade(1, TEN)), enriched(impossible))

    assert run(log) == 2

    assert rows("SELECT trade_id FROM trades_enriched FINAL") == [(1,)]
    assert log.end_offset(DEAD_LETTERS.name, 0) == 1


def test_what_retention_took_is_skipped_and_the_rest_is_stored(clickhouse, log):
    put_trades(log, 3)

    def read_range(topic, partition, start, end):
        if start < 2:
            raise RangeGone(topic, partition, start, 2)
        return log.read_range(topic, partition, start, end)

    cut = CutLog(log, read_range=read_range)
    run(cut)
    run(cut)

    assert rows("SELECT trade_id FROM trades_enriched FINAL") == [(3,)]
    assert sink_positions() == {(TRADES, 0): 3}


def test_trades_that_were_deleted_before_they_were_stored_are_asked_for_again(clickhouse, log):
    Symbol.objects.create(symbol=BTC, base="BTC", quote="USDT", trades_enabled=True)
    put_trades(log, 2)
    run(log)
    put_trades(log, 3, start=5)
    put(log, live(TEN + 9, TEN, last_trade_id=7, last_trade_time=TEN + 7))

    def read_range(topic, partition, start, end):
        if topic == TRADES and start < 3:
            raise RangeGone(topic, partition, start, 3)
        return log.read_range(topic, partition, start, end)

    run(CutLog(log, read_range=read_range))

    raw = log.read_range(RAW_TRADES.name, 0, 0, log.end_offset(RAW_TRADES.name, 0))
    assert [(lost.from_id, lost.to_id) for lost in map(codec.raw, (r.value for r in raw))] == [(3, 5)]


def test_a_failure_is_kept_and_tried_again_later(clickhouse, log):
    put_trades(log, 1)
    clickhouse.command("RENAME TABLE trades_enriched TO hidden")
    try:
        before = timezone.now()
        assert run(log) == 0
        failed = SinkPosition.objects.get()
        # Far enough for a slow machine.
        SinkPosition.objects.update(retry_at=timezone.now() + dt.timedelta(hours=1))
        assert run(log) == 0
    finally:
        clickhouse.command("RENAME TABLE hidden TO trades_enriched")

    assert (failed.attempts, failed.next_offset) == (1, 0)
    assert "trades_enriched" in failed.error
    assert failed.retry_at > before
    assert SinkPosition.objects.get().attempts == 1, "not tried before its time"

    SinkPosition.objects.update(retry_at=timezone.now() - dt.timedelta(seconds=1))
    assert run(log) == 1
    assert SinkPosition.objects.get().error == ""


def test_a_late_trade_makes_its_minute_dirty(clickhouse, log):
    put(log, enriched(trade(1, TEN + 5)), enriched(trade(2, TEN + MINUTE + 5), late=True))

    run(log)

    assert dirty() == [(BTC, "1m", TEN + MINUTE)]


def test_a_closed_gap_makes_every_minute_of_its_span_dirty_and_waits_for_its_trades(clickhouse, log):
    put_trades(log, 4)
    put(log, segment(1, TEN), span(CoverageKind.GAP_OPENED, (5, 9), (TEN, TEN + 2 * MINUTE)))
    put(log, span(CoverageKind.GAP_CLOSED, (5, 9), (TEN + 1, TEN + 2 * MINUTE)))

    run(log, COVERAGE.name)

    assert dirty() == [(BTC, "1m", TEN + i * MINUTE) for i in range(3)]
    assert set(Dirty.objects.values_list("trades_to", flat=True)) == {4}
    assert rows("SELECT kind, from_id FROM coverage_events FINAL ORDER BY seq") == [
        ("segment_opened", 1),
        ("gap_opened", 5),
        ("gap_closed", 5),
    ]


def test_a_mark_on_a_dirty_bucket_is_a_new_one_and_keeps_what_it_waits_for(clickhouse, log):
    Dirty.objects.create(symbol=BTC, interval="1m", open_time=TEN, gen=1, trades_to=7, claim="x", tries=3)

    positions.mark_dirty(Marks([Mark(BTC, "1m", TEN)]))

    again = Dirty.objects.get()
    assert again.gen != 1
    assert (again.trades_to, again.claim, again.tries, again.not_before) == (7, "", 0, None)


def test_a_kline_that_was_not_compared_makes_its_minute_dirty(clickhouse, log):
    made = candle(TEN, (1, 3))
    put(log, kline_of(made, recheck=True), kline_of(candle(TEN + MINUTE, (4, 5))))

    run(log, "prices-1m")

    assert dirty() == [(BTC, "1m", TEN)]
    assert rows("SELECT toUnixTimestamp64Milli(open_time), trades FROM klines FINAL ORDER BY 1") == [
        (TEN, 3),
        (TEN + MINUTE, 2),
    ]


def test_of_two_klines_of_a_bucket_the_one_asked_by_rest_counts(clickhouse, log):
    put(log, kline_of(candle(TEN, (1, 4)), source="rest"))
    run(log, "prices-1m")
    put(log, kline_of(candle(TEN, (1, 3))), kline_of(candle(TEN, (1, 2)), source="archive"))
    run(log, "prices-1m")

    assert rows("SELECT trades, source FROM klines FINAL") == [(4, "rest")]


def test_the_last_minute_of_an_hour_makes_the_hour_dirty(clickhouse, log):
    last = TEN + HOUR - MINUTE
    put(log, closed(candle(last - MINUTE, (1, 3))))
    run(log, CANDLES_1M.name)
    assert {interval for _, interval, _ in dirty()} <= {"15m"}

    put(log, closed(candle(last, (4, 5))))
    run(log, CANDLES_1M.name)

    assert dirty() == [(BTC, "15m", TEN + HOUR - 15 * MINUTE), (BTC, "1h", TEN)]


def test_any_minute_of_a_closed_hour_makes_it_dirty(clickhouse, log):
    put(log, closed(candle(TEN + HOUR, (9, 9))))
    run(log, CANDLES_1M.name)

    put(log, closed(candle(TEN, (1, 3)), reason="late"))
    run(log, CANDLES_1M.name)

    assert dirty() == [(BTC, "15m", TEN), (BTC, "1h", TEN)]


def test_a_minute_without_verdict_asks_for_one_when_its_kline_is_stored_already(clickhouse, log):
    minutes = [candle(TEN + place * MINUTE, (place, place)) for place in range(4)]
    put(log, kline_of(minutes[0], source="rest"), kline_of(minutes[1]), kline_of(minutes[3], closed=False))
    run(log, "prices-1m")
    assert dirty() == []

    put(log, closed(minutes[0]), closed(minutes[1], state="certified"), closed(minutes[2]), closed(minutes[3]))
    run(log, CANDLES_1M.name)

    assert dirty() == [(BTC, "1m", TEN)]


def test_a_large_batch_asks_for_the_verdicts_of_all_its_minutes(clickhouse, log):
    minutes = [candle(TEN + place * MINUTE, (place, place)) for place in range(1_100)]
    put(log, *(kline_of(made, source="rest") for made in minutes))
    run(log, "prices-1m")

    put(log, *map(closed, minutes))
    run(log, CANDLES_1M.name)

    assert [found for found in dirty() if found[1] == "1m"] == [(BTC, "1m", made.open_time) for made in minutes]


def test_the_newest_revision_of_a_candle_wins_in_whatever_order_they_come(clickhouse, log):
    put(log, closed(candle(TEN, (1, 5)), reason="late"), closed(candle(TEN, (1, 3))))

    run(log, CANDLES_1M.name)

    assert rows("SELECT revision, agg_trades, last_trade_id FROM candles_1m") == [(5, 5, 5)]
    assert rows("SELECT revision FROM candle_journal FINAL ORDER BY seq") == [(5,), (3,)]


def test_a_verdict_does_not_change_when_a_version_became_known(clickhouse, log):
    made = candle(TEN, (1, 3))
    difference = {"close": ["1.0", "2.0"]}
    put(log, closed(made, known_at=TEN + 60_100))
    put(log, closed(made, known_at=TEN + 61_000, reason="verdict", state="disputed", difference=difference))

    run(log, CANDLES_1M.name)

    assert rows("SELECT toUnixTimestamp64Milli(known_at) FROM candles_1m") == [(TEN + 60_100,)]
    assert rows("SELECT revision, state, difference FROM certifications") == [
        (3, "disputed", '{"close": ["1.0", "2.0"]}')
    ]


def test_an_id_the_exchange_took_back_is_stored_and_flagged(clickhouse, log):
    put(log, enriched(trade(1, TEN, price=0, qty=0, first_id=-1, last_id=-1)))

    run(log)

    assert rows("SELECT trade_id, is_invalid, last_id, fills FROM trades_enriched FINAL") == [(1, 1, -1, 0)]


def test_a_topic_that_was_made_anew_is_stored_from_its_own_start(clickhouse, log):
    SinkPosition.objects.create(topic_id="earlier life", topic=TRADES, partition=0, next_offset=99)
    put_trades(log, 2)

    assert run(log) == 2
    assert sink_positions() == {(TRADES, 0): 2}
