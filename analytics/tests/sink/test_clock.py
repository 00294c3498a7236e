"""Leases, claims and waits by the database's clock: a worker whose own is wrong holds nothing for longer."""

import datetime as dt

import pytest
from django.utils import timezone

from analytics.candles import dirty
from analytics.models import Dirty, SinkPosition
from analytics.sink import positions
from analytics.sink.marks import Mark, Marks

pytestmark = pytest.mark.django_db

SOON = dt.timedelta(minutes=2)


@pytest.fixture(params=[1, -1])
def real_time(request, monkeypatch):
    """The right time; whoever asks the machine is told one that is an hour off."""
    real = timezone.now
    monkeypatch.setattr(timezone, "now", lambda: real() + request.param * dt.timedelta(hours=1))
    return real


def take():
    return positions.take_lease("life", "enriched_trades", 0, start=0)


def is_near(moment, real_time) -> bool:
    return real_time() - SOON < moment < real_time() + SOON


def test_a_lease_lasts_no_longer_than_it_should(real_time):
    held = take()

    assert is_near(SinkPosition.objects.get().lease_until, real_time)
    assert take() is None
    positions.advance(held, 5, Marks())
    assert is_near(SinkPosition.objects.get().lease_until, real_time)


def test_a_retry_is_due_when_it_should_be(real_time):
    positions.give_up(take(), RuntimeError("away"), jitter=1.0)

    assert is_near(SinkPosition.objects.get().retry_at, real_time)
    assert take() is None
    SinkPosition.objects.update(retry_at=real_time() - dt.timedelta(seconds=1))
    assert take() is not None


def test_a_claimed_bucket_is_free_again_when_it_should_be(real_time):
    positions.mark_dirty(Marks([Mark("BTCUSDT", "1m", 0)]))

    [row] = dirty.claim(["1m"], 10)
    assert is_near(row.not_before, real_time)
    assert dirty.claim(["1m"], 10) == []
    dirty.postpone([row])
    assert is_near(Dirty.objects.get().not_before, real_time)
