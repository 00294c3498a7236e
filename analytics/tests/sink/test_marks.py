import pytest

from analytics.models import Dirty
from analytics.sink import marks, positions
from analytics.sink.marks import Mark, Marks, Minutes
from analytics.sink.positions import mark_dirty
from analytics.tests.samples import BTC, HOUR, MINUTE, TEN, candle, closed, kline_of, span
from ingestion.pipeline.records import CoverageKind

CLOSED = CoverageKind.GAP_CLOSED


def test_spans_that_touch_become_one():
    events = [
        span(CLOSED, (5, 6), (TEN + 3 * MINUTE, TEN + 4 * MINUTE)),
        span(CLOSED, (1, 2), (TEN + 1, TEN + 2)),
        span(CLOSED, (3, 4), (TEN + 3, TEN + MINUTE)),
    ]

    assert list(marks.of_coverage(events)) == [
        Minutes(BTC, TEN, TEN + MINUTE),
        Minutes(BTC, TEN + 3 * MINUTE, TEN + 4 * MINUTE),
    ]


def test_an_opened_gap_makes_nothing_dirty():
    assert list(marks.of_coverage([span(CoverageKind.GAP_OPENED, (1, 2), (TEN, TEN))])) == []


def test_empty_history_gets_its_minutes():
    opened = [span(CoverageKind.SEGMENT_OPENED, (1, None), (TEN, to)) for to in (None, TEN + 2 * MINUTE)]

    assert list(marks.of_coverage(opened)) == [Minutes(BTC, TEN, TEN + MINUTE)]


def test_the_day_follows_its_last_minute():
    midnight = TEN - 10 * HOUR
    last = closed(candle(midnight - MINUTE, (1, 2)))

    assert list(marks.parents([last], {BTC: midnight - MINUTE})) == [
        Mark(BTC, "15m", midnight - 15 * MINUTE),
        Mark(BTC, "1h", midnight - HOUR),
        Mark(BTC, "1d", midnight - 24 * HOUR),
    ]


def test_klines_ask_for_what_only_a_rebuild_can_compare():
    minute, hour = candle(TEN, (1, 2)), candle(TEN, (1, 2), interval="1h")
    klines = [kline_of(minute), kline_of(minute, recheck=True), kline_of(hour), kline_of(hour, closed=False)]

    assert list(marks.of_klines(klines)) == [Mark(BTC, "1m", TEN), Mark(BTC, "1h", TEN)]


def test_a_mark_tells_when_what_asked_for_it_came():
    assert positions.arrived_ms(positions.new_gen(TEN)) == TEN
    assert positions.new_gen(TEN) != positions.new_gen(TEN)


@pytest.mark.django_db
def test_a_year_of_minutes_is_marked_by_one_statement(django_assert_num_queries):
    year = Minutes(BTC, TEN, TEN + 365 * 24 * HOUR - MINUTE)

    with django_assert_num_queries(1):
        mark_dirty(Marks(spans=[year], trades_to=9))

    assert Dirty.objects.count() == 365 * 24 * 60
    assert set(Dirty.objects.values_list("trades_to", "gen").distinct()) == {(9, Dirty.objects.first().gen)}


@pytest.mark.django_db
def test_a_span_over_marked_buckets_marks_them_anew():
    mark_dirty(Marks([Mark(BTC, "1m", TEN)]))
    Dirty.objects.update(claim="x", tries=4)
    before = Dirty.objects.get().gen

    mark_dirty(Marks(spans=[Minutes(BTC, TEN, TEN + MINUTE)]))

    first, _ = Dirty.objects.order_by("open_time")
    assert first.gen != before
    assert (first.claim, first.tries) == ("", 0)
