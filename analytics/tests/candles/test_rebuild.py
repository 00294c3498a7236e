import random

import pytest
from django.utils import timezone

from analytics.candles import dirty
from analytics.candles.rebuild import rebuild_dirty
from analytics.candles.store import CoverageBook
from analytics.models import Dirty
from analytics.sink import positions
from analytics.sink.load import load
from analytics.sink.marks import Mark, Marks
from analytics.sink.tables import ROUTES
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
from ingestion.log.topics import CANDLES_1M
from ingestion.pipeline.records import CoverageKind

pytestmark = pytest.mark.django_db(transaction=True)

NEXT = TEN + MINUTE
# One for all tests, as one process has one: it must not mix the logs up.
BOOK = CoverageBook()


def empty(open_time):
    nothing = {"first_trade_id": None, "last_trade_id": None, "first_fill_id": None, "last_fill_id": None}
    return candle(open_time, (0, -1), **nothing)


def sink_all(log, *, skip=()):
    for topic in ROUTES:
        if topic not in skip:
            load(log, topic, 0, max_rows=20_000, chance=random.Random(1))


def rebuild(log):
    """Sink, rebuild, and what the rebuild has published."""
    sink_all(log)
    return rebuild_only(log)


def rebuild_only(log):
    Dirty.objects.update(not_before=None)
    before = log.end_offset(CANDLES_1M.name, 0)
    rebuild_dirty(log, BOOK)
    stored = log.read_range(CANDLES_1M.name, 0, before, log.end_offset(CANDLES_1M.name, 0))
    return [codec.candle(item.value) for item in stored]


def trades(*ids, at=TEN, late=False):
    """One trade a second; the id is the second."""
    return [enriched(trade(i, at + i * 1_000), late=late) for i in ids]


def mark(*open_times):
    positions.mark_dirty(Marks(Mark(BTC, "1m", at) for at in open_times))


@pytest.fixture
def store(clickhouse, log):
    """A log whose symbol is covered from id 1 at 10:00 and closed up to 11:00."""
    put(log, segment(1, TEN), live(TEN + HOUR, TEN + HOUR, last_trade_id=10_000))
    return log


def test_a_late_trade_raises_the_revision_of_its_candle(store):
    put(store, *trades(1, 3), closed(candle(TEN, (1, 2))), *trades(2, late=True))

    [record] = rebuild(store)

    assert (record.candle.revision, record.candle.first_trade_id, record.candle.last_trade_id) == (3, 1, 3)
    assert (record.state, record.reason, record.missing) == ("closed", "late", 0)
    assert record.known_at == TEN + HOUR
    assert not Dirty.objects.exists()


def test_a_second_rebuild_of_the_same_trades_says_nothing(store):
    put(store, *trades(1, 2, 3, late=True))
    first = rebuild(store)
    mark(TEN)

    assert len(first) == 1
    # Its record is in the log and not stored yet, then stored: known both ways.
    assert rebuild_only(store) == []
    mark(TEN)
    assert rebuild(store) == []


def test_a_minute_that_never_closed_live_is_a_backfill(store):
    put(store, *trades(1, 2, late=True))

    [record] = rebuild(store)

    assert (record.reason, record.state) == ("backfill", "closed")


def test_a_minute_that_is_open_in_the_stream_is_left_to_the_processor_and_not_forgotten(clickhouse, log):
    put(log, segment(1, TEN), live(TEN + 30_000, TEN), *trades(1, 2), kline_of(candle(TEN, (1, 2)), source="rest"))
    mark(TEN)

    assert rebuild(log) == []
    waits_s = (Dirty.objects.get().not_before - timezone.now()).total_seconds()
    assert 25 < waits_s < 35

    put(log, live(NEXT + 3_000, NEXT), closed(candle(TEN, (1, 2))))
    assert [record.state for record in rebuild(log)] == ["certified"]


def test_an_open_minute_of_a_symbol_that_stands_still_is_let_go(clickhouse, log):
    put(log, segment(1, TEN), live(NEXT + 30_000, TEN), *trades(1, 2))
    mark(TEN)

    assert rebuild(log) == []
    assert not Dirty.objects.exists()


def test_without_any_clock_a_minute_waits(clickhouse, log):
    put(log, *trades(1, 2))
    mark(TEN)

    assert rebuild(log) == []
    assert Dirty.objects.get().not_before > timezone.now()


def test_the_newest_stored_minute_is_the_clock_when_the_live_record_is_gone(clickhouse, log):
    put(log, segment(1, TEN), *trades(1, 2), closed(candle(NEXT, (60, 61))))
    mark(TEN)

    [record] = rebuild(log)

    assert record.candle.revision == 2


def test_an_equal_kline_certifies(store):
    put(store, *trades(1, 2, 3), closed(candle(TEN, (1, 3))), kline_of(candle(TEN, (1, 3)), recheck=True))

    [record] = rebuild(store)

    assert (record.state, record.reason, record.missing) == ("certified", "verdict", 0)
    assert record.difference is None


def test_a_different_kline_disputes_with_both_values(store):
    theirs = kline_of(candle(TEN, (1, 3)), close=99, recheck=True)
    put(store, *trades(1, 2, 3), closed(candle(TEN, (1, 3))), theirs)

    [record] = rebuild(store)

    assert record.state == "disputed"
    assert record.difference == {"close": ["100.00000000", "0.00000099"]}


def test_a_verdict_is_published_once(store):
    put(store, *trades(1, 2, 3), kline_of(candle(TEN, (1, 3)), recheck=True))
    rebuild(store)
    mark(TEN)

    assert rebuild(store) == []


def test_with_an_open_gap_a_different_candle_is_not_disputed(store):
    gap = span(CoverageKind.GAP_OPENED, (2, 2), (TEN + 1_000, TEN + 3_000))
    put(store, gap, *trades(1, 3), closed(candle(TEN, (1, 1))), kline_of(candle(TEN, (1, 3)), recheck=True))

    [record] = rebuild(store)

    assert (record.state, record.candle.revision, record.missing) == ("closed", 2, 1)


def test_a_kline_that_lacks_fills_itself_proves_nothing(store):
    made = candle(TEN, (1, 3), trades=2, agg_trades=2, volume=2 * 10**8, quote_volume=200 * 10**8)
    made_equal = kline_of(made, taker_buy_volume=2 * 10**8, taker_buy_quote_volume=200 * 10**8, recheck=True)
    hole = span(CoverageKind.HOLE, (2, 2), (TEN + 1_000, TEN + 3_000))
    put(store, hole, *trades(1, 3), made_equal)

    [record] = rebuild(store)

    assert (record.state, record.missing) == ("closed", 1)


def test_ids_that_jump_without_a_known_gap_hold_the_candle_back(store):
    put(store, *trades(1, 3, late=True))

    assert rebuild(store) == []
    assert Dirty.objects.get().tries == 1

    put(store, *trades(2, late=True))
    [record] = rebuild(store)
    assert record.candle.revision == 3


def test_a_jump_over_the_end_of_the_minute_holds_it_back_too(store):
    put(store, *trades(1, 2, late=True), *trades(63, 64))

    assert rebuild(store) == []
    assert Dirty.objects.count() == 1


def test_a_jump_between_segments_is_no_gap(store):
    put(store, segment(500, TEN + 30_000, segment=7), *trades(1, late=True))
    put(store, enriched(trade(500, TEN + 40_000), late=True))

    [record] = rebuild(store)

    assert record.candle.revision == 2


def test_history_waits_until_its_gap_has_left_the_minute(store):
    gap = span(CoverageKind.GAP_OPENED, (3, 9), (TEN + 2_000, TEN + 10_000), cause="backfill")
    put(store, gap, *trades(1, 2, 10, late=True))
    assert rebuild(store) == []
    assert Dirty.objects.count() == 1

    put(store, *trades(*range(3, 10), late=True))
    put(store, span(CoverageKind.GAP_CLOSED, (3, 9), (TEN + 2_000, TEN + 10_000), cause="backfill"))
    [record] = rebuild(store)

    assert (record.candle.revision, record.reason) == (10, "backfill")


def test_a_first_candle_waits_for_the_repair_of_its_gap_but_not_for_ever(store):
    gap = span(CoverageKind.GAP_OPENED, (2, 2), (TEN + 1_000, TEN + 3_000))
    put(store, gap, *trades(1, 3, late=True))
    assert rebuild(store) == []

    Dirty.objects.update(tries=6)
    [record] = rebuild_only(store)

    assert (record.state, record.candle.revision, record.missing) == ("closed", 2, 1)


def test_a_closed_gap_waits_for_the_trades_that_closed_it(store):
    put(store, *trades(1, 2, late=True))
    put(store, span(CoverageKind.GAP_CLOSED, (1, 2), (TEN, TEN + 2 * MINUTE)))
    sink_all(store, skip={"enriched_trades"})

    assert rebuild_only(store) == []
    assert Dirty.objects.count() == 3

    [first, *empty] = rebuild(store)
    assert first.candle.revision == 2
    assert [record.candle.revision for record in empty] == [0, 0]


def test_an_empty_minute_that_is_covered_is_flat_at_the_last_price(store):
    put(store, enriched(trade(1, TEN + 1, price=7)), enriched(trade(2, NEXT + MINUTE, price=9)))
    mark(NEXT)

    [record] = rebuild(store)

    assert record.candle == candle(
        NEXT, (0, -1), price=7, first_trade_id=None, last_trade_id=None, first_fill_id=None, last_fill_id=None
    )
    assert (record.state, record.candle.revision, record.missing) == ("closed", 0, 0)


def test_the_last_price_is_found_however_long_ago_it_was(store):
    put(store, enriched(trade(1, TEN + 1, price=7)), enriched(trade(2, TEN + 9 * MINUTE, price=9)))
    mark(TEN + 5 * MINUTE, TEN + 6 * MINUTE)

    assert [record.candle.close for record in rebuild(store)] == [7, 7]


def test_a_minute_that_holds_only_an_id_taken_back_is_empty(store):
    taken_back = enriched(trade(2, NEXT, price=0, qty=0, first_id=-1, last_id=-1), late=True)
    put(store, enriched(trade(1, TEN + 1, price=7)), taken_back)

    [record] = rebuild(store)

    assert (record.candle.revision, record.candle.close) == (0, 7)


def test_an_empty_minute_that_a_hole_touches_is_unknown(store):
    put(store, *trades(1), enriched(trade(5, NEXT + MINUTE)))
    put(store, span(CoverageKind.HOLE, (2, 4), (TEN + 1_000, NEXT + MINUTE)))

    records = rebuild(store)

    assert [record.candle.open_time for record in records] == [TEN, NEXT + MINUTE]
    assert not Dirty.objects.exists()


def test_an_empty_minute_in_a_hole_is_empty_when_the_exchange_says_so(store):
    put(store, *trades(1), enriched(trade(5, NEXT + MINUTE)), closed(candle(TEN, (1, 1))))
    put(store, span(CoverageKind.HOLE, (2, 4), (TEN + 1_000, NEXT + MINUTE)))
    put(store, kline_of(empty(NEXT), source="rest", recheck=True))

    records = rebuild(store)

    assert [
        (r.candle.open_time, r.candle.revision, r.state, r.missing) for r in records if r.candle.open_time == NEXT
    ] == [(NEXT, 0, "certified", 0)]


def test_an_empty_minute_in_a_gap_waits_whatever_the_exchange_says(store):
    put(store, *trades(1), enriched(trade(5, NEXT + MINUTE)))
    put(store, span(CoverageKind.GAP_OPENED, (2, 4), (TEN + 1_000, NEXT + MINUTE)))
    put(store, kline_of(empty(NEXT), source="rest", recheck=True))

    assert rebuild(store) == []


def test_an_empty_minute_outside_every_segment_gets_no_record(store):
    mark(TEN - MINUTE)

    assert rebuild(store) == []
    assert not Dirty.objects.exists()


def test_an_empty_minute_in_which_the_exchange_counted_trades_is_unknown(store):
    put(store, *trades(1), kline_of(candle(NEXT, (2, 3)), recheck=True))

    assert rebuild(store) == []


def test_an_id_that_was_taken_back_is_held_and_in_no_candle(store):
    taken_back = enriched(trade(2, TEN + 2_000, price=0, qty=0, first_id=-1, last_id=-1))
    put(store, *trades(1, 3, late=True), taken_back)

    [record] = rebuild(store)

    assert (record.candle.revision, record.missing) == (2, 0)


def test_a_minute_that_is_not_wholly_covered_is_partial(clickhouse, log):
    put(log, segment(2, TEN + 2_000), live(TEN + HOUR, TEN + HOUR), *trades(2, 3, late=True))

    [record] = rebuild(log)

    assert record.state == "partial"


def test_hundreds_of_minutes_are_made_again_in_one_turn(store):
    count = 300
    put(store, live(TEN + 10 * HOUR, TEN + 10 * HOUR))
    put(store, *(enriched(trade(i + 1, TEN + i * MINUTE), late=True) for i in range(count)))

    records = rebuild(store)

    assert [record.candle.open_time for record in records] == [TEN + i * MINUTE for i in range(count)]


def test_of_two_workers_each_bucket_has_one(store):
    mark(*(TEN + i * MINUTE for i in range(10)))
    first, second = dirty.claim(["1m"], 6), dirty.claim(["1m"], 6)

    assert (len(first), len(second)) == (6, 4)
    assert not {row.pk for row in first} & {row.pk for row in second}


def test_a_mark_that_comes_while_a_bucket_is_made_again_is_kept(store):
    mark(TEN)
    rows = dirty.claim(["1m"], 10)
    mark(TEN)
    dirty.done(rows)
    dirty.postpone(rows)

    again = Dirty.objects.get()
    assert (again.tries, again.not_before) == (0, None)
