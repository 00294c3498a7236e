"""State in, state and outputs out: closing, verdicts, late trades, restarts."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion.pipeline.coverage import fold_events
from ingestion.pipeline.process import (
    STATE_VERSION,
    SymbolState,
    UnreadableState,
    dump_state,
    load_state,
)
from ingestion.pipeline.records import Hole, Joined, Lost, Unwatch, Want
from ingestion.pipeline.window import empty_candle, fold
from ingestion.tests.pipeline.factories import (
    START,
    kline_of,
    make_trade,
)
from ingestion.tests.pipeline.run import WANT, Run
from markets.types import MINUTE_MS, SCALE, Interval


def empty_kline(minute, event_ms, **fields):
    candle = empty_candle("BTCUSDT", Interval.M1, START + minute * MINUTE_MS, 100)
    return kline_of(candle, START + event_ms, **fields)


def test_the_next_id_past_the_end_closes_the_minute():
    run = Run(WANT, make_trade(1, 10), make_trade(2, 59_999), make_trade(3, 60_000))

    assert run.states() == [(0, "closed", "closed", 2)]


def test_an_open_gap_that_touches_the_minute_keeps_it_open_until_three_seconds_past_its_end():
    run = Run(WANT, make_trade(1, 10), make_trade(3, 60_500))
    assert run.states() == []

    run.take(make_trade(4, 62_990, event_time=START + 62_999))
    assert run.states() == []

    run.take(make_trade(5, 63_000))
    assert run.states() == [(0, "closed", "closed", 1)]
    assert run.out.candles[0].missing == 1


def test_a_closed_kline_closes_and_certifies_in_one_record():
    trades = [make_trade(1, 10), make_trade(2, 20)]
    kline = kline_of(fold(trades, Interval.M1)[0], START + 60_002)

    run = Run(WANT, *trades, kline)

    assert run.states() == [(0, "certified", "closed", 2)]
    assert run.out.klines == [kline]


def test_a_kline_ahead_of_its_trades_waits_for_its_last_fill():
    trades = [make_trade(1, 10), make_trade(2, 20)]
    kline = kline_of(fold(trades, Interval.M1)[0], START + 60_002)

    run = Run(WANT, trades[0], kline)
    assert run.states() == []

    run.take(trades[1])
    assert run.states() == [(0, "certified", "closed", 2)]


def test_a_kline_after_the_close_brings_the_verdict():
    trades = [make_trade(1, 10), make_trade(2, 60_001)]
    kline = kline_of(fold(trades[:1], Interval.M1)[0], START + 60_050)

    run = Run(WANT, *trades, kline)

    assert run.states() == [(0, "closed", "closed", 1), (0, "certified", "verdict", 1)]


def test_a_different_kline_disputes_and_names_the_difference():
    trade = make_trade(1, 10)
    kline = kline_of(fold([trade], Interval.M1)[0], START + 60_050, volume=7)

    run = Run(WANT, trade, kline)

    assert run.states() == [(0, "disputed", "closed", 1)]
    assert run.out.candles[0].difference == {"volume": ["1.00000000", "0.00000007"]}


def test_a_minute_without_trades_is_certified_empty_by_its_kline():
    trade = make_trade(1, 10)
    run = Run(WANT, trade, kline_of(fold([trade], Interval.M1)[0], START + 60_001))

    run.take(empty_kline(1, 120_001))

    assert run.states()[1:] == [(60_000, "certified", "closed", 0)]


def test_an_empty_minute_is_flat_at_the_close_before():
    run = Run(WANT, make_trade(1, 10, price=55), make_trade(2, 130_000))

    empty = run.out.candles[1].candle

    assert (empty.agg_trades, empty.open, empty.first_trade_id) == (0, 55 * 10**8, None)


def test_a_minute_that_a_gap_touches_is_unknown_not_empty():
    run = Run(WANT, make_trade(1, 10), make_trade(5, 190_000), make_trade(6, 250_000))

    assert [minute for minute, *_ in run.states()] == [0, 180_000]


def test_a_tail_that_the_kline_has_seen_and_we_have_not_is_told():
    trades = [make_trade(1, 10), make_trade(2, 20)]
    kline = kline_of(fold(trades, Interval.M1)[0], START + 60_002)

    run = Run(WANT, trades[0], kline, empty_kline(1, 120_001))

    assert (0, "closed", "closed", 1) in run.states()
    behind = [event for event in run.out.coverage if event.kind == "tail_behind"]
    assert [event.from_id for event in behind] == [2]


def test_a_kline_that_comes_after_the_close_tells_of_the_tail_too():
    trades = [make_trade(1, 10), make_trade(2, 20)]
    kline = kline_of(fold(trades, Interval.M1)[0], START + 70_000)

    run = Run(WANT, trades[0], empty_kline(1, 69_000, closed=False), kline)

    assert run.states() == [(0, "closed", "closed", 1)]
    behind = [event for event in run.out.coverage if event.kind == "tail_behind"]
    assert [(event.from_id, event.from_time) for event in behind] == [(2, START + 10)]


def test_a_tail_is_told_of_an_open_segment_only():
    trades = [make_trade(1, 10), make_trade(2, 20)]
    kline = kline_of(fold(trades, Interval.M1)[0], START + 60_002)

    run = Run(WANT, trades[0], kline, Unwatch("BTCUSDT", START + 61_000))
    run.take(empty_kline(1, 120_001, trades=3, last_fill_id=9, first_fill_id=7), empty_kline(2, 190_000))

    assert [event for event in run.out.coverage if event.kind == "tail_behind"] == []


def test_a_fill_that_the_exchange_counts_into_another_minute_is_a_dispute_and_no_lag():
    trades = [make_trade(1, 10), make_trade(2, 60_010)]
    theirs = fold([trades[0], make_trade(2, 59_999)], Interval.M1)[0]

    run = Run(WANT, *trades, kline_of(theirs, START + 60_100))

    assert [state for _, state, *_ in run.states()] == ["closed", "disputed"]


def test_a_kline_that_counts_what_came_after_a_switch_off_is_no_dispute():
    """The segment's clock had passed the minute; what followed was dropped, and the next segment begins above it."""
    kline = kline_of(fold([make_trade(2, 70_000)], Interval.M1)[0], START + 190_000)
    run = Run(WANT, make_trade(1, 10), empty_kline(2, 125_000, closed=False), Unwatch("BTCUSDT", START + 125_000))

    run.take(make_trade(2, 70_000), make_trade(4, 185_000), kline)

    assert [(minute, state) for minute, state, *_ in run.states()] == [(0, "closed"), (60_000, "closed")]


def test_a_kline_that_counts_what_came_before_a_segment_is_no_dispute():
    """Nothing was known of the exchange's ids before the first trade, so those below it are no gap."""
    theirs = fold([make_trade(7, 5), make_trade(8, 10)], Interval.M1)[0]

    run = Run(Want("BTCUSDT", None, START, "start", START), make_trade(8, 10), make_trade(9, 60_010))
    run.take(kline_of(theirs, START + 60_100))

    assert run.states() == [(0, "closed", "closed", 1)]


def test_a_clock_that_jumps_by_years_closes_the_empty_minutes_a_batch_at_a_time():
    run = Run(WANT, make_trade(1, 10))
    years = 3 * 365 * 1440

    run.take(empty_kline(years, years * MINUTE_MS + 500))
    first = len(run.out.candles)
    run.commit().take(empty_kline(years, years * MINUTE_MS + 600, closed=False))

    assert 0 < first <= 2_000
    assert 0 < len(run.out.candles) <= 2_000
    assert run.out.candles[0].candle.open_time == START + first * MINUTE_MS


def test_a_late_trade_changes_nothing_in_the_stream_and_its_kline_asks_for_a_rebuild():
    run = Run(WANT, make_trade(1, 10), make_trade(3, 63_500), make_trade(2, 20))
    kline = kline_of(fold([make_trade(1, 10)], Interval.M1)[0], START + 63_600)

    run.take(kline)

    assert run.states() == [(0, "closed", "closed", 1)]
    assert [(e.trade.trade_id, e.late) for _, e in run.out.enriched] == [(1, False), (3, False), (2, True)]
    assert [item.recheck for item in run.out.klines] == [True]


def test_doubles_are_dropped_and_ids_before_coverage_are_dead_letters():
    run = Run(WANT, make_trade(5, 10), make_trade(5, 10), make_trade(0, 10))

    assert run.out.duplicates == 1
    assert [(d.reason, d.frame, d.origin) for d in run.out.dead_letters] == [
        ("before_coverage", b"bytes", "raw_trades/0/7")
    ]


def test_the_trade_before_the_first_minute_gives_its_price_and_no_candle():
    run = Run(WANT, make_trade(2, 61_000), make_trade(1, -500, price=33, event_time=None))

    assert [record.candle.open // 10**8 for record in run.out.candles] == [33]
    assert [e.late for _, e in run.out.enriched] == [False, False]


def test_the_clock_never_goes_back_and_moves_with_klines_alone():
    running = msgspec.structs.replace(empty_kline(0, 2_000), closed=False)
    run = Run(WANT, running, make_trade(1, 10))

    assert run.processor.state.clock == START + 2_000
    assert run.out.klines == []


@pytest.mark.parametrize(
    "ahead",
    [
        Joined("BTCUSDT", "disconnect", START + 10 * MINUTE_MS),
        Want("BTCUSDT", 0, START - MINUTE_MS, "backfill", START + 10 * MINUTE_MS),
    ],
)
def test_what_is_logged_ahead_of_the_frames_that_were_heard_before_it_closes_no_minute(ahead):
    # The connection's frames waited at the gate: its clock is ten minutes ahead of the first of them.
    run = Run(WANT, make_trade(1, 10), ahead, make_trade(2, 20), make_trade(3, 64_000))

    assert run.states() == [(0, "closed", "closed", 2)]
    assert [e.late for _, e in run.out.enriched] == [False, False, False]


def test_live_tells_the_forming_minute_and_the_one_that_waits_to_close():
    run = Run(WANT, make_trade(1, 10), make_trade(3, 60_500))

    live = run.processor.live()

    assert live.candle.open_time == START + 60_000
    assert [candle.open_time for candle in live.pending] == [START]
    assert (live.closed_to, live.last_trade_id) == (START, 3)


def test_switched_off_the_last_minute_closes_as_partial():
    run = Run(WANT, make_trade(1, 10), Unwatch("BTCUSDT", START + 30_000))

    assert run.states() == [(0, "partial", "closed", 1)]
    assert fold_events(run.out.coverage).segments[0].covered_to == START + 30_000


def test_a_hole_is_no_gap_any_more_but_still_missing():
    run = Run(WANT, make_trade(1, 10), make_trade(4, 20), Hole("BTCUSDT", 2, 3, "exchange", START))

    coverage = fold_events(run.out.coverage)

    assert coverage.gaps == ()
    assert [(hole.from_id, hole.to_id) for hole in coverage.holes] == [(2, 3)]


def test_trades_that_were_lost_after_they_were_taken_come_again_and_change_no_minute():
    run = Run(WANT, *(make_trade(i, i * 10) for i in (1, 2, 3, 5)))
    run.take(Lost("BTCUSDT", 0, 4, 0, START + 50, START))

    coverage = fold_events(run.out.coverage)
    # A time that nobody knows must not make every minute since 1970 dirty.
    assert all(START <= gap.from_time <= gap.to_time <= START + 50 for gap in coverage.gaps)
    assert [(gap.from_id, gap.to_id) for gap in coverage.gaps] == [(1, 3), (4, 4)]

    run.take(make_trade(2, 20), make_trade(2, 20), make_trade(1, 10), make_trade(3, 30), make_trade(4, 40))
    run.take(make_trade(6, 60_001))

    assert fold_events(run.out.coverage).gaps == ()
    assert [e.trade.trade_id for _, e in run.out.enriched] == [1, 2, 3, 5, 2, 1, 3, 4, 6]
    assert run.states() == [(0, "closed", "closed", 5)]


def test_a_loss_that_is_told_again_while_its_trades_come_back_doubles_records_and_no_candle():
    """A sink that was killed before it moved on tells its loss once more."""
    loss = Lost("BTCUSDT", 1, 2, START, START + 20, START)
    run = Run(WANT, *(make_trade(i, i * 10) for i in (1, 2, 3)), loss, make_trade(2, 20), loss)

    assert [(gap.from_id, gap.to_id) for gap in fold_events(run.out.coverage).gaps] == [(1, 1), (2, 2)]

    run.take(make_trade(1, 10), make_trade(2, 20), make_trade(4, 60_001))

    assert [(e.trade.trade_id, e.late) for _, e in run.out.enriched if e.trade.trade_id == 2] == [
        (2, False),
        (2, True),
        (2, True),
    ]
    assert fold_events(run.out.coverage).gaps == ()
    assert run.states() == [(0, "closed", "closed", 3)]


def test_history_wanted_later_is_late_and_leaves_the_live_minute_alone():
    run = Run(WANT, make_trade(1, 10), make_trade(2, 20))
    run.take(Want("BTCUSDT", -3 + 1, START - MINUTE_MS, "backfill", START + 30))

    run.take(make_trade(0, -10_000, event_time=None), make_trade(3, 60_001))

    assert [e.late for _, e in run.out.enriched] == [False, False, True, False]
    assert run.states() == [(0, "closed", "closed", 2)]


def test_a_state_of_another_version_is_refused():
    state = msgspec.structs.replace(SymbolState.new("X"), version=STATE_VERSION + 1)

    with pytest.raises(UnreadableState, match="version"):
        load_state(dump_state(state))
    with pytest.raises(UnreadableState):
        load_state(b"\x00")


def test_a_minute_of_a_coin_traded_by_the_billion_survives_a_restart():
    billions = 10**10
    run = Run(WANT, *(make_trade(number, number, qty=billions) for number in range(1, 21)))

    run.restart()
    run.take(make_trade(21, 60_001))

    assert [record.candle.volume for record in run.out.candles] == [20 * billions * SCALE]


@given(st.integers(0, 2**31), st.lists(st.integers(0, 60), max_size=12))
def test_restarts_at_any_point_change_nothing(seed, cuts):
    records = stream(seed)
    straight = Run(*records)
    broken = Run()
    for place, record in enumerate(records):
        if place in cuts:
            broken.restart()
        broken.take(record)

    assert broken.out.candles == straight.out.candles
    assert broken.out.coverage == straight.out.coverage
    assert broken.processor.state == straight.processor.state


def stream(seed):
    """Sixty records: trades with gaps, doubles and disorder, klines, a hole."""
    import random

    rng = random.Random(seed)
    records = [WANT]
    for number in range(1, 60):
        trade_id = max(1, number + rng.choice([0, 0, 0, 0, 1, 2, -1, -2]))
        records.append(make_trade(trade_id, trade_id * 4_000, price=100 + trade_id % 7))
    records.insert(30, Hole("BTCUSDT", 5, 9, "exchange", START))
    return records


@given(st.integers(0, 2**31))
def test_closed_candles_are_the_fold_of_what_was_held_when_they_closed(seed):
    run = Run(*stream(seed))

    on_time = [e.trade for _, e in run.out.enriched if not e.late]
    expected = {candle.open_time: candle for candle in fold(on_time, Interval.M1)}

    for record in run.out.candles:
        if record.candle.agg_trades:
            assert record.candle == expected[record.candle.open_time]
    opens = [record.candle.open_time for record in run.out.candles]
    assert opens == sorted(set(opens))
