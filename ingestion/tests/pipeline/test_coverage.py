"""What readers are told of gaps: since when, why, what becomes of them, and each as one row."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion.pipeline.coverage import MOST_REPAIRED, Span, apply_events, fold_events
from ingestion.pipeline.holdings import Holdings, Verdict
from ingestion.pipeline.process import SymbolProcessor, condense, dump_state, load_state
from ingestion.pipeline.records import Asked, CoverageEvent, CoverageKind, Hole, Joined, Proved, Want
from ingestion.pipeline.window import empty_candle
from ingestion.tests.pipeline.factories import START, kline_of, make_trade
from ingestion.tests.pipeline.run import ASSET, WANT, Run
from markets.types import Interval


def event(kind, from_id, to_id, known_at, cause="stream"):
    return CoverageEvent(kind, "X", from_id, to_id, from_id * 10 - 10, to_id * 10 + 10, cause, known_at)


def opened(from_id, to_id, known_at):
    return event(CoverageKind.GAP_OPENED, from_id, to_id, known_at)


def closed(from_id, to_id, known_at):
    return event(CoverageKind.GAP_CLOSED, from_id, to_id, known_at)


def rows(spans):
    return [(span.from_id, span.to_id, span.opened_at, span.closed_at) for span in spans]


def trades(*ids):
    return [make_trade(i, i * 100) for i in ids]


def coverage_of(run):
    return fold_events(condense(run.out.coverage))


# --- why ids are missing ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("records", "cause"),
    [
        (trades(1, 5), "stream"),
        ([*trades(1), Joined("BTCUSDT", "disconnect", 0), *trades(5)], "disconnect"),
        ([*trades(1), Joined("BTCUSDT", "ours", 0), *trades(5)], "ours"),
        # The new connection goes on where the old one ended: what it skips later is of its own making.
        ([*trades(1, 2), Joined("BTCUSDT", "disconnect", 0), *trades(2, 5)], "stream"),
        ([*trades(1), Joined("BTCUSDT", "disconnect", 0), *trades(2, 5)], "stream"),
        # What the old one brings late, or repair, says nothing of the new one.
        ([*trades(1, 3), Joined("BTCUSDT", "disconnect", 0), *trades(2, 6)], "disconnect"),
        ([*trades(1), Joined("BTCUSDT", "ours", 0), Joined("BTCUSDT", "disconnect", 0), *trades(5)], "disconnect"),
        ([Joined("BTCUSDT", "ours", 0), *trades(5)], "start"),
    ],
)
def test_a_gap_says_why_it_opened(records, cause):
    (gap,) = coverage_of(Run(WANT, *records)).gaps

    assert gap.cause == cause


def test_history_that_is_wanted_before_the_first_trade_came_changes_no_cause():
    run = Run(WANT, Want("BTCUSDT", 0, 0, "backfill", 1_000), Joined("BTCUSDT", "ours", 0), *trades(5))

    gaps = [(gap.from_id, gap.to_id, gap.cause) for gap in coverage_of(run).gaps]

    assert gaps == [(0, 1, "backfill"), (2, 4, "start")]


def test_why_a_gap_opened_is_known_after_a_restart_too():
    run = Run(WANT, *trades(1), Joined("BTCUSDT", "disconnect", 0)).commit()
    state = load_state(dump_state(run.processor.state))
    run.processor = SymbolProcessor(state, ASSET, run.out)

    run.take(*trades(5))

    assert [(gap.kind, gap.cause) for gap in run.out.coverage] == [("gap_opened", "disconnect")]


# --- what becomes of it -------------------------------------------------------------------------------


def test_a_gap_is_repairing_once_it_was_asked_for_or_a_part_of_it_came():
    run = Run(WANT, *trades(1, 10, 20), Asked("BTCUSDT", 2, 9, "repairing", START + 9_000), *trades(15))

    gaps = coverage_of(run).gaps

    assert [(gap.from_id, gap.to_id, gap.asked, gap.asked_at - START) for gap in gaps] == [
        (2, 9, "repairing", 9_000),
        (11, 14, "repairing", 9_000),
        (16, 19, "repairing", 9_000),
    ]


def test_ids_beyond_rest_are_known_as_such_and_keep_their_cause():
    run = Run(WANT, *trades(10), Asked("BTCUSDT", 1, 4, "beyond_rest", START + 9_000))

    (gap,) = coverage_of(run).gaps

    assert (gap.asked, gap.cause, gap.from_id, gap.to_id) == ("beyond_rest", "start", 1, 9)


def test_asking_for_ids_that_have_come_meanwhile_tells_nothing():
    run = Run(WANT, *trades(1, 5, 2, 3, 4)).commit()

    run.take(Asked("BTCUSDT", 2, 4, "repairing", START))

    assert run.out.coverage == []


def test_a_hole_is_as_old_as_its_gap_and_proved_when_the_exchange_counts_none_either():
    run = Run(WANT, *trades(1, 10), Asked("BTCUSDT", 2, 9, "repairing", START + 5_000))
    run.take(Hole("BTCUSDT", 4, 5, "not_served", START + 8_000), Proved("BTCUSDT", 4, 5, START + 9_000))

    coverage = coverage_of(run)

    (hole,) = coverage.holes
    assert (hole.opened_at, hole.asked_at, hole.proved, hole.cause) == (
        START + 1_002,
        START + 8_000,
        True,
        "not_served",
    )
    assert [(gap.from_id, gap.to_id, gap.opened_at, gap.asked) for gap in coverage.gaps] == [
        (2, 3, START + 1_002, "repairing"),
        (6, 9, START + 1_002, "repairing"),
    ]


def behind_at(trade_id, at_ms):
    """A closed kline that counts a fill which is not held."""
    candle = msgspec.structs.replace(empty_candle("BTCUSDT", Interval.M1, START, 1), trades=trade_id)
    return kline_of(candle, START + at_ms, first_fill_id=1, last_fill_id=trade_id)


def test_what_was_missing_at_the_end_is_one_row_with_what_the_next_trade_shows_to_be_missing():
    """The closed kline tells of a loss before any id can: 4 to 9 are one gap, though 4 and 5 were in none."""
    run = Run(WANT, *trades(1, 2, 3), behind_at(5, 63_100))
    run.take(make_trade(4, 400, source="rest"), make_trade(5, 500, source="rest"), make_trade(10, 64_000))

    open_gap = coverage_of(run)
    assert rows(open_gap.repaired) == [(4, 5, START + 63_100, START + 63_100)]
    assert rows(open_gap.gaps) == [(6, 9, START + 63_100, None)]

    run.take(*(make_trade(i, 63_200 + i, source="rest") for i in range(6, 10)))
    assert [(span.from_id, span.to_id, span.cause) for span in coverage_of(run).repaired] == [(4, 9, "stream")]


def test_a_stream_that_goes_on_by_itself_was_not_behind():
    run = Run(WANT, *trades(1, 2, 3), behind_at(5, 63_100), *trades(4, 5), make_trade(6, 64_000, source="rest"))

    assert coverage_of(run).repaired == ()


# --- one row each -------------------------------------------------------------------------------------


def test_forty_small_gaps_are_forty_rows_with_exact_ids():
    gaps = [(100 * number, 100 * number + number % 4) for number in range(1, 41)]
    events = [opened(*gap, known_at=gap[1]) for gap in gaps]
    # A page speaks of many gaps, and a batch may end anywhere.
    for first, last in gaps:
        events += [closed(i, i, 10_000 + i) for i in range(first, last + 1)]

    coverage = fold_events(events)

    assert coverage.gaps == ()
    assert [(span.from_id, span.to_id) for span in coverage.repaired] == gaps
    assert [span.opened_at for span in coverage.repaired] == [last for _, last in gaps]
    assert [span.closed_at for span in coverage.repaired] == [10_000 + last for _, last in gaps]


@given(
    counts=st.lists(st.integers(1, 12), min_size=1, max_size=8),
    order=st.randoms(use_true_random=False),
    page=st.integers(1, 5),
)
def test_gaps_that_are_filled_in_turns_and_in_any_order_are_one_row_each(counts, order, page):
    gaps = [(100 * number, 100 * number + count - 1) for number, count in enumerate(counts, start=1)]
    parts = [(first, min(first + page - 1, end)) for start, end in gaps for first in range(start, end + 1, page)]
    order.shuffle(parts)
    events = [opened(*gap, known_at=gap[0]) for gap in gaps]
    events += [closed(*part, known_at=10_000 + turn) for turn, part in enumerate(parts)]

    coverage = fold_events(events)

    assert coverage.gaps == ()
    assert sorted(rows(coverage.repaired)) == [
        (start, end, start, max(10_000 + turn for turn, part in enumerate(parts) if start <= part[0] <= end))
        for start, end in gaps
    ]
    closings = [span.closed_at for span in coverage.repaired]
    assert closings == sorted(closings)


@given(cut=st.integers(0, 30))
def test_folding_may_go_on_anywhere(cut):
    events = [opened(100 * n, 100 * n + 2, n) for n in range(1, 11)]
    events += [closed(100 * n + i, 100 * n + i, 50 + n) for n in range(1, 8) for i in range(3)]
    cut = min(cut, len(events))

    assert apply_events(fold_events(events[:cut]), events[cut:]) == fold_events(events)


def test_a_year_of_gaps_keeps_the_newest_and_says_how_many_it_let_go():
    count = MOST_REPAIRED + 500
    events = []
    for number in range(1, count + 1):
        events += [opened(10 * number, 10 * number + 1, number), closed(10 * number, 10 * number + 1, number)]

    coverage = fold_events(events)

    assert (len(coverage.repaired), coverage.forgotten) == (MOST_REPAIRED, 500)
    assert coverage.repaired[-1].from_id == 10 * count
    assert len(fold_events(events, most_repaired=count).repaired) == count


def test_a_span_counts_its_ids():
    assert Span(5, 9, 0, 0, 0, "stream").count == 5


def test_a_connection_that_takes_over_is_told_by_nothing():
    holdings = Holdings("X")
    holdings.join("ours")

    assert holdings.accept(7, 70, 7, 70)[0] is Verdict.NEW
