"""A larger candle that differs is noted, its kline is asked for again, and what was provisional gives way."""

import random
from concurrent.futures import Future
from functools import partial

import msgspec
import pytest
from structlog.testing import capture_logs

from analytics.candles.check import check
from analytics.candles.rollup import roll_up_dirty
from analytics.candles.store import CoverageBook
from analytics.models import Dirty
from analytics.reading.minutes import own_klines
from analytics.reading.reports import best_reports, rank_of
from analytics.reading.stored import Span
from analytics.tests.candles.test_check import MINUTES, sink_all, theirs
from analytics.tests.samples import BTC, HOUR, MINUTE, TEN, candle, closed, live, put, segment, span
from ingestion.klines.larger import load_disputed
from ingestion.klines.role import IngestKlines
from ingestion.klines.surroundings import Surroundings
from ingestion.klines.track import Policy
from ingestion.log import codec
from ingestion.log.topics import PRICES
from ingestion.models import DisputedCandle
from ingestion.pipeline.records import CoverageKind
from ingestion.tests.klines.world import Streams
from markets.types import Interval

pytestmark = pytest.mark.django_db(transaction=True)

NOW = TEN + 2 * HOUR
QUARTERS = {(BTC, Interval.M15): {TEN}}


@pytest.fixture
def store(clickhouse, log):
    """An hour of minutes, stored, that closed some time ago."""
    put(log, segment(0, TEN), live(NOW, NOW, last_trade_id=999), *map(closed, MINUTES))
    sink_all(log)
    Dirty.objects.all().delete()
    return log


def compare(log, *items):
    """Store these and compare what they touch; how many candles the worker tells of."""
    put(log, *items)
    sink_all(log)
    Dirty.objects.update(not_before=None)
    with capture_logs() as lines:
        roll_up_dirty(check=partial(check, log, CoverageBook()))
    return sum("fields" in line for line in lines)


def test_what_differs_is_noted_and_told_once(store):
    assert compare(store, theirs(Interval.M15, volume=7), theirs(Interval.M15, 1)) == 1
    assert load_disputed([BTC]) == QUARTERS

    assert compare(store, theirs(Interval.M15, volume=7)) == 0
    assert load_disputed([BTC]) == QUARTERS


def test_the_note_goes_when_the_exchange_says_otherwise(store):
    compare(store, theirs(Interval.M15, volume=7), theirs(Interval.H1, volume=7))

    compare(store, theirs(Interval.M15, event_time=NOW))

    assert load_disputed([BTC]) == {(BTC, Interval.H1): {TEN}}


def test_the_note_goes_when_a_gap_explains_it(store):
    compare(store, theirs(Interval.M15, volume=7))

    compare(store, span(CoverageKind.GAP_OPENED, (5, 6), (TEN, TEN + 1_000)), theirs(Interval.M15, volume=7))

    assert load_disputed([BTC]) == {}


def test_a_difference_that_comes_back_is_told_again(store):
    last = MINUTES[-1].open_time
    assert compare(store, theirs(Interval.M15, 3)) == 0
    assert compare(store, closed(candle(last, (118, 120)), reason="late")) == 1
    assert compare(store, theirs(Interval.M15, 3, volume=61 * 10**8, event_time=NOW)) == 0

    assert load_disputed([BTC]) == {(BTC, Interval.M15): {TEN + 45 * MINUTE}}
    assert DisputedCandle.objects.count() == 1


@pytest.mark.parametrize("turned", [False, True])
def test_of_two_rest_reports_the_later_asked_counts_in_whatever_order_they_are_stored(store, turned):
    early, late = (theirs(Interval.H1, trades=count, event_time=NOW + count) for count in (3, 4))
    archive = theirs(Interval.H1, source="archive", event_time=NOW + 9)
    stream = theirs(Interval.H1, source="binance", event_time=NOW + 9)
    told = [early, late, archive, stream]
    for kline in reversed(told) if turned else told:
        put(store, kline)
        sink_all(store)

    assert [k.trades for k in best_reports(reversed(told) if turned else told).values()] == [4]
    assert own_klines(BTC, Interval.H1, Span(TEN, TEN + 1))[TEN].trades == 4
    assert sorted(told, key=rank_of) == [archive, stream, early, late]


# --- together with the role ----------------------------------------------------------------------------


class Exchange:
    """REST that has come to know the whole hour."""

    def __init__(self):
        self.asked = []

    def server_time(self):
        return NOW

    def learn_limits(self, symbol):
        pass

    def klines(self, symbol, interval, *, start_time, end_time, limit):
        self.asked.append((interval, start_time))
        rows = [theirs(Interval(interval), event_time=TEN + HOUR - 1)] if interval == "1h" else []
        return [row for row in rows if start_time <= row.open_time <= end_time]


class AtOnce:
    def submit(self, call, *args):
        future = Future()
        future.set_result(call(*args))
        return future

    def shutdown(self, **_):
        pass


class Role:
    """``ingest_klines`` after a restart: everything up to now was fetched, so only disputes are asked for."""

    def __init__(self, log):
        self.exchange, self.seconds = Exchange(), 1_000.0
        places = {(BTC, name): (0, NOW) for name in PRICES}
        around = Surroundings(
            log, self.exchange, self.exchange, Streams(time={BTC: NOW}), lambda: {BTC: True}, lambda: places,
            lambda _: None, load_disputed, AtOnce(), lambda: self.seconds,
        )  # fmt: skip
        self.role = IngestKlines(around, Policy(rng=random.Random(1)))

    def turn(self, count, seconds=1):
        for _ in range(count):
            self.seconds += seconds
            self.role.step()


def test_a_provisional_report_is_asked_for_again_and_the_dispute_goes_away(store):
    role = Role(store)
    provisional = theirs(Interval.H1, volume=7, trades=3)
    provisional = msgspec.structs.replace(provisional, event_time=provisional.close_time)
    assert compare(store, provisional) == 1

    role.turn(20)
    assert compare(store) == 0

    assert load_disputed([BTC]) == {}
    end = store.end_offset(PRICES["1h"].name, 0)
    reports = [codec.kline(stored.value) for stored in store.read_range(PRICES["1h"].name, 0, 0, end)]
    assert [(kline.trades, kline.event_time) for kline in reports][1:] == [(120, NOW)]
    # Nothing is left to be asked for.
    role.exchange.asked.clear()
    role.turn(120)
    assert ("1h", TEN) not in role.exchange.asked


def test_a_dispute_that_stays_is_asked_for_four_times_and_told_of_for_ever(store):
    role = Role(store)
    changed = candle(MINUTES[0].open_time, (0, 2))
    assert compare(store, closed(changed, reason="late"), theirs(Interval.H1)) == 1

    for _ in range(60):
        role.turn(10, seconds=10)
        assert compare(store) == 0

    assert role.exchange.asked.count(("1h", TEN)) == 4
    assert load_disputed([BTC]) == {(BTC, Interval.H1): {TEN}}
