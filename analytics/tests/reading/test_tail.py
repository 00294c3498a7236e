import random
import threading
import time

import pytest

from analytics.reading.tail import LogTail
from analytics.tests.samples import BTC, MINUTE, TEN, candle, closed, enriched, live, put, segment, trade
from ingestion.log.port import LogError, Record
from ingestion.log.topics import CANDLES_1M, CANDLES_LIVE, ENRICHED_TRADES

NOTHING_STORED: dict = {}


def minute(place, **other):
    return closed(candle(TEN + place * MINUTE, (place * 10, place * 10 + 9)), **other)


def make_tail(log, sunk=NOTHING_STORED, **other):
    return LogTail(log, lambda: sunk, lambda log: {}, chance=random.Random(1), **other)


def until(condition, timeout_s=10.0):
    """Wait for a condition that another thread makes true."""
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        threading.Event().wait(0.005)


@pytest.fixture
def tail(log):
    """A tail in its thread, which has read the log so far."""
    made = make_tail(log)
    made.start()
    assert made.wait_ready(10)
    yield made
    made.stop()


def test_the_view_has_a_batch_before_the_listeners_hear_of_it(log, tail):
    heard = []
    tail.listen(lambda batch: heard.append((batch, len(tail.view.unsunk_candles(BTC)))))

    put(log, minute(0), minute(1))

    until(lambda: sum(len(batch) for batch, _ in heard) == 2)
    assert [tailed.record for batch, _ in heard for tailed in batch] == [minute(0), minute(1)]
    assert heard[-1][1] == 2


def test_a_listener_that_has_left_hears_nothing_more(log, tail):
    heard = []
    leave = tail.listen(heard.append)
    leave()

    put(log, minute(0))

    until(lambda: tail.view.unsunk_candles(BTC))
    assert heard == []


def test_a_stopped_tail_ends_its_thread_soon(log):
    tail = make_tail(log)
    tail.start()
    tail.wait_ready(10)
    began = time.monotonic()

    tail.stop()

    assert not tail._thread.is_alive()
    assert time.monotonic() - began < 2


def test_what_the_sink_has_stored_is_let_go(log):
    sunk = {}
    tail = make_tail(log, sunk)
    put(log, minute(0), minute(1), enriched(trade(1, TEN)), enriched(trade(2, TEN)))
    tail.catch_up()

    sunk.update({(CANDLES_1M.name, 0): 1, (ENRICHED_TRADES.name, 0): 2})
    tail.catch_up()

    assert tail.view.unsunk_candles(BTC) == [(1, minute(1))]
    assert tail.view.unsunk_trades(BTC) == []
    tail.stop()


def test_a_tail_begins_where_the_sink_stands(log):
    put(log, minute(0), minute(1), live(TEN + 5, TEN), segment(0, TEN))

    tail = make_tail(log, {(CANDLES_1M.name, 0): 1})
    tail.catch_up()

    assert tail.view.unsunk_candles(BTC) == [(1, minute(1))]
    assert tail.view.feed_time(BTC) == TEN + 5
    assert tail.view.coverage(BTC).segments[0].from_id == 0
    tail.stop()


def test_an_unreadable_record_is_passed_over(log):
    tail = make_tail(log)
    log.append(CANDLES_1M.name, [Record(BTC, b"from the future")])
    put(log, minute(0))

    tail.catch_up()

    assert tail.view.unsunk_candles(BTC) == [(1, minute(0))]
    tail.stop()


def test_an_outage_of_the_log_costs_no_record(log):
    class Failing:
        """The log, whose tails break once."""

        def __init__(self):
            self.broken = 1

        def __getattr__(self, name):
            return getattr(log, name)

        def tail(self, starts):
            if self.broken:
                self.broken -= 1
                raise LogError("away")
            return log.tail(starts)

    put(log, minute(0))
    tail = make_tail(Failing())
    tail.start()

    put(log, minute(1))

    until(lambda: len(tail.view.unsunk_candles(BTC)) == 2)
    tail.stop()


def test_a_closed_minute_moves_the_clock_before_its_live_record_comes(log):
    tail = make_tail(log)
    put(log, live(TEN + 30_000, TEN), minute(0))

    tail.catch_up()

    assert tail.view.clock(BTC) == (TEN + MINUTE, TEN + MINUTE)
    tail.stop()


def test_staleness_counts_from_when_the_clock_last_moved(log):
    tail = make_tail(log)
    put(log, live(TEN, None), live(TEN + 1, None))
    log.append(CANDLES_LIVE.name, [])
    tail.catch_up()
    moved_at = log.read_range(CANDLES_LIVE.name, 0, 1, 2)[0].timestamp
    put(log, live(TEN + 1, TEN))
    tail.catch_up()

    assert tail.view.stale_s(BTC, moved_at + 2500) == 2.5
    assert tail.view.stale_s("NOPE", moved_at) is None
    tail.stop()
