"""The dispatcher wakes backfills while there are unfinished ones that nobody works on."""

import datetime as dt

import pytest

from analytics.sink.dispatch import DispatchSink, WakePolicy, Wakes
from ingestion.backfill import store
from ingestion.log.sqlite import SqliteLog

pytestmark = pytest.mark.django_db

SINCE = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)


class Counting(Wakes):
    """Notes the wake-ups for backfills, and gives none."""

    def __init__(self):
        self.count = 0

    def backfill(self):
        self.count += 1


@pytest.fixture
def dispatch(tmp_path):
    log = SqliteLog(tmp_path / "log.db")
    wakes = Counting()
    clock = iter(range(0, 1_000, 10))
    role = DispatchSink(log, WakePolicy(1, 1.0), wakes=wakes, now=lambda: float(next(clock)), look_s=0.0)
    yield role, wakes
    log.close()


def test_without_backfills_nothing_is_woken(dispatch):
    role, wakes = dispatch

    role.step()

    assert wakes.count == 0


def test_a_queued_backfill_is_woken_until_somebody_has_it(dispatch):
    role, wakes = dispatch
    store.queue("BTCUSDT", SINCE)
    role.step()
    assert wakes.count == 1

    held = store.take()
    role.step()
    assert wakes.count == 1

    store.release(held)
    role.step()
    assert wakes.count == 2
    store.finish(store.take())
    role.step()
    assert wakes.count == 2


def test_a_backfill_that_waits_is_left_alone(dispatch):
    role, wakes = dispatch
    store.queue("BTCUSDT", SINCE)
    role.step()
    store.wait(store.take(), 60.0, "the exchange asks for a pause")

    role.step()

    assert wakes.count == 1


def test_a_process_that_owns_its_database_takes_over_what_a_killed_one_held(dispatch):
    role, wakes = dispatch
    store.queue("BTCUSDT", SINCE)
    store.take()

    role.step()

    assert wakes.count == 1
