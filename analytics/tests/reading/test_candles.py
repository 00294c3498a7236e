import pytest

from analytics.reading import coverage
from analytics.reading.candles import all_minutes, candle_json, read_candles
from analytics.reading.cursor import split_seq
from analytics.tests.samples import BTC, HOUR, MINUTE, TEN, candle, closed, enriched, live, segment, span, trade
from ingestion.log import topics
from ingestion.pipeline.records import CoverageKind
from ingestion.pipeline.window import empty_candle, roll_up
from markets.types import SCALE, Interval

pytestmark = pytest.mark.django_db

GAP = CoverageKind.GAP_OPENED


def minute(place, price=100, **other):
    """The closed minute at ``place`` (0: ten o'clock) with the ten ids of its own."""
    return closed(candle(TEN + place * MINUTE, (place * 10, place * 10 + 9), price * SCALE), **other)


def quiet(place, price=0):
    return closed(empty_candle(BTC, Interval.M1, TEN + place * MINUTE, price * SCALE))


def started(stage, minutes, **other):
    """A symbol covered from ten o'clock whose first ``minutes`` minutes are closed."""
    end = TEN + minutes * MINUTE
    return stage.tell(segment(0, TEN), live(end + 1000, end, last_trade_id=minutes * 10 - 1, **other))


def read(stage, interval=Interval.M1, **asked):
    return read_candles(BTC, interval, view=stage.view, **asked)


def opens(page):
    return [(view.open_time - TEN) // MINUTE for view in page.candles]


def test_candles_of_the_log_and_of_the_tables_are_one_page(stage):
    started(stage, 4).tell(minute(0), minute(1)).sink().tell(minute(2), minute(3))

    page = read(stage)

    assert opens(page) == [0, 1, 2, 3]
    assert [view.state for view in page.candles] == ["closed"] * 4
    assert len(stage.view.unsunk_candles(BTC)) == 2


@pytest.mark.parametrize("sunk", [0, 1, 2, 3])
def test_the_answer_does_not_depend_on_how_far_the_sink_is(stage, sunk):
    records = [minute(0), minute(1, state="certified"), minute(2, 105)]
    started(stage, 3).tell(*records[:sunk]).sink().tell(*records[sunk:])

    pages = [[candle_json(v) for v in read(stage, interval).candles] for interval in ("1m", "3m")]

    assert [row["state"] for row in pages[0]] == ["closed", "certified", "closed"]
    assert [(row["open"], row["close"], row["trades"]) for row in pages[1]] == [
        ("100.00000000", "105.00000000", 30)
    ]


def test_the_higher_revision_wins_wherever_it_is(stage):
    better = closed(candle(TEN, (0, 9), 107 * SCALE), reason="late")
    worse = closed(candle(TEN, (0, 8), 100 * SCALE))
    started(stage, 2).tell(better).sink().tell(worse)

    page = read(stage)

    assert [view.candle.revision for view in page.candles] == [10]


def test_a_verdict_counts_only_for_the_revision_it_compared(stage):
    certified = closed(candle(TEN, (0, 8)), state="certified")
    late = closed(candle(TEN, (0, 9)), reason="late")
    started(stage, 1).tell(certified, late)

    before = read(stage).candles[0].state
    stage.sink()
    after = read(stage).candles[0].state

    assert (before, after) == ("closed", "closed")


def test_a_verdict_on_the_stored_revision_is_kept(stage):
    started(stage, 1).tell(minute(0)).sink().tell(minute(0, state="certified", reason="verdict"))

    assert read(stage).candles[0].state == "certified"


def test_an_hour_is_certified_when_all_its_minutes_are_and_no_gap_touches_it(stage):
    minutes = [minute(place, state="certified") for place in range(120)]
    started(stage, 120).tell(*minutes).sink()
    gap = span(GAP, (1195, 1196), (TEN + 119 * MINUTE, TEN + 119 * MINUTE + 30))

    before = read(stage, Interval.H1).candles
    stage.tell(gap)
    after = read(stage, Interval.H1).candles

    assert [(view.state, view.missing) for view in before] == [("certified", 0), ("certified", 0)]
    assert [(view.state, view.missing) for view in after] == [("certified", 0), ("closed", 2)]


def test_an_hour_with_one_uncertified_minute_is_closed(stage):
    minutes = [minute(place, state="closed" if place == 7 else "certified") for place in range(60)]
    started(stage, 60).tell(*minutes).sink()

    assert [view.state for view in read(stage, Interval.H1).candles] == ["closed"]


def test_a_hole_explains_no_difference_because_nothing_more_will_come(stage):
    hole = span(CoverageKind.HOLE, (3, 4), (TEN + 10, TEN + 20))
    started(stage, 1).tell(hole, minute(0, state="disputed", difference={"volume": ["1", "2"]}, missing=2))

    (view,) = read(stage).candles

    assert (view.state, view.missing) == ("disputed", 2)


def test_a_disputed_minute_says_how_it_differs_and_names_itself_in_the_hour(stage):
    difference = {"close": ["100.00000000", "101.00000000"]}
    minutes = [minute(place) for place in range(59)]
    started(stage, 60).tell(*minutes, minute(59, state="disputed", difference=difference)).sink()

    own = candle_json(read(stage).candles[-1])
    hour = candle_json(read(stage, Interval.H1).candles[0])

    assert (own["state"], own["difference"]) == ("disputed", difference)
    assert (hour["state"], hour["disputed_minutes"]) == ("disputed", (TEN + 59 * MINUTE,))


def test_a_dispute_waits_while_an_open_gap_explains_it(stage):
    gap = span(GAP, (3, 4), (TEN, TEN + 10))
    started(stage, 1).tell(minute(0, state="disputed", difference={}), gap)

    assert (read(stage).candles[0].state, read(stage).candles[0].missing) == ("closed", 2)


def test_a_bucket_that_begins_before_the_segment_is_partial(stage):
    started(stage, 60).tell(*[minute(place) for place in range(-5, 60)])

    minutes = read(stage, limit=1000).candles
    quarter = read(stage, Interval.M30).candles

    assert [view.state for view in minutes[:6]] == ["partial"] * 5 + ["closed"]
    assert [view.missing for view in minutes[:6]] == [None] * 5 + [0]
    assert [view.state for view in quarter] == ["partial", "closed", "closed"]


def test_the_ids_of_a_candle_prove_what_it_misses(stage):
    lossy = closed(candle(TEN, (0, 9), agg_trades=7))
    started(stage, 1).tell(lossy)

    assert read(stage).candles[0].missing == 3


@pytest.mark.parametrize("sunk", [True, False])
def test_ids_that_were_declared_invalid_are_not_missing(stage, sunk):
    taken_back = [enriched(trade(n, TEN + n, 0, 0, first_id=-1, last_id=-1)) for n in (4, 5)]
    told = closed(candle(TEN, (0, 9), agg_trades=8), missing=0)
    started(stage, 3).tell(told, minute(1), minute(2), *taken_back)
    if sunk:
        stage.sink()

    assert [view.missing for view in read(stage).candles] == [0, 0, 0]
    assert [view.missing for view in read(stage, Interval.M3).candles] == [0]


def test_an_empty_minute_is_flat_at_the_last_close_and_unknown_ones_have_no_row(stage):
    gap = span(GAP, (10, 12), (TEN + 2 * MINUTE, TEN + 3 * MINUTE - 1))
    started(stage, 4).tell(minute(0, 104), quiet(1), quiet(2), gap, minute(3))

    page = read(stage)
    row = candle_json(page.candles[1])

    assert opens(page) == [0, 1, 3]
    assert (row["open"], row["close"], row["vwap"], row["first_trade_id"]) == ("104.00000000",) * 2 + (None, None)
    assert (row["agg_trades"], row["revision"], row["volatility"], row["state"]) == (0, 0, 0.0, "closed")


def test_an_empty_first_row_takes_the_close_before_it(stage):
    started(stage, 3).tell(minute(0, 104)).sink().tell(quiet(1), quiet(2))

    page = read(stage, start=TEN + 2 * MINUTE)

    assert [view.candle.close for view in page.candles] == [104 * SCALE]


def test_empty_buckets_are_left_out_on_request(stage):
    started(stage, 4).tell(minute(0), quiet(1)).sink().tell(quiet(2), minute(3))

    assert opens(read(stage, with_empty=False)) == [0, 3]
    assert opens(read(stage, with_empty=False, limit=1)) == [3]


def test_the_running_bucket_is_answered_only_when_it_is_asked_for(stage):
    running = candle(TEN + 2 * MINUTE, (20, 24), 108 * SCALE)
    started(stage, 2, candle=running).tell(minute(0), minute(1)).sink()

    closed_only = [view.state for view in read(stage).candles]
    minutes = read(stage, forming=True)
    three = read(stage, Interval.M3, forming=True)

    assert closed_only == ["closed", "closed"]
    assert [view.state for view in minutes.candles] == ["closed", "closed", "forming"]
    assert [(v.state, v.candle.agg_trades, v.candle.close) for v in three.candles] == [("forming", 25, 108 * SCALE)]
    assert read(stage, Interval.M3).candles == []


def test_the_place_never_passes_a_running_bucket(stage):
    running = candle(TEN + 2 * MINUTE, (20, 24))
    started(stage, 2, candle=running).tell(minute(0), minute(1))

    assert read(stage, forming=True).place == TEN + 2 * MINUTE
    assert read(stage).place == TEN + 2 * MINUTE
    assert read(stage, Interval.H1, forming=True).place == TEN


def test_a_minute_that_closed_after_the_live_record_is_not_counted_twice(stage):
    running = candle(TEN + MINUTE, (10, 12))
    started(stage, 1, candle=running).tell(minute(0)).sink()
    # The tail has not seen it, the sink has: as when a web process lags.
    stage.tell(closed(candle(TEN + MINUTE, (10, 19)), reason="late")).sink()

    page = read(stage, Interval.M3, forming=True)

    assert [view.candle.agg_trades for view in page.candles] == [20]


def test_pages_walk_over_everything_once(stage):
    started(stage, 10).tell(*[minute(place) for place in range(6)]).sink()
    stage.tell(*[minute(place) for place in range(6, 10)])

    seen, start = [], TEN - HOUR
    while True:
        page = read(stage, start=start, limit=4)
        seen += opens(page)
        start = page.place
        if not page.more:
            break

    assert seen == list(range(10))


def test_without_a_start_the_last_rows_come_in_ascending_order(stage):
    started(stage, 10).tell(*[minute(place) for place in range(10)]).sink()

    assert opens(read(stage, limit=3)) == [7, 8, 9]
    assert opens(read(stage, limit=3, end=TEN + 5 * MINUTE)) == [2, 3, 4]


def test_rows_beyond_a_long_silence_are_reached_from_both_sides(stage):
    day = 24 * 60
    stage.tell(segment(0, TEN), live(TEN + 100 * day * MINUTE + 1, TEN + 100 * day * MINUTE))
    stage.tell(minute(0), minute(1), minute(99 * day)).sink()

    assert opens(read(stage, limit=3)) == [0, 1, 99 * day]
    assert opens(read(stage, limit=3, start=0)) == [0, 1, 99 * day]


def test_the_seq_is_where_everything_newer_is_found(stage):
    started(stage, 3).tell(minute(0), minute(1)).sink().tell(minute(2))

    epoch, offset = split_seq(read(stage).seq)

    topic = topics.CANDLES_1M.name
    assert (epoch, offset) == (stage.log.epoch(topic), stage.log.end_offset(topic, 0))


@pytest.mark.parametrize("interval", [i for i in Interval if i not in (Interval.S1, Interval.M1)])
def test_every_interval_is_the_pipelines_merge_of_its_minutes(stage, interval):
    # Sparse minutes over three months, some of them empty, half of them not stored yet.
    places = [place * 997 for place in range(130)]
    records = [quiet(p, 100) if p % 5 == 0 else minute(p, 100 + p % 17) for p in places]
    end = TEN + 131 * 997 * MINUTE
    stage.tell(segment(0, TEN), live(end, end), *records[::2]).sink().tell(*records[1::2])

    page = read(stage, interval, limit=5000, forming=True)

    expected = roll_up([record.candle for record in records], interval)
    held = [view.candle for view in page.candles if view.candle.agg_trades]
    assert held == [made for made in expected if made.agg_trades]


def test_seconds_are_folded_from_trades_wherever_they_are(stage):
    trades = [enriched(trade(n, TEN + n * 700, (100 + n) * SCALE)) for n in range(6)]
    started(stage, 1).tell(minute(0), *trades[:3]).sink().tell(*trades[3:])

    page = read(stage, Interval.S1, end=TEN + 6000)

    assert [(view.open_time - TEN) // 1000 for view in page.candles] == [0, 1, 2, 3, 4, 5]
    assert [view.candle.agg_trades for view in page.candles] == [2, 1, 2, 1, 0, 0]
    assert [view.candle.close // SCALE for view in page.candles] == [101, 102, 104, 105, 105, 105]
    assert {view.state for view in page.candles} == {"closed"}


def test_a_symbol_without_data_has_an_empty_page(stage):
    page = read(stage)

    assert (page.candles, page.more, page.clock) == ([], False, None)


ASKED = [
    {},
    {"limit": 2},
    {"start": TEN},
    {"start": TEN + MINUTE, "end": TEN + 3 * MINUTE},
    {"start": TEN, "limit": 2},
    {"start": TEN + 20_000},
    {"end": TEN + 2 * MINUTE + 1},
    {"with_empty": False, "forming": True},
]


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("interval", ["1m", "3m"])
def test_the_ids_of_a_range_are_the_same_from_its_page_and_from_the_tables(stage, asked, interval):
    started(stage, 5).tell(minute(0), minute(1), quiet(2), minute(3)).sink().tell(minute(4))

    page = read(stage, interval, **asked)

    assert coverage.ids_in(page.snapshot, page.span, all_minutes(page)) == coverage.ids_in(page.snapshot, page.span)


@pytest.mark.parametrize("asked", [{"limit": 3}, {"start": TEN, "end": TEN + 3 * MINUTE}])
def test_a_page_of_minutes_tells_the_ids_of_its_range(stage, asked):
    started(stage, 3).tell(minute(0), minute(1), minute(2)).sink()

    page = read(stage, **asked)

    assert [candle.first_trade_id for candle in all_minutes(page)] == [0, 10, 20]
    assert all_minutes(read(stage, start=TEN, limit=2)) is None
