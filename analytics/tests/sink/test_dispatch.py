import datetime as dt

import pytest
from django.utils import timezone
from kombu.exceptions import OperationalError

from analytics.models import Dirty, SinkPosition
from analytics.sink import positions
from analytics.sink.dispatch import DispatchSink, WakePolicy
from analytics.sink.marks import Mark, Marks
from analytics.tests.samples import BTC, MINUTE, TEN, candle, enriched, kline_of, put, trade
from ingestion.log.topics import ENRICHED_TRADES, GROUP_SINK, PRICES

pytestmark = pytest.mark.django_db(transaction=True)

TRADES = ENRICHED_TRADES.name
MINUTES = PRICES["1m"].name


class Bell:
    """Remembers who was woken; can be out of order."""

    def __init__(self):
        self.rung = []
        self.is_broken = False

    def sink(self, topic, partition):
        self._ring((topic, partition))

    def rebuild(self):
        self._ring("rebuild")

    def roll_up(self):
        self._ring("roll_up")

    def indicators(self, topic, partition):
        self._ring(("indicators", topic, partition))

    def _ring(self, what):
        if self.is_broken:
            raise OperationalError("no queue")
        self.rung.append(what)


class Clock:
    def __init__(self):
        self.s = 1_000.0

    def __call__(self):
        return self.s


@pytest.fixture
def bell():
    return Bell()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def dispatch(log, bell, clock):
    return DispatchSink(log, WakePolicy(max_rows=10, max_delay_s=1.0), wakes=bell, now=clock, look_s=0)


def put_trades(log, count):
    put(log, *(enriched(trade(i + 1, TEN + i)) for i in range(count)))


def stored_to(log, offset, **other):
    row, _ = SinkPosition.objects.update_or_create(
        topic_id=log.topic_id(TRADES), partition=0, defaults={"topic": TRADES, "next_offset": offset} | other
    )
    return row


@pytest.mark.parametrize(
    ("backlog", "waits_s", "expected"),
    [(0, 99.0, False), (1, 0.0, False), (1, 1.0, True), (9, 0.9, False), (10, 0.0, True)],
)
def test_a_backlog_is_due_when_it_is_big_or_waits_long(backlog, waits_s, expected):
    assert WakePolicy(max_rows=10, max_delay_s=1.0).is_due(backlog, waits_s) is expected


def test_nothing_is_woken_while_nothing_waits(dispatch, bell, clock):
    dispatch.step()
    clock.s += 100
    dispatch.step()

    assert bell.rung == []


def test_a_few_records_wake_the_sink_after_the_longest_delay(dispatch, log, bell, clock):
    put_trades(log, 2)
    dispatch.step()
    clock.s += 0.9
    dispatch.step()
    assert bell.rung == []

    clock.s += 0.2
    dispatch.step()

    assert bell.rung == [(TRADES, 0)]
    assert dispatch.pulse().lag == 2


def test_a_full_block_wakes_the_sink_at_once(dispatch, log, bell):
    put_trades(log, 10)

    dispatch.step()

    assert bell.rung == [(TRADES, 0)]


def test_a_wake_up_that_was_lost_is_given_again_after_seconds(dispatch, log, bell, clock):
    put_trades(log, 10)
    dispatch.step()
    clock.s += 1
    dispatch.step()
    assert len(bell.rung) == 1

    clock.s += 5
    dispatch.step()

    assert len(bell.rung) == 2


def test_what_was_stored_is_not_woken_for_again(dispatch, log, bell, clock):
    put_trades(log, 10)
    dispatch.step()
    stored_to(log, 10)
    clock.s += 10

    dispatch.step()

    assert len(bell.rung) == 1
    assert (dispatch.pulse().lag, dispatch.pulse().processed) == (0, 10)


@pytest.mark.parametrize("field", ["lease_until", "retry_at"])
def test_a_partition_that_is_worked_on_or_waits_for_a_retry_is_left_alone(dispatch, log, bell, clock, field):
    dispatch.step()
    put_trades(log, 10)
    stored_to(log, 0, **{field: timezone.now() + dt.timedelta(seconds=30)})

    dispatch.step()
    assert bell.rung == []

    stored_to(log, 0, **{field: timezone.now()})
    clock.s += 1
    dispatch.step()
    assert bell.rung == [(TRADES, 0)]


def test_at_the_start_leases_of_a_killed_process_are_broken_and_places_reported(dispatch, log, bell):
    put_trades(log, 10)
    later = timezone.now() + dt.timedelta(seconds=30)
    stored_to(log, 0, lease_until=later, lease_token="gone")
    positions.mark_dirty(Marks([Mark(BTC, "1m", TEN)]))
    Dirty.objects.update(claim="gone", not_before=later)

    dispatch.step()

    assert bell.rung == [(TRADES, 0), "rebuild"]


def test_the_log_learns_how_far_the_tables_are(dispatch, log):
    put_trades(log, 5)
    stored_to(log, 3)

    dispatch.step()

    assert log.position(GROUP_SINK, TRADES, 0) == 3


def test_dirty_buckets_wake_their_tasks_when_they_are_due(dispatch, bell, clock):
    positions.mark_dirty(Marks([Mark(BTC, "1h", TEN), Mark(BTC, "1m", TEN)]))
    Dirty.objects.filter(interval="1m").update(not_before=timezone.now() + dt.timedelta(seconds=9))

    dispatch.step()

    assert bell.rung == ["roll_up"]


def test_a_queue_that_is_away_is_reported_and_tried_again(dispatch, log, bell):
    put_trades(log, 10)
    bell.is_broken = True
    dispatch.step()
    assert dispatch.pulse().status == "degraded"

    bell.is_broken = False
    dispatch.step()

    assert bell.rung == [(TRADES, 0)]
    assert dispatch.pulse().status == "ok"


def test_a_partition_that_fails_shows_in_the_pulse(dispatch, log):
    put_trades(log, 1)
    stored_to(log, 0, attempts=2, error="disk full")

    dispatch.step()

    assert dispatch.pulse().detail == f"{TRADES}: attempt 2"


def minutes_to(log, offset, name=""):
    """The sink (or, by name, the indicators) has come so far with the minutes."""
    topic_id = (name and "indicators:") + log.topic_id(MINUTES)
    SinkPosition.objects.update_or_create(
        topic_id=topic_id, partition=0, defaults={"topic": name + MINUTES, "next_offset": offset}
    )


def test_indicators_are_woken_for_what_is_stored_until_they_have_come_as_far(log, dispatch, bell, clock):
    put(log, *(kline_of(candle(TEN + n * MINUTE, (n, n))) for n in range(3)))
    minutes_to(log, 2)
    dispatch.step()
    clock.s += 1
    dispatch.step()
    woken = ("indicators", MINUTES, 0)
    assert bell.rung.count(woken) == 1

    clock.s += 5
    dispatch.step()
    assert bell.rung.count(woken) == 2

    minutes_to(log, 2, "indicators:")
    clock.s += 5
    dispatch.step()
    clock.s += 5
    dispatch.step()
    assert bell.rung.count(woken) == 2
