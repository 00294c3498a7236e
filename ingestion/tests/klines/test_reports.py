"""The same candle told more than once: which report counts, which is believed, and which is asked for again."""

import pytest

from ingestion.binance.errors import ExchangeBusy
from ingestion.klines.board import Board
from ingestion.klines.track import Aim
from ingestion.log.sqlite import SqliteLog
from ingestion.tests.klines.test_role import check_progress
from ingestion.tests.klines.world import NOON, POLICY, SYMBOL, World, make_kline
from markets.types import DAY_MS, HOUR_MS, MINUTE_MS, Interval

TRADED = "BTCUSDT"
LARGER = (Interval.M15, Interval.H1, Interval.D1)
QUARTER, HOUR = NOON - 15 * MINUTE_MS, NOON - HOUR_MS


@pytest.fixture
def log(tmp_path):
    opened = SqliteLog(tmp_path / "log.db")
    yield opened
    opened.close()


@pytest.fixture
def traded(log):
    world = World(log, **{TRADED: True})
    world.pass_time(120)
    world.exchange.asked.clear()
    return world


def asks(world, interval, since, until):
    """How often exactly the buckets from ``since`` up to ``until`` (open times, both included) were asked for."""
    span = interval.value, since, interval.next_open(until) - 1
    return [ask[1:] for ask in world.exchange.asked].count(span)


def reports(world, interval, open_time):
    return [kline for kline in world.written(interval, TRADED) if kline.open_time == open_time]


# --- which of two reports counts ----------------------------------------------------------------------


def test_a_report_has_the_time_at_which_it_was_asked_for(traded):
    (first,) = reports(traded, Interval.H1, HOUR)
    traded.exchange.short[HOUR] = 9
    traded.disputed = {(TRADED, Interval.H1): {HOUR}}
    traded.pass_time(30)

    *_, later = reports(traded, Interval.H1, HOUR)
    assert (first.trades, later.trades) == (7, 9)
    assert NOON < first.event_time < later.event_time <= traded.exchange.now
    assert traded.newest(Interval.H1, TRADED)[HOUR].trades == 9


def test_reports_that_are_asked_for_while_the_clock_stands_still_are_told_apart(traded):
    traded.disputed = {(TRADED, Interval.M15): {QUARTER}}
    for _ in range(800):
        traded.machine_s += 1
        traded.role.step()

    times = [kline.event_time for kline in reports(traded, Interval.M15, QUARTER)]
    assert len(times) > 3
    assert times == sorted(set(times))


def test_the_later_question_counts_whichever_is_answered_first():
    board = Board(POLICY)
    board.begin(TRADED, NOON + 20_000)
    board.disputes.take_larger({(TRADED, Interval.M15): {QUARTER}}, 0.0)
    due = [one for one in board.questions({TRADED: NOON + 20_000}, 20.0) if one.interval is Interval.M15]
    assert [question.aim for question in due] == [Aim.DISPUTE, Aim.RECENT]

    first, second = map(board.asking, due)
    running = make_kline(TRADED, Interval.M15, NOON, 1)
    (told_early,) = board.answer(second, [make_kline(TRADED, Interval.M15, QUARTER, 9), running], 21.0)
    (told_late,) = board.answer(first, [make_kline(TRADED, Interval.M15, QUARTER, 8)], 22.0)

    assert NOON < told_late.event_time < told_early.event_time


def test_a_row_that_says_the_same_again_is_no_correction(traded):
    traded.pass_time(HOUR_MS / 1000, step_s=10)

    assert len(reports(traded, Interval.M15, NOON)) == 1


def test_a_row_that_was_corrected_meanwhile_replaces_the_first_one(log):
    world = World(log)
    world.pass_time(15 * 60 + 60)
    assert world.newest(Interval.M15)[NOON].trades == 7

    world.exchange.short[NOON] = 8
    world.pass_time(15 * 60)

    assert world.newest(Interval.M15)[NOON].trades == 8


# --- what is believed ---------------------------------------------------------------------------------


@pytest.mark.parametrize("lag_s", [0, 90, 300])
@pytest.mark.parametrize("since_end_s", [5, 61, 100, 299])
def test_the_newest_row_of_history_is_taken_when_it_is_whole(log, lag_s, since_end_s):
    world = World(log)
    world.exchange.now = NOON + 12 * HOUR_MS + since_end_s * 1000
    world.exchange.lag_ms = lag_s * 1000
    last = world.exchange.now - since_end_s * 1000

    world.pass_time(lag_s + 130, streamed=True)

    for interval in LARGER:
        assert {kline.trades for kline in world.written(interval)} == {7}
        assert interval.step_back(last, 1) in world.newest(interval)
    check_progress(world)


@pytest.mark.parametrize("lag_s", [70, 130, 400])
def test_a_bucket_that_rest_does_not_know_yet_is_waited_for(log, lag_s):
    world = World(log)
    world.exchange.lag_ms = lag_s * 1000

    for _ in range(150):
        world.step(8)
        check_progress(world)

    assert {kline.trades for interval in LARGER for kline in world.written(interval)} == {7}
    assert world.places[SYMBOL, "1m"][1] >= world.exchange.now - lag_s * 1000 - 3 * MINUTE_MS


def test_rest_is_believed_at_last_though_nothing_comes_after(log):
    world = World(log)
    world.exchange.halts = [(NOON + 3 * MINUTE_MS, NOON + DAY_MS)]
    world.pass_time(10 * 60)
    assert NOON + 2 * MINUTE_MS not in world.newest(Interval.M1)

    world.pass_time(5 * 60)

    assert NOON + 2 * MINUTE_MS in world.newest(Interval.M1)
    assert world.places[SYMBOL, "1m"][1] > NOON + 3 * MINUTE_MS


# --- what is asked for again --------------------------------------------------------------------------


def pass_seconds(world, count):
    """The machine's times at which the disputed hour was asked for."""
    times = []
    for _ in range(count):
        world.machine_s += 1
        world.role.step()
        if asks(world, Interval.H1, HOUR, HOUR):
            times.append(world.machine_s)
        world.exchange.asked.clear()
    return times


def test_a_larger_candle_that_differs_is_asked_for_four_times_and_then_left(traded):
    traded.disputed = {(TRADED, Interval.H1): {HOUR}}

    times = pass_seconds(traded, 10_000)

    waits = [after - before for before, after in zip(times, times[1:], strict=False)]
    assert len(times) == 4
    assert all(abs(wait - expected) <= 6 for wait, expected in zip(waits, (60, 600, 3600), strict=True))
    assert "0 disputes" in traded.role.pulse().detail


def test_a_difference_that_comes_back_is_asked_for_again(traded):
    traded.disputed = {(TRADED, Interval.H1): {HOUR}}
    pass_seconds(traded, 5_000)
    traded.disputed = {}
    pass_seconds(traded, 10)
    traded.disputed = {(TRADED, Interval.H1): {HOUR}}

    assert len(pass_seconds(traded, 5_000)) == 4


def test_a_difference_that_is_gone_is_asked_for_no_more(traded):
    traded.disputed = {(TRADED, Interval.H1): {HOUR}}
    assert len(pass_seconds(traded, 30)) == 1

    traded.disputed = {}

    assert pass_seconds(traded, 5_000) == []


def test_a_symbol_that_is_switched_off_is_asked_for_no_more(traded):
    traded.disputed = {(TRADED, Interval.H1): {HOUR}}
    pass_seconds(traded, 10)
    assert "1 disputes" in traded.role.pulse().detail

    traded.symbols.clear()

    assert pass_seconds(traded, 100) == []
    assert "0 disputes" in traded.role.pulse().detail


def test_the_newest_are_asked_for_first_and_neighbours_together(traded):
    day = Interval.D1.step_back(Interval.D1.open_of(NOON), 1)
    old = QUARTER - 2_000 * 15 * MINUTE_MS
    quarters = {old, QUARTER - 30 * MINUTE_MS, QUARTER}
    traded.disputed = {(TRADED, Interval.D1): {day}, (TRADED, Interval.M15): quarters}

    traded.pass_time(60)

    starts = [ask[2] for ask in traded.exchange.asked if ask[2] in {day, old, QUARTER - 30 * MINUTE_MS}]
    assert starts[:3] == [QUARTER - 30 * MINUTE_MS, day, old]
    assert asks(traded, Interval.M15, QUARTER - 30 * MINUTE_MS, QUARTER) == 1
    # What lies between them was not disputed, and is not written again.
    assert len(reports(traded, Interval.M15, QUARTER - 15 * MINUTE_MS)) == 1


def test_a_question_that_the_exchange_refuses_does_not_count(traded):
    traded.disputed = {(TRADED, Interval.H1): {HOUR}}
    traded.step(6)
    traded.exchange.asked.clear()
    traded.exchange.errors = [ExchangeBusy(30.0)] * 4
    traded.pass_time(60)
    traded.exchange.errors = []
    traded.exchange.asked.clear()

    assert len(pass_seconds(traded, 5_000)) == 4


def test_after_a_restart_larger_differences_are_known_again(traded):
    traded.disputed = {(TRADED, Interval.D1): {Interval.D1.step_back(Interval.D1.open_of(NOON), 1)}}
    bucket = min(traded.disputed[TRADED, Interval.D1])
    traded.exchange.short[bucket] = 9

    traded.kill()
    traded.pass_time(30)

    assert traded.newest(Interval.D1, TRADED)[bucket].trades == 9
