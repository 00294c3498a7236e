"""What the exchange reports of 15m, 1h and 1d beside what our minutes add up to."""

import random
from functools import partial

import pytest
from structlog.testing import capture_logs

from analytics import metrics
from analytics.candles.check import check
from analytics.candles.rebuild import rebuild_dirty
from analytics.candles.rollup import roll_up_dirty
from analytics.candles.store import CoverageBook
from analytics.models import Dirty
from analytics.sink.load import load
from analytics.sink.tables import ROUTES
from analytics.tests.samples import BTC, HOUR, MINUTE, TEN, candle, closed, kline_of, live, put, segment, span
from ingestion.pipeline.records import CoverageKind
from ingestion.pipeline.window import roll_up
from markets.types import Interval

pytestmark = pytest.mark.django_db(transaction=True)

MINUTES = [candle(TEN + place * MINUTE, (place * 2, place * 2 + 1)) for place in range(60)]


@pytest.fixture
def store(clickhouse, log):
    """An hour of minutes, stored, that closed some time ago."""
    put(log, segment(0, TEN), live(TEN + 2 * HOUR, TEN + 2 * HOUR, last_trade_id=999), *map(closed, MINUTES))
    sink_all(log)
    Dirty.objects.all().delete()
    return log


def sink_all(log):
    for topic in ROUTES:
        load(log, topic, 0, max_rows=20_000, chance=random.Random(1))


def theirs(interval, place=0, **other):
    whole = roll_up(MINUTES, interval)[place]
    return kline_of(whole, **{"source": "rest", "first_fill_id": -1, "last_fill_id": -1} | other)


def told(log, *klines):
    """What the check says once the klines are stored: (interval, open time, the fields that differ)."""
    put(log, *klines)
    sink_all(log)
    Dirty.objects.update(not_before=None)
    before = {name: metrics.DISPUTED.labels(name)._value.get() for name in ("15m", "1h", "1d")}
    with capture_logs() as lines:
        roll_up_dirty(check=partial(check, log, CoverageBook()))
    after = {name: metrics.DISPUTED.labels(name)._value.get() for name in before}
    found = [(line["interval"], line["open_time"], sorted(line["fields"])) for line in lines if "fields" in line]
    assert sum(after.values()) - sum(before.values()) == len(found)
    return found


def test_equal_candles_are_nothing_to_tell(store):
    klines = [theirs(Interval.M15, place) for place in range(4)]

    assert told(store, *klines, theirs(Interval.H1)) == []
    assert not Dirty.objects.exists()


def test_a_difference_is_counted_and_named(store):
    assert told(store, theirs(Interval.M15, 1, close=7), theirs(Interval.H1, trades=1, volume=2)) == [
        ("15m", TEN + 15 * MINUTE, ["close"]),
        ("1h", TEN, ["trades", "volume"]),
    ]
    assert not Dirty.objects.exists()


def test_a_corrected_minute_is_checked_again(store):
    last = MINUTES[-1]
    whole = candle(last.open_time, (118, 120))
    theirs_now = kline_of(roll_up([*MINUTES[:-1], whole], Interval.H1)[0], source="rest", first_fill_id=-1)
    assert [interval for interval, _, _ in told(store, theirs_now)] == ["1h"]

    assert told(store, closed(whole, reason="late")) == []
    assert [interval for interval, _, _ in told(store, closed(candle(last.open_time, (118, 121)), reason="late"))] == [
        "1h"
    ]


def test_what_a_gap_explains_is_no_difference(store):
    gap = span(CoverageKind.GAP_OPENED, (5, 6), (TEN, TEN + 1_000))

    assert told(store, gap, theirs(Interval.H1, volume=7)) == []


def test_a_bucket_whose_minutes_are_on_their_way_waits_for_them(store):
    put(store, closed(candle(TEN, (0, 2)), reason="late"))
    load(store, "prices-1h", 0, max_rows=9, chance=random.Random(1))
    put(store, theirs(Interval.H1))
    load(store, "prices-1h", 0, max_rows=9, chance=random.Random(1))

    assert check(store, CoverageBook(), Interval.H1, BTC, [TEN]) == {TEN}
    assert Dirty.objects.filter(interval="1h").count() == 1


def test_a_symbol_without_trades_is_nothing_to_compare(clickhouse, log):
    assert told(log, theirs(Interval.H1)) == []
    assert not Dirty.objects.exists()


def test_a_minute_that_is_dirty_holds_its_hour_back(store):
    put(store, theirs(Interval.H1, volume=7))
    sink_all(store)
    Dirty.objects.create(symbol=BTC, interval="1m", open_time=TEN + MINUTE, gen=1)

    assert told(store) == []
    assert Dirty.objects.get(interval="1h").tries == 1

    rebuild_dirty(store, CoverageBook())
    Dirty.objects.filter(interval="1m").delete()
    assert [interval for interval, _, _ in told(store)] == ["1h"]
