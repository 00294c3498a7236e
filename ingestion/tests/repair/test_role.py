"""Repair as a whole: the role, the log, a processor and an exchange that lags, skips and fails."""

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingestion.binance.errors import BadAnswer, BadRequest, ExchangeAway, ExchangeBusy, RegionRefused
from ingestion.log import codec
from ingestion.log.sqlite import SqliteLog
from ingestion.log.topics import COVERAGE, RAW_TRADES
from ingestion.pipeline.records import CoverageEvent, CoverageKind
from ingestion.repair.work import Policy
from ingestion.tests.repair.world import SYMBOL, Exchange, Killed, World, make_trade


@pytest.fixture
def world(tmp_path):
    log = SqliteLog(tmp_path / "log.db")
    yield World(log, Exchange(newest=10_000))
    log.close()


def appended(world) -> list[int]:
    """The ids of trades that repair appended."""
    end = world.log.end_offset(RAW_TRADES.name, 0)
    records = [codec.raw(stored.value) for stored in world.log.read_range(RAW_TRADES.name, 0, 0, end)]
    return [r.trade_id for r in records[-end:] if type(r).__name__ == "Trade"]


def test_a_gap_is_filled_after_a_first_wait_with_exactly_its_ids(world):
    world.stream(100, 101, 105, 106)

    world.step()
    world.step(seconds=0.9)
    assert world.exchange.asked == []

    world.step(seconds=0.2)
    assert world.exchange.asked == [101]
    assert appended(world) == [100, 101, 105, 106, 102, 103, 104]
    assert world.processor.gaps() == []


def test_a_gap_that_closes_by_itself_is_never_asked_for(world):
    world.stream(100, 103)
    world.step()
    world.stream(101, 102)

    world.settle()

    assert world.exchange.asked == []


def test_a_long_gap_takes_one_page_after_the_other(world):
    world.stream(100, 5_000)

    world.settle()

    assert world.processor.gaps() == []
    assert world.exchange.asked == [100, 1099, 2098, 3097, 4096]


def test_the_first_gap_of_a_segment_has_no_held_row_below_and_is_filled_all_the_same(world):
    world.exchange.oldest = 1_000
    world.want(1_000)
    world.stream(1_500)

    world.settle()

    assert world.processor.gaps() == []
    assert world.processor.holes() == []


def test_short_and_empty_pages_are_lag_and_no_proof(world):
    world.exchange.newest = 102
    world.stream(100, 110)
    world.settle(seconds=10_000)
    assert world.processor.holes() == []
    assert world.processor.gaps() == [(103, 109)]

    world.exchange.newest = 50
    world.settle(seconds=10_000)
    assert world.processor.holes() == []

    world.exchange.newest = 200
    world.settle()
    assert world.processor.gaps() == []


def test_waits_grow_while_rest_lags(world):
    world.exchange.newest = 100
    world.stream(100, 110)

    world.settle(seconds=600)

    assert 20 <= len(world.exchange.asked) <= 60


def test_skipped_ids_become_holes_of_exact_ranges_after_three_confirmations_and_no_sooner(world):
    world.exchange.never = {103, 105, 106}
    world.stream(100, 110)
    world.settle(seconds=60 + 600 + 3_000)
    assert world.processor.gaps() == [(103, 103), (105, 106)]
    assert world.processor.holes() == []
    assert len(world.exchange.asked) == 3  # the first sight and two confirmations

    world.settle(seconds=700)

    assert world.processor.gaps() == []
    assert world.processor.holes() == [(103, 103), (105, 106)]
    assert len(world.exchange.asked) == 4


def test_ids_that_appear_between_confirmations_are_filled_and_the_others_count_anew(world):
    world.exchange.never = {103, 104, 105}
    world.stream(100, 110)
    world.settle(seconds=700)
    world.exchange.never = {103, 105}

    world.settle(seconds=3_700)
    assert world.processor.holes() == []
    assert world.processor.gaps() == [(103, 103), (105, 105)]

    world.settle()
    assert world.processor.holes() == [(103, 103), (105, 105)]


def test_a_hole_of_300_000_ids_takes_few_questions(tmp_path):
    log = SqliteLog(tmp_path / "log.db")
    world = World(log, Exchange(newest=400_000, never=set(range(5_000, 305_000))))
    world.stream(4_000, 306_000)

    world.settle()

    assert world.processor.gaps() == []
    assert world.processor.holes() == [(5_000, 304_999)]
    assert len(world.exchange.asked) <= 8
    log.close()


def test_what_rest_does_not_reach_is_left_open_and_told_once_while_the_rest_is_fetched(world):
    world.exchange.oldest = 600
    world.want(100, "backfill")
    world.stream(700)

    world.settle(seconds=9_000)

    assert world.processor.gaps() == [(100, 599)]
    assert world.processor.holes() == []
    assert world.role.pulse().lag == 0
    assert "500 beyond REST" in world.role.pulse().detail
    assert len(world.exchange.asked) < 10


def test_a_held_row_that_rest_lacks_does_not_hide_a_hole_behind_it(world):
    """101 and 102 came by the stream, 103 was lost, REST has none of them."""
    world.exchange.never = {101, 102, 103}
    world.stream(100, 101, 102, 104)

    world.settle()

    assert world.processor.holes() == [(103, 103)]
    assert world.processor.gaps() == []


def test_an_end_that_is_behind_is_followed_to_the_newest(world):
    world.stream(100)
    world.exchange.newest = 2_500
    event = CoverageEvent(CoverageKind.TAIL_BEHIND, SYMBOL, 101, None, 0, None, "tail_behind", 10**12)
    world.log.append(COVERAGE.name, [codec.to_record(event)])

    for _ in range(20):
        world.step(seconds=20)

    assert appended(world) == list(range(100, 2_501))
    asked = len(world.exchange.asked)
    world.settle(seconds=100)
    assert len(world.exchange.asked) == asked, "it asks for ever"


def test_following_an_end_stops_at_the_time_that_made_it_suspicious(world):
    world.stream(100)
    event = CoverageEvent(CoverageKind.TAIL_BEHIND, SYMBOL, 101, None, 0, None, "tail_behind", 50_000)
    world.log.append(COVERAGE.name, [codec.to_record(event)])

    for _ in range(5):
        world.step(seconds=20)

    assert world.exchange.asked == [100]


def test_the_end_of_a_symbol_that_was_switched_off_is_not_followed(world):
    world.stream(100)
    events = [
        CoverageEvent(CoverageKind.TAIL_BEHIND, SYMBOL, 101, None, 0, None, "tail", 10**12),
        CoverageEvent(CoverageKind.SEGMENT_CLOSED, SYMBOL, 100, 100, 0, 10**12, "unwatched", 10**12, 1),
    ]
    world.log.append(COVERAGE.name, [codec.to_record(event) for event in events])

    for _ in range(5):
        world.step(seconds=20)

    assert world.exchange.asked == []


def test_new_small_gaps_do_not_wait_behind_history(world):
    world.want(1, "backfill")
    world.stream(9_000)
    world.step()
    world.step()
    assert len(world.exchange.asked) == 2

    world.stream(9_003)
    world.step()
    world.step(seconds=1.5)

    assert world.exchange.asked[-1] == 9_000
    world.settle()
    assert world.processor.gaps() == []


def test_gaps_take_turns_newest_first(world):
    world.stream(100, 3_000, 6_000, 6_001, 6_005)
    world.step()

    for _ in range(5):
        world.step(seconds=2)

    assert world.exchange.asked == [6_001, 3_000, 100, 3_999, 1_099]


def test_repair_gives_way_while_the_processor_has_enough_to_do(world):
    world.stream(100, 110)
    world.step()
    world.log.append(RAW_TRADES.name, [codec.to_record(make_trade(i)) for i in range(111, 5_200)])

    world.exchange.now_s += 2
    world.role.step()
    assert world.exchange.asked == []

    world.processor.step(most=1_000)
    world.role.step()
    assert world.exchange.asked == [100]


@pytest.mark.parametrize(
    ("error", "not_before_s", "asked_by_s"),
    [
        (ExchangeBusy(33), 32, 34),
        (ExchangeAway("no route"), 0.4, 2),
        (RegionRefused("451"), 59, 61),
        (BadRequest(-1121, "Invalid symbol."), 0.4, 2),
        (BadAnswer("html"), 0.4, 2),
    ],
)
def test_after_an_error_it_waits_and_the_gap_stays(world, error, not_before_s, asked_by_s):
    world.exchange.errors = [error]
    world.stream(100, 110)
    world.step()
    world.step(seconds=1)
    assert len(world.exchange.asked) == 1
    assert world.processor.gaps() == [(101, 109)]

    world.step(seconds=not_before_s)
    assert len(world.exchange.asked) == 1

    world.step(seconds=asked_by_s - not_before_s)
    assert world.processor.gaps() == []


def test_a_bad_symbol_does_not_hold_up_the_others(world):
    world.exchange.errors = [BadRequest(-1121, "Invalid symbol.")]
    world.stream(100, 110)
    other = CoverageEvent(CoverageKind.GAP_OPENED, "GONEUSDT", 5, 9, 400, 1000, "start", 1000)
    world.log.append(COVERAGE.name, [codec.to_record(other)])
    world.step()
    assert world.exchange.asked == [4]

    world.step(seconds=1.1)

    assert 100 in world.exchange.asked


def test_gaps_that_are_told_again_keep_their_progress(world):
    world.exchange.never = {103}
    world.stream(100, 110)
    world.settle(seconds=700)
    event = CoverageEvent(CoverageKind.GAP_OPENED, SYMBOL, 103, 103, 10_000, 11_000, "disconnect", 11_000)
    world.log.append(COVERAGE.name, [codec.to_record(event)] * 3)

    asked = len(world.exchange.asked)
    world.settle(seconds=3_700)

    assert world.processor.holes() == [(103, 103)]
    assert len(world.exchange.asked) == asked + 1


def test_an_unreadable_coverage_record_is_passed_over(world):
    world.log.append(COVERAGE.name, [codec.to_record(make_trade(1))])
    world.stream(100, 103)

    world.settle()

    assert world.processor.gaps() == []


def test_without_anything_to_do_a_step_waits_for_news(tmp_path):
    log = SqliteLog(tmp_path / "log.db")
    world = World(log, Exchange(newest=1))
    world.role.step()

    assert world.role._pause_s() == 1.0
    assert world.role.pulse().status == "ok"
    log.close()


DEATHS = ("before_commit", "after_commit", "while_asking", "between")


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**32), size=st.integers(20, 300), drop=st.floats(0, 0.6))
def test_whatever_is_lost_late_or_killed_every_hole_and_only_holes_are_found(tmp_path_factory, seed, size, drop):
    rng = random.Random(seed)
    never = _never_served(rng, size)
    exchange = Exchange(newest=0, never=never)
    log = SqliteLog(tmp_path_factory.mktemp("log") / "log.db")
    world = World(log, exchange, Policy(rng=random.Random(seed)))
    world.want(1)
    delivered = _live(rng, world, size, drop)
    # Ids that REST serves late, but before the last confirmation.
    late = rng.sample(range(1, size + 1), size // 10)
    exchange.from_s = {i: exchange.now_s + rng.uniform(0, 600) for i in late}
    exchange.newest = size + 5

    for _ in range(6):
        world.settle(seconds=rng.uniform(0, 2_000))
        world.kill_repair()
    world.settle(seconds=40_000)

    expected = never - delivered
    holes = {i for start, end in world.processor.holes() for i in range(start, end + 1)}
    assert holes == expected
    assert world.processor.gaps() == []
    assert set(appended(world)) == set(range(1, size + 1)) - expected
    log.close()


def _never_served(rng: random.Random, size: int) -> set[int]:
    """Runs of ids that REST does not have; the ends are left alone, because they have no neighbours."""
    never: set[int] = set()
    for _ in range(rng.randint(0, 5)):
        start = rng.randint(2, size - 1)
        never |= set(range(start, min(size - 1, start + rng.choice([0, 0, 1, 3, 40])) + 1))
    return never


def _live(rng: random.Random, world: World, size: int, drop: float) -> set[int]:
    """The stream runs with losses and disorder, REST lags behind it, and repair works and dies meanwhile."""
    delivered = {i for i in range(1, size) if rng.random() > drop}
    if rng.random() < 0.5:  # usually the stream has no more than REST
        delivered -= world.exchange.never
    delivered.add(size)
    order = sorted(delivered, key=lambda i: i + rng.choice([0, 0, 0, 3]))
    while order:
        count = rng.randint(1, 20)
        world.exchange.newest = max(order[:count])
        world.exchange.newest -= rng.randint(0, 30)
        world.stream(*order[:count])
        order = order[count:]
        _step_or_die(rng, world)
    return delivered


def _step_or_die(rng: random.Random, world: World) -> None:
    death = rng.choice([*DEATHS, *([""] * 12)])
    world.quick.die_before_commit = death == "before_commit"
    world.quick.die_after_commit = death == "after_commit"
    if death == "while_asking":
        world.exchange.errors = [Killed()]
    try:
        world.step(seconds=rng.choice([0, 0.5, 2, 40]))
    except Killed:
        world.kill_repair()
    if death == "between":
        world.kill_repair()
    world.exchange.errors = []
    world.quick.die_before_commit = world.quick.die_after_commit = False
