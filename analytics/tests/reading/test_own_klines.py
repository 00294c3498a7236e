"""The exchange's own candle of an interval above 1m, or of a second, beside ours: the verdict is derived on read."""

import pytest

from analytics.reading.candles import candle_json, read_candles
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
    segment,
    span,
    trade,
)
from ingestion.pipeline.records import CoverageKind
from ingestion.pipeline.window import roll_up
from markets.types import SCALE, Interval

pytestmark = pytest.mark.django_db

MINUTES = [closed(candle(TEN + place * MINUTE, (place * 10, place * 10 + 9)), state="certified") for place in range(60)]


def whole(interval=Interval.M15, place=0, minutes=MINUTES):
    return roll_up([record.candle for record in minutes], interval)[place]


def theirs(interval=Interval.M15, place=0, source="rest", **other):
    """The exchange's candle as REST gives it: without fill ids."""
    return kline_of(whole(interval, place), source=source, **({"first_fill_id": -1, "last_fill_id": -1} | other))


def started(stage, *records, covered_from=TEN, newest=9_999):
    end = TEN + HOUR
    return stage.tell(segment(0, covered_from), live(end + 1000, end, last_trade_id=newest), *records)


def states(stage, interval=Interval.M15):
    return [view.state for view in read_candles(BTC, interval, view=stage.view).candles]


@pytest.mark.parametrize("is_sunk", [False, True])
@pytest.mark.parametrize("interval", [Interval.M15, Interval.H1])
def test_an_equal_kline_certifies_whatever_the_minutes_say(stage, interval, is_sunk):
    unknown = [closed(record.candle) for record in MINUTES]
    started(stage, *unknown).sink().tell(theirs(interval))
    stage.sink() if is_sunk else None

    assert states(stage, interval)[0] == "certified"
    assert set(states(stage, interval)[1:]) <= {"closed"}


@pytest.mark.parametrize("is_sunk", [False, True])
def test_a_different_kline_disputes_though_every_minute_is_certified(stage, is_sunk):
    started(stage, *MINUTES).sink().tell(theirs(volume=7))
    stage.sink() if is_sunk else None

    first, *rest = read_candles(BTC, Interval.M15, view=stage.view).candles
    shape = candle_json(first)

    assert (shape["state"], shape["difference"]) == ("disputed", {"volume": ["150.00000000", "0.00000007"]})
    assert "disputed_minutes" not in shape
    assert [view.state for view in rest] == ["certified"] * 3


def test_a_kline_of_another_interval_says_nothing(stage):
    started(stage, *MINUTES).tell(theirs(Interval.H1, volume=7)).sink()

    assert states(stage, Interval.M15) == ["certified"] * 4
    assert states(stage, Interval.M30) == ["certified"] * 2
    assert states(stage, Interval.H1) == ["disputed"]


def test_an_open_gap_explains_the_difference_and_the_verdict_waits(stage):
    gap = span(CoverageKind.GAP_OPENED, (5, 6), (TEN, TEN + 1_000))
    started(stage, *MINUTES, gap).tell(theirs(volume=7)).sink()

    assert states(stage)[0] == "closed"


def test_a_hole_explains_nothing(stage):
    hole = span(CoverageKind.HOLE, (5, 6), (TEN, TEN + 1_000))
    started(stage, *MINUTES, hole).tell(theirs(volume=7), theirs(place=1)).sink()

    assert states(stage)[:2] == ["disputed", "certified"]


def test_a_hole_in_a_bucket_that_equals_the_exchanges_is_no_loss(stage):
    hole = span(CoverageKind.HOLE, (5, 6), (TEN, TEN + 1_000))
    started(stage, *MINUTES, hole).sink()
    before = states(stage)[0]
    stage.tell(theirs())

    [first, *_] = read_candles(BTC, Interval.M15, view=stage.view).candles

    assert (before, first.state, first.missing) == ("closed", "certified", 0)


def test_what_was_fetched_a_moment_ago_may_not_be_in_its_minute_yet(stage):
    end = TEN + HOUR
    gap = span(CoverageKind.GAP_OPENED, (150, 160), (TEN + 14 * MINUTE, TEN + 16 * MINUTE))
    filled = span(CoverageKind.GAP_CLOSED, (150, 160), (TEN + 14 * MINUTE, TEN + 16 * MINUTE))
    filled = type(filled)(**{name: getattr(filled, name) for name in filled.__struct_fields__} | {"known_at": end})
    started(stage, *MINUTES, gap, filled).tell(theirs(volume=7)).sink()
    before = states(stage)[0]

    stage.tell(live(end + 2 * MINUTE, end))

    assert (before, states(stage)[0]) == ("closed", "disputed")


def test_a_kline_that_is_ahead_of_its_trades_waits_for_them(stage):
    last = whole(place=3)
    more = theirs(place=3, trades=last.trades + 1, volume=last.volume + SCALE)
    started(stage, *MINUTES, newest=last.last_trade_id).tell(more).sink()
    before = states(stage)[3]
    stage.tell(live(TEN + HOUR + 2_000, TEN + HOUR, last_trade_id=last.last_trade_id + 1))

    assert (before, states(stage)[3]) == ("certified", "disputed")


def test_a_bucket_that_is_not_wholly_covered_is_partial_unless_it_equals_the_kline(stage):
    unknown = [closed(record.candle) for record in MINUTES]
    started(stage, *unknown, covered_from=TEN + 20 * MINUTE).tell(
        theirs(volume=7), theirs(place=1, source="archive")
    ).sink()

    assert states(stage) == ["partial", "certified", "closed", "closed"]


def test_a_disputed_minute_does_not_spoil_a_bucket_that_equals_the_exchanges(stage):
    disputed = closed(MINUTES[3].candle, state="disputed", difference={"volume": ["1", "2"]})
    started(stage, *MINUTES[:3], disputed, *MINUTES[4:]).sink()
    before = states(stage)[0]
    stage.tell(theirs())

    assert (before, states(stage)[0]) == ("disputed", "certified")


def test_the_running_bucket_is_forming_whatever_is_reported_of_it(stage):
    stage.tell(segment(0, TEN), live(TEN + 10 * MINUTE, TEN + 10 * MINUTE), *MINUTES[:10]).tell(theirs(closed=False))

    page = read_candles(BTC, Interval.M15, forming=True, view=stage.view)

    assert [view.state for view in page.candles] == ["forming"]


def test_a_second_has_its_own_verdict(stage):
    made = [enriched(trade(number, TEN + number * 1_000)) for number in range(3)]
    started(stage, *made, closed(candle(TEN, (0, 2)))).sink()
    seconds = [view.candle for view in read_candles(BTC, Interval.S1, limit=3, start=TEN, view=stage.view).candles]
    stage.tell(kline_of(seconds[0]), kline_of(seconds[1], close=1)).sink()

    views = read_candles(BTC, Interval.S1, start=TEN, limit=3, view=stage.view).candles

    assert [view.state for view in views] == ["certified", "disputed", "closed"]


def test_of_two_reports_rest_and_then_the_later_one_counts(stage):
    started(stage, *MINUTES)
    stage.tell(theirs(volume=7, event_time=TEN + HOUR), theirs(event_time=TEN + HOUR + 10_000))
    stage.tell(theirs(volume=8, source="binance"), theirs(volume=9, event_time=TEN + HOUR + 5_000))
    before = states(stage)[0]
    stage.sink()

    assert (before, states(stage)[0]) == ("certified", "certified")
