"""Which ids and which files: the plan alone."""

from hypothesis import given
from hypothesis import strategies as st

from ingestion.backfill.held import Held, held_of
from ingestion.backfill.plan import INTERVALS, Needed, Plan, Step, needed_ids
from ingestion.binance.archive_files import TRADES
from ingestion.pipeline.coverage import Segment, Span, SymbolCoverage, fold_events
from ingestion.pipeline.holdings import Holdings
from markets.types import DAY_MS, HOUR_MS

DAY = 20_000 * DAY_MS


SOME = (Needed(5, 9, DAY, DAY + DAY_MS),)


def plan(from_ms=DAY, to_ms=DAY + 2 * DAY_MS, intervals=INTERVALS, needed=SOME, over=None):
    return Plan(from_ms, to_ms, intervals, needed, to_ms, to_ms if over is None else over)


def coverage(segments=(), gaps=()):
    return SymbolCoverage(
        segments=tuple(Segment(1, lo, since) for lo, since in segments),
        gaps=tuple(Span(low, high, start, end, end, "disconnect") for low, high, start, end in gaps),
    )


def test_days_go_oldest_first_each_with_its_klines_before_its_trades():
    steps = [plan().step(number) for number in range(plan().steps)]

    assert steps == [Step(data, day) for day in (DAY, DAY + DAY_MS) for data in ("1m", "15m", "1h", "1d", TRADES)]


def test_parts_of_days_count_as_days():
    assert plan(DAY + HOUR_MS, DAY + DAY_MS + 1, ()).steps == 2
    assert plan(DAY + HOUR_MS, DAY + HOUR_MS, ()).steps == 0
    assert plan(DAY + HOUR_MS, DAY + DAY_MS, ()).step(0) == Step(TRADES, DAY)


def test_a_day_that_is_not_over_has_no_file():
    today = plan(over=DAY + DAY_MS + HOUR_MS)

    assert today.is_over(Step(TRADES, DAY))
    assert not today.is_over(Step(TRADES, DAY + DAY_MS))


def test_a_day_whose_trades_are_held_is_passed_over_but_its_klines_are_not():
    later = plan(needed=(Needed(5, 9, DAY + DAY_MS, DAY + DAY_MS),))

    assert not later.wants(Step(TRADES, DAY))
    assert later.wants(Step(TRADES, DAY + DAY_MS))
    assert later.wants(Step("1m", DAY))


def test_without_trades_there_are_only_klines():
    assert plan(needed=()).data_sets == INTERVALS


def test_what_lies_below_the_holdings_is_needed_and_every_gap_in_the_time():
    held = coverage([(100, DAY + DAY_MS)], [(150, 160, DAY + DAY_MS, DAY + 2 * DAY_MS), (200, 201, DAY * 2, DAY * 2)])

    assert needed_ids(held, True, 7, DAY, DAY + 2 * DAY_MS) == (
        Needed(7, 99, DAY, DAY + DAY_MS),
        Needed(150, 160, DAY + DAY_MS, DAY + 2 * DAY_MS),
    )


def test_what_is_held_already_needs_nothing():
    assert needed_ids(coverage([(100, DAY)]), True, None, DAY, DAY + DAY_MS) == ()


def test_where_the_beginning_of_the_coverage_is_forgotten_everything_is_brought():
    (needed,) = needed_ids(coverage([(100, DAY)]), False, 7, DAY, DAY + DAY_MS)

    assert needed.from_id == 7
    assert plan(needed=(needed,)).needs(10**12)


@given(
    ids=st.lists(st.integers(10, 60), min_size=1, max_size=30, unique=True),
    first=st.integers(0, 9),
)
def test_exactly_the_ids_that_are_not_held_are_needed(ids, first):
    """The processor's own account, told by its events, and what we make of them."""
    holdings = Holdings("BTCUSDT")
    events = holdings.want(min(ids), 1_000, "start", 1_000)
    for trade_id in ids:
        if trade_id <= holdings.segments[-1].hi + 1 or trade_id > holdings.segments[-1].hi:
            events += holdings.accept(trade_id, 1_000 + trade_id, trade_id, 1_000 + trade_id)[1]
    known = fold_events(events)
    bounds = plan(needed=needed_ids(known, True, first, 0, 10**6))

    assert {number for number in range(first, max(ids) + 1) if bounds.needs(number)} == set(
        range(first, max(ids) + 1)
    ) - set(ids)


def test_the_coverage_is_whole_while_its_first_event_is_kept():
    holdings = Holdings("BTCUSDT")
    events = holdings.want(10, DAY, "start", DAY + 5)
    events += holdings.want(5, DAY - HOUR_MS, "archive", DAY + 60)

    whole, cut = held_of(events, 0), held_of(events[1:], 7)

    assert whole.is_whole
    assert not cut.is_whole
    assert whole.open_segment.covered_from == DAY - HOUR_MS
    assert whole.feed_time == DAY + 60


def test_a_symbol_has_started_when_a_segment_is_open_or_its_events_are_forgotten():
    holdings = Holdings("BTCUSDT")
    opened = holdings.want(10, DAY, "start", DAY)
    closed = [*opened, *holdings.close_segment(DAY + HOUR_MS)]

    assert held_of(opened, 0).has_started
    assert not held_of(closed, 0).has_started
    assert not held_of([], 0).has_started
    assert Held(SymbolCoverage(), False, DAY).has_started
