"""The rows of the backfills: asked for once, leased to one, moved on only by their holder."""

import datetime as dt

import pytest

from ingestion.backfill import store
from ingestion.models import ArchiveUse, Backfill

pytestmark = pytest.mark.django_db

SINCE = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)


def test_one_unfinished_backfill_a_symbol():
    row = store.queue("BTCUSDT", SINCE)

    with pytest.raises(store.NotAllowed, match=f"number {row.pk}"):
        store.queue("BTCUSDT", SINCE)
    store.cancel([row.pk])
    store.queue("BTCUSDT", SINCE)


@pytest.mark.parametrize(
    "fields",
    [
        {"from_time": dt.datetime(2124, 1, 1, tzinfo=dt.UTC)},
        {"to_time": SINCE},
        {"trades": False, "klines": False},
    ],
)
def test_what_makes_no_sense_is_refused(fields):
    with pytest.raises(store.NotAllowed):
        store.queue("BTCUSDT", **{"from_time": SINCE, **fields})

    assert not Backfill.objects.exists()


def test_one_is_worked_on_at_a_time_and_by_one():
    first, second = store.queue("BTCUSDT", SINCE), store.queue("ETHUSDT", SINCE)
    assert store.is_due()

    leased = store.take()

    assert leased.pk == first.pk
    assert leased.state == Backfill.State.RUNNING
    assert store.take() is None
    assert store.take(first.pk) is None
    assert not store.is_due()
    store.finish(leased)
    assert store.take().pk == second.pk


def test_a_lease_that_ran_out_is_taken_over_and_its_holder_changes_nothing_more():
    row = store.queue("BTCUSDT", SINCE)
    held = store.take()
    Backfill.objects.update(lease_until=dt.datetime(2020, 1, 1, tzinfo=dt.UTC))

    other = store.take()

    assert other.pk == row.pk
    held.done_steps = 99
    with pytest.raises(store.Stopped):
        store.keep(held)
    row.refresh_from_db()
    assert row.done_steps == 0


def test_a_cancelled_row_is_its_workers_no_more():
    row = store.queue("BTCUSDT", SINCE)
    held = store.take()

    assert store.cancel([row.pk]) == 1

    for act in (store.keep, store.release, store.finish):
        with pytest.raises(store.Stopped):
            act(held)
    row.refresh_from_db()
    assert row.state == Backfill.State.CANCELLED
    assert store.cancel([row.pk]) == 0


def test_an_error_is_kept_and_the_waits_grow_until_something_moves():
    """A slice that lives for some seconds, and keeps its row meanwhile, has moved nothing by that."""
    store.queue("BTCUSDT", SINCE)
    waits = []
    for _ in range(3):
        store.break_leases()
        held = store.take()
        store.keep(held)
        waits.append(store.give_up(held, "disk full", jitter=1.0))

    row = Backfill.objects.get()
    assert waits == [2.0, 4.0, 8.0]
    assert (row.error, row.attempts) == ("disk full", 3)
    assert not store.is_due()
    store.break_leases()
    held = store.take()
    store.keep(held)
    row.refresh_from_db()
    assert (row.error, row.attempts) == ("disk full", 3)
    store.moved(held)
    store.keep(held)
    row.refresh_from_db()
    assert (row.error, row.attempts) == ("", 0)
    assert store.give_up(held, "disk full again", jitter=1.0) == 2.0


def test_a_retry_begins_anew():
    row = store.queue("BTCUSDT", SINCE)
    held = store.take()
    held.done_steps, held.total_steps, held.plan, held.trades_sent = 3, 9, {"from_ms": 1}, 5
    store.finish(held, "no room")

    assert store.retry([row.pk]) == 1

    row.refresh_from_db()
    assert (row.state, row.error, row.plan, row.done_steps, row.trades_sent) == ("queued", "", {}, 0, 0)
    assert store.retry([row.pk]) == 0


def test_progress_and_what_is_left():
    row = Backfill(state="running", total_steps=10, done_steps=2, part=0.5, busy_s=30.0, trades_sent=600)

    assert (row.progress, row.rate, row.eta_s) == (0.25, 20.0, 90.0)
    assert Backfill(state="queued").progress == 0.0
    assert Backfill(state="queued").eta_s is None
    assert Backfill(state="done").progress == 1.0


def test_the_checksum_that_was_used_is_kept_and_a_change_is_told():
    assert store.note_use("a.zip", "1", 5) == ""
    assert store.note_use("a.zip", "1", 5) == ""
    assert store.note_use("a.zip", "2", 6) == "1"
    assert store.note_use("a.zip", "2", 6) == ""

    known = ArchiveUse.objects.get()
    assert (known.sha256, known.replaced, known.rows) == ("2", "1", 6)
