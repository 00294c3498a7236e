"""Which ids are held: every id is new, filled, a duplicate or before coverage, and nothing else."""

from hypothesis import given
from hypothesis import strategies as st

from ingestion.pipeline.coverage import fold_events, missing_ids
from ingestion.pipeline.holdings import Holdings, Verdict
from ingestion.pipeline.process import condense
from markets.types import DAY_MS


def accept(holdings, *ids, at=lambda trade_id: trade_id * 10):
    """Take the ids in; returns the verdicts and the events, ids standing for times too."""
    verdicts, events = [], []
    for trade_id in ids:
        verdict, told = holdings.accept(trade_id, at(trade_id), trade_id, at(trade_id))
        verdicts.append(verdict)
        events += told
    return verdicts, events


def ranges(spans):
    return [(span.from_id, span.to_id) for span in spans]


def test_the_first_want_counts_from_its_id_on_and_the_rest_is_a_gap():
    holdings = Holdings("X")
    events = holdings.want(10, 100, "start", 100)
    verdicts, told = accept(holdings, 14, 15)

    coverage = fold_events([*events, *told])

    assert verdicts == [Verdict.NEW, Verdict.NEW]
    assert ranges(coverage.gaps) == [(10, 13)]
    assert (coverage.gaps[0].from_time, coverage.gaps[0].to_time) == (100, 140)
    assert coverage.gaps[0].cause == "start"


def test_a_gap_is_split_filled_and_told_with_tight_times():
    holdings = Holdings("X")
    holdings.want(1, 0, "start", 0)
    _, events = accept(holdings, 1, 10, 5)

    coverage = fold_events(events)

    assert [(gap.from_id, gap.to_id, gap.from_time, gap.to_time) for gap in coverage.gaps] == [
        (2, 4, 10, 50),
        (6, 9, 50, 100),
    ]
    assert ranges(coverage.repaired) == [(5, 5)]


def test_below_the_first_id_is_before_coverage_and_a_lower_want_mends_it():
    holdings = Holdings("X")
    holdings.want(10, 0, "start", 0)
    accept(holdings, 10)

    assert accept(holdings, 9)[0] == [Verdict.BEFORE_COVERAGE]
    events = holdings.want(5, 0, "backfill", 0)
    assert accept(holdings, 9, 9)[0] == [Verdict.FILLED, Verdict.DUPLICATE]
    assert [event.kind for event in events] == ["segment_opened", "gap_opened"]
    assert holdings.want(7, 0, "backfill", 0) == []


def test_a_hole_leaves_the_gap_and_what_is_left_is_told_again():
    holdings = Holdings("X")
    opened = holdings.want(1, 0, "start", 0)
    _, events = accept(holdings, 1, 10)
    events += holdings.declare_hole(4, 5, "exchange", 100)

    coverage = fold_events([*opened, *events])

    assert ranges(coverage.gaps) == [(2, 3), (6, 9)]
    assert ranges(coverage.holes) == [(4, 5)]
    assert accept(holdings, 4)[0] == [Verdict.FILLED]


def test_a_day_of_silence_with_a_jump_ends_the_segment():
    holdings = Holdings("X")
    holdings.want(1, 0, "start", 0)
    accept(holdings, 1)
    _, events = accept(holdings, 90, at=lambda _: DAY_MS + 11)

    coverage = fold_events(events)

    # It ended with its last trade, and that is known since the next one.
    assert [(event.cause, event.to_time, event.known_at) for event in events[:1]] == [("silence", 10, DAY_MS + 11)]
    assert [segment.closed_at for segment in holdings.segments] == [10, None]
    assert coverage.gaps == ()
    assert [(segment.from_id, segment.to_id) for segment in coverage.segments] == [(1, 1), (90, None)]


def test_a_day_of_silence_without_a_jump_is_just_a_quiet_symbol():
    holdings = Holdings("X")
    holdings.want(1, 0, "start", 0)
    accept(holdings, 1)
    accept(holdings, 2, at=lambda _: 3 * DAY_MS)

    assert len(holdings.segments) == 1


def test_a_want_that_reaches_into_an_older_segment_joins_the_two():
    holdings = Holdings("X")
    told = holdings.want(1, 0, "start", 0)
    told += accept(holdings, 1, 2, 5)[1]
    told += holdings.close_segment(60)
    told += holdings.want(20, 200, "start", 200)
    told += accept(holdings, 20, 21)[1]
    told += holdings.want(4, 40, "backfill", 210)

    coverage = fold_events(told)

    assert len(holdings.segments) == len(coverage.segments) == 1
    assert ranges(coverage.gaps) == ranges(holdings.segments[0].gaps) == [(3, 4), (6, 19)]
    assert holdings.segments[0].lo == 1


def test_switched_on_again_where_it_ended_the_segment_goes_on():
    holdings = Holdings("X")
    told = holdings.want(1, 0, "start", 0)
    told += accept(holdings, 1, 2)[1]
    told += holdings.close_segment(30)
    assert (told[-1].cause, told[-1].to_time, told[-1].known_at) == ("unwatched", 30, 30)
    told += holdings.want(2, 40, "start", 45)
    told += accept(holdings, 5)[1]

    coverage = fold_events(told)

    assert ranges(coverage.gaps) == [(3, 4)]
    assert [(segment.covered_from, segment.covered_to) for segment in coverage.segments] == [(0, None)]


@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=80),
    st.integers(0, 20),
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 5)), max_size=3),
)
def test_in_any_order_with_doubles_the_account_equals_a_set_of_ids(ids, lowest, holes):
    """The oracle is a plain set; the readers' fold of the told events must agree with it too."""
    holdings = Holdings("X")
    events = holdings.want(lowest, 0, "start", 0)
    held: set[int] = set()
    for trade_id in ids:
        verdict, told = holdings.accept(trade_id, trade_id * 10, trade_id, 0)
        events += told
        if trade_id < lowest:
            assert verdict is Verdict.BEFORE_COVERAGE
        else:
            assert (verdict is Verdict.DUPLICATE) is (trade_id in held)
            held.add(trade_id)
    missing = set(range(lowest, max(held, default=lowest - 1) + 1)) - held
    for start, length in holes:
        events += holdings.declare_hole(start, start + length, "exchange", 0)
    declared = {trade_id for trade_id in missing if any(start <= trade_id <= start + length for start, length in holes)}

    coverage = fold_events(condense(events))

    assert ids_of(coverage.gaps) == missing - declared
    assert ids_of(coverage.holes) == declared
    assert missing_ids(coverage, 0, 10**6) == len(missing)
    for gap in coverage.gaps:
        assert gap.from_time <= gap.from_id * 10
        assert gap.to_time >= gap.to_id * 10


def ids_of(spans):
    return {trade_id for span in spans for trade_id in range(span.from_id, span.to_id + 1)}


def test_what_lies_between_all_the_segments_that_are_joined_is_missing():
    holdings = Holdings("X")
    for first in (10, 20, 30):
        holdings.want(first, first * 10, "start", first * 10)
        accept(holdings, first, first + 1)
        holdings.close_segment(first * 10 + 15)
    holdings.want(40, 400, "start", 400)
    accept(holdings, 40)

    holdings.want(5, 50, "backfill", 410)

    (segment,) = holdings.segments
    assert ranges(segment.gaps) == [(5, 9), (12, 19), (22, 29), (32, 39)]
    assert accept(holdings, 15, 25)[0] == [Verdict.FILLED, Verdict.FILLED]


def test_what_is_left_over_from_before_a_switch_off_fills_a_gap_or_changes_nothing():
    holdings = Holdings("X")
    holdings.want(1, 0, "start", 0)
    accept(holdings, 1, 2, 5)
    holdings.close_segment(100)

    assert accept(holdings, 2, 3, 9)[0] == [Verdict.DUPLICATE, Verdict.FILLED, Verdict.BEFORE_COVERAGE]
    assert len(holdings.segments) == 1


def test_a_trade_that_nobody_wanted_begins_a_segment_rather_than_being_lost():
    holdings = Holdings("X")
    holdings.want(1, 0, "start", 0)
    accept(holdings, 1)
    holdings.close_segment(100)

    assert accept(holdings, 50, 51)[0] == [Verdict.NEW, Verdict.NEW]
    assert [(segment.lo, segment.hi) for segment in holdings.segments] == [(1, 1), (50, 51)]


def test_an_id_taken_back_by_the_exchange_leaves_the_newest_fill_as_it_was():
    holdings = Holdings("X")
    holdings.accept(1, 10, 700, 10)
    holdings.accept(2, 20, -1, 20)

    assert holdings.open_segment().hi_fill == 700


def test_a_first_trade_long_before_the_coverage_does_not_end_it():
    holdings = Holdings("X")
    start = 3 * DAY_MS
    holdings.want(1, start, "start", start)
    accept(holdings, 1, at=lambda _: DAY_MS)

    _, events = accept(holdings, 5, at=lambda _: start + 10)

    assert [event.kind for event in events] == ["gap_opened"]


def test_wanted_further_back_before_its_first_trade_the_id_it_was_wanted_from_is_missing_with_those_below():
    """That id may be older than the coverage: a gap that began with it would have no bound below."""
    holdings = Holdings("X")
    events = holdings.want(10, 105, "start", 105) + holdings.want(4, 41, "backfill", 105)

    assert [(gap.from_id, gap.to_id, gap.from_time) for gap in fold_events(events).gaps] == [(4, 10, 41)]

    _, told = accept(holdings, *range(4, 10), 12)

    gaps = fold_events([*events, *told]).gaps
    assert [(gap.from_id, gap.to_id, gap.from_time, gap.cause) for gap in gaps][0] == (10, 10, 90, "backfill")
    assert ranges(gaps) == [(10, 10), (11, 11)]


def test_history_tells_which_empty_minutes_it_covers():
    holdings = Holdings("X")
    holdings.want(7, 900, "start", 900)
    accept(holdings, 7, at=lambda _: 300)

    (quiet,) = holdings.want(7, 400, "backfill", 950)
    assert (quiet.kind, quiet.from_time, quiet.to_time) == ("segment_opened", 400, 900)

    _, gap = holdings.want(3, 100, "backfill", 950)
    assert (gap.from_id, gap.to_id, gap.to_time) == (3, 6, 399)


def test_an_id_that_comes_beside_a_hole_bounds_it_better():
    holdings = Holdings("X")
    events = holdings.want(1, 0, "start", 0)
    events += accept(holdings, 1, 9)[1]
    events += [*holdings.declare_hole(2, 3, "exchange", 100), *holdings.declare_hole(7, 8, "exchange", 100)]
    assert missing_ids(fold_events(events), 50, 60) == 7

    events += accept(holdings, 5)[1]

    assert [(hole.from_time, hole.to_time) for hole in fold_events(events).holes] == [(10, 50), (50, 90)]
    assert [(hole.from_time, hole.to_time) for hole in holdings.segments[0].holes] == [(10, 50), (50, 90)]
    assert missing_ids(fold_events(events), 51, 60) == holdings.missing_between(51, 60) == 3


def test_a_hole_that_is_told_again_stays_proved():
    holdings = Holdings("X")
    events = holdings.want(1, 0, "start", 0)
    events += accept(holdings, 1, 9)[1]
    events += [*holdings.declare_hole(2, 3, "exchange", 100), *holdings.prove(2, 3, 110)]

    events += accept(holdings, 5)[1]

    (hole,) = fold_events(events).holes
    assert (hole.proved, hole.opened_at, hole.asked_at, hole.to_time) == (True, 90, 100, 50)


def test_what_is_proved_of_a_hole_is_not_missing_any_more():
    holdings = Holdings("X")
    told = holdings.want(1, 0, "start", 0)
    told += accept(holdings, 1, 10)[1]
    told += holdings.declare_hole(2, 9, "not_served", 100)
    told += accept(holdings, 5)[1]

    proved = holdings.prove(4, 7, 110)

    coverage = fold_events([*told, *proved])
    assert [(event.kind, event.from_id, event.to_id) for event in proved] == [
        ("hole_proved", 4, 4),
        ("hole_proved", 6, 7),
    ]
    assert [(hole.from_id, hole.to_id, hole.proved) for hole in coverage.holes] == [
        (2, 3, False),
        (4, 4, True),
        (6, 7, True),
        (8, 9, False),
    ]
    assert missing_ids(coverage, 0, 200) == holdings.missing_between(0, 200) == 4
    assert holdings.prove(4, 7, 120) == []


def test_a_hole_proved_wholly_leaves_nothing_unknown():
    holdings = Holdings("X")
    holdings.want(1, 0, "start", 0)
    accept(holdings, 1, 10)
    holdings.declare_hole(2, 9, "not_served", 100)

    holdings.prove(2, 9, 110)

    assert not holdings.is_unknown(20, 80)
    assert accept(holdings, 5)[0] == [Verdict.FILLED]
