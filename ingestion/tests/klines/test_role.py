"""``ingest_klines`` as a whole: the role, the log, and an exchange that lags, halts, refuses and corrects itself."""

import random

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ingestion.binance.errors import BadRequest, ExchangeAway, ExchangeBusy, RegionRefused
from ingestion.klines.board import INTERVALS
from ingestion.klines.track import Policy
from ingestion.log import codec
from ingestion.log.port import LogError
from ingestion.log.sqlite import SqliteLog
from ingestion.log.topics import CANDLES_1M, COVERAGE, PRICES
from ingestion.pipeline.records import (
    Candle,
    CandleReason,
    CandleRecord,
    CoverageEvent,
    CoverageKind,
    DeadLetter,
    Reason,
)
from ingestion.tests.klines.world import NOON, POLICY, SYMBOL, Killed, World, make_kline
from markets.types import HOUR_MS, MINUTE_MS, SECOND_MS, Interval

TRADED = "BTCUSDT"


@pytest.fixture
def world(tmp_path):
    log = SqliteLog(tmp_path / "log.db")
    yield World(log)
    log.close()


@pytest.fixture
def traded(tmp_path):
    log = SqliteLog(tmp_path / "log.db")
    yield World(log, **{TRADED: True})
    log.close()


def expected(world: World, interval: Interval, first: int, stop: int) -> list[int]:
    """The buckets in the span of which the exchange has a kline."""
    opens = range(first, stop, interval.width_ms)
    return [open_time for open_time in opens if world.exchange.has(interval, open_time)]


def check_progress(world: World, symbol: str = SYMBOL) -> None:
    """What is called asked or received is in the log, whole, wherever the exchange has it."""
    for interval in INTERVALS:
        if (symbol, interval.value) not in world.places:
            continue
        first, stop = world.places[symbol, interval.value]
        held = world.newest(interval, symbol)
        whole = [open_time for open_time, kline in held.items() if kline.trades >= 7]
        missing = set(expected(world, interval, first, stop)) - set(whole)
        assert not missing, (interval, sorted(missing)[:3])


# --- what is fetched ---------------------------------------------------------------------------------


def test_a_new_symbol_gets_its_history_of_every_interval_and_not_the_running_bucket(world):
    world.pass_time(60)

    for interval, rows in POLICY.rows.items():
        held = world.newest(Interval(interval))
        width = Interval(interval)
        assert min(held) <= width.step_back(width.open_of(NOON), rows)
        assert max(held) < width.open_of(world.exchange.now)
        assert {kline.trades for kline in held.values()} == {7}
    check_progress(world)


def test_klines_of_the_stream_are_written_as_they_come_and_not_asked_for(world):
    world.pass_time(135)
    world.exchange.asked.clear()

    world.pass_time(300, streamed=True)

    assert [ask for ask in world.exchange.asked if ask[1] == "1m"] == []
    streamed = [kline for kline in world.written(Interval.M1) if kline.source == "simulated"]
    assert [kline.open_time for kline in streamed] == [NOON + n * MINUTE_MS for n in range(2, 7)]
    assert all(kline.last_fill_id > 0 for kline in streamed)


def test_what_the_stream_did_not_bring_is_asked_for_ten_seconds_after_its_end(world):
    world.pass_time(135)
    world.exchange.asked.clear()

    world.pass_time(50)
    assert [ask for ask in world.exchange.asked if ask[1] == "1m"] == []
    world.pass_time(10)

    assert [ask[1] for ask in world.exchange.asked].count("1m") == 1
    assert world.newest(Interval.M1)[NOON + 2 * MINUTE_MS].source == "rest"


def test_seconds_that_do_not_come_at_all_cost_one_question_in_ten_seconds(world):
    world.pass_time(120)
    world.exchange.asked.clear()

    world.pass_time(100, step_s=0.5)

    assert 5 <= [ask[1] for ask in world.exchange.asked].count("1s") <= 11
    check_progress(world)


def test_a_minute_of_a_traded_symbol_is_not_asked_for_when_the_processor_forwards_it(traded):
    traded.pass_time(135)
    traded.exchange.asked.clear()

    for minute in range(2, 6):
        frame = make_kline(TRADED, Interval.M1, NOON + minute * MINUTE_MS, source="simulated")
        traded.pass_time(50 if minute == 2 else 60)
        traded.log.append(PRICES["1m"].name, [codec.to_record(frame)])
        traded.step()

    assert [ask for ask in traded.exchange.asked if ask[1] == "1m"] == []


def test_longer_klines_of_a_traded_symbol_come_by_rest(traded):
    traded.pass_time(120)
    assert traded.streams.watched == ([TRADED], [])

    traded.pass_time(HOUR_MS / 1000 + 30, step_s=10, streamed=True)

    assert traded.newest(Interval.H1, TRADED)[NOON].source == "rest"
    assert traded.newest(Interval.M15, TRADED)[NOON + 45 * MINUTE_MS].source == "rest"


def test_klines_reach_back_to_where_the_trades_are_held_and_are_judged_there(traded):
    since = NOON - 3 * 86_400_000
    opened = CoverageEvent(CoverageKind.SEGMENT_OPENED, TRADED, 1, 1, since, None, "backfill", NOON, 1)
    traded.log.append(COVERAGE.name, [codec.to_record(opened)])

    traded.pass_time(120)

    minutes = traded.newest(Interval.M1, TRADED)
    assert min(minutes) == since
    assert all(kline.recheck for kline in minutes.values())
    assert min(traded.newest(Interval.S1, TRADED)) > NOON - HOUR_MS


def test_without_trades_nothing_is_to_be_judged(world):
    world.pass_time(60)

    assert not any(kline.recheck for kline in world.written(Interval.M1))


# --- what can be believed -----------------------------------------------------------------------------


def test_a_row_that_may_still_grow_is_not_taken(world):
    world.exchange.lag_ms = 25_000
    world.pass_time(300)

    assert {kline.trades for kline in world.written(Interval.M1)} == {7}
    check_progress(world)


def test_a_halt_is_passed_when_the_exchange_has_had_its_time(world):
    world.pass_time(120)
    world.exchange.halts = [(NOON + 3 * MINUTE_MS, NOON + 8 * MINUTE_MS)]

    world.pass_time(15 * 60)

    held = world.newest(Interval.M1)
    assert NOON + 2 * MINUTE_MS in held
    assert NOON + 8 * MINUTE_MS in held
    assert not any(NOON + n * MINUTE_MS in held for n in range(3, 8))
    assert world.places[SYMBOL, "1m"][1] >= NOON + 15 * MINUTE_MS
    check_progress(world)


def verdict(open_time: int, state: str) -> CandleRecord:
    candle = Candle(TRADED, "1m", open_time, 1, 1, 1, 1, agg_trades=3)
    return CandleRecord(candle, state, CandleReason.VERDICT, NOON, 0, {"volume": ["1", "2"]})


def test_a_disputed_minute_is_asked_for_again_four_times_and_then_left(traded):
    traded.pass_time(120)
    traded.log.append(CANDLES_1M.name, [codec.to_record(verdict(NOON, "disputed"))])
    traded.step()
    traded.exchange.asked.clear()

    times = []
    for _ in range(5_000):
        traded.streams.time[TRADED] += 1000
        traded.machine_s += 1
        traded.role.step()
        if any(ask[2] == NOON and ask[1] == "1m" and ask[3] == NOON + MINUTE_MS - 1 for ask in traded.exchange.asked):
            times.append(traded.machine_s)
        traded.exchange.asked.clear()

    waits = [round(after - before) for before, after in zip(times, times[1:], strict=False)]
    assert len(times) == 4
    assert all(abs(wait - asked) <= 2 for wait, asked in zip(waits, (60, 600, 3600), strict=True))


def test_a_dispute_that_ends_is_asked_for_no_more(traded):
    traded.pass_time(120)
    traded.log.append(CANDLES_1M.name, [codec.to_record(verdict(NOON, "disputed"))])
    traded.step()
    traded.log.append(CANDLES_1M.name, [codec.to_record(verdict(NOON, "certified"))])
    traded.exchange.asked.clear()

    traded.pass_time(120, streamed=True)

    assert not any(ask[2] == NOON and ask[3] == NOON + MINUTE_MS - 1 for ask in traded.exchange.asked)


def test_disputes_are_known_again_after_a_restart(traded):
    traded.pass_time(120)
    traded.log.append(CANDLES_1M.name, [codec.to_record(verdict(NOON, "disputed"))])
    traded.step()

    traded.kill()
    traded.exchange.short[NOON] = 9
    traded.pass_time(30)

    assert traded.newest(Interval.M1, TRADED)[NOON].trades == 9


# --- an exchange that refuses ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [ExchangeBusy(20.0), ExchangeAway("502"), RegionRefused("451"), BadRequest(-1121, "Invalid symbol.")],
    ids=lambda error: type(error).__name__,
)
def test_a_refused_question_is_asked_again_later(world, error):
    world.exchange.errors = [error] * 4
    world.step()
    world.step()
    asked = len(world.exchange.asked)
    world.step()
    assert len(world.exchange.asked) <= asked + 4

    world.pass_time(300)

    check_progress(world)
    assert world.role.pulse().status == "ok"
    assert len(world.newest(Interval.M1)) > 20


def test_while_the_exchange_is_busy_nothing_is_asked(world):
    world.step(6)
    world.exchange.errors = [ExchangeBusy(50.0)] * 8
    world.step()
    world.step()
    world.exchange.asked.clear()

    world.pass_time(40)

    assert world.exchange.asked == []


def test_history_never_takes_the_turn_of_what_is_new(tmp_path):
    log = SqliteLog(tmp_path / "log.db")
    many = {f"S{n}USDT": False for n in range(30)}
    world = World(log, Policy(rows={"1m": 5_000}, rng=random.Random(1)), **many)
    world.pass_time(20, step_s=0.5)

    world.exchange.asked.clear()
    world.pass_time(90, step_s=0.5)

    newest = [ask for ask in world.exchange.asked if ask[1] == "1m" and ask[3] >= NOON]
    assert len({ask[0] for ask in newest}) == 30
    log.close()


# --- a log that refuses, and kills --------------------------------------------------------------------


def test_what_the_log_refuses_is_held_and_written_later(world):
    world.pass_time(120)
    world.mortal.refusals = [LogError("disk full")] * 3

    world.pass_time(200, streamed=True)

    assert world.mortal.refusals == []
    check_progress(world)


def test_a_frame_that_is_no_kline_goes_to_the_dead_letters(world):
    world.step()
    world.streams.letters.append(DeadLetter(Reason.NOT_JSON, "no", "connection kline-0.1", b'{"e":"kl', NOON))

    world.step()

    (letter,) = world.letters()
    assert (letter.reason, letter.frame) == ("not_json", b'{"e":"kl')


@pytest.mark.parametrize("place", ["before_append", "after_append", "before_save"])
@pytest.mark.parametrize("after", [1, 2, 5])
def test_a_kill_between_log_and_progress_only_repeats(world, place, after):
    if place == "before_save":
        world.die_before_save = True
    else:
        setattr(world.mortal, {"before_append": "die_before", "after_append": "die_after"}[place], after)
    with pytest.raises(Killed):
        world.pass_time(120, streamed=True)

    world.kill()
    check_progress(world)
    world.pass_time(180, streamed=True)

    check_progress(world)
    for interval in INTERVALS:
        first, stop = world.places[SYMBOL, interval.value]
        assert stop >= interval.open_of(world.exchange.now - 90_000)
        assert first <= interval.step_back(interval.open_of(NOON), POLICY.rows[interval.value])


def test_a_stop_writes_what_is_held(world):
    world.pass_time(120)
    world.frames(SYMBOL, NOON + 118 * SECOND_MS, NOON + 120 * SECOND_MS, [Interval.S1])

    world.role.drain()

    assert world.newest(Interval.S1)[NOON + 119 * SECOND_MS].source == "simulated"


def test_a_symbol_that_comes_back_goes_on_where_it_was(world):
    world.pass_time(120)
    world.symbols.clear()
    world.pass_time(60)
    world.symbols[SYMBOL] = False
    world.exchange.asked.clear()

    world.pass_time(120)

    check_progress(world)
    assert all(start >= NOON for _, interval, start, _ in world.exchange.asked if interval == "1m")


def test_a_symbol_that_is_no_longer_listed_does_not_make_the_dear_question_for_the_limits_repeat(world):
    world.symbols["AAAUSDT"] = False
    world.exchange.delisted = {"AAAUSDT", SYMBOL}

    world.pass_time(60, step_s=0.5)
    assert world.exchange.limits_asked <= 2

    world.exchange.delisted = {"AAAUSDT"}
    world.pass_time(3_600)
    learnt = world.exchange.limits_asked
    world.pass_time(300)
    assert world.exchange.limits_asked == learnt


@given(
    seed=st.integers(0, 10_000),
    lag_ms=st.integers(0, 40_000),
    halt=st.tuples(st.integers(0, 12), st.integers(0, 6)),
    kills=st.sets(st.integers(0, 60), max_size=4),
)
@example(seed=11, lag_ms=0, halt=(0, 2), kills={16})
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_happens_progress_tells_the_truth_and_everything_comes(tmp_path_factory, seed, lag_ms, halt, kills):
    """Frames are lost, REST lags, fails and the market halts; the role is killed: what is called asked is there."""
    log = SqliteLog(tmp_path_factory.mktemp("klines") / "log.db")
    world, chance, began = World(log), random.Random(seed), NOON
    world.exchange.lag_ms = lag_ms
    start, length = halt
    world.exchange.halts = [(NOON + start * MINUTE_MS, NOON + (start + length) * MINUTE_MS)]
    for turn in range(60):
        if turn in kills:
            world.kill()
            began = world.exchange.now
        if chance.random() < 0.1:
            world.exchange.errors = [ExchangeAway("reset")] * chance.randrange(1, 4)
        world.step(chance.choice((0.5, 3.0, 15.0)), streamed=chance.random() < 0.6)
        check_progress(world)
    world.exchange.errors = []
    # The market goes on after the halt: what came last before it is known to be whole, or there is none.
    over = max(world.exchange.now, NOON + (start + length) * MINUTE_MS)
    world.pass_time((over - world.exchange.now) / 1000 + 400)

    check_progress(world)
    for interval in INTERVALS:
        first, stop = world.places[SYMBOL, interval.value]
        assert stop >= interval.open_of(world.exchange.now - 90_000)
        # As far back as a new track reaches; a restart counts from its own time.
        assert first <= interval.step_back(interval.open_of(began), POLICY.rows[interval.value])
    log.close()
