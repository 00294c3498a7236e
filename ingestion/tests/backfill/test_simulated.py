"""Backfills against the simulated exchange and its archive, with the real log, processor, repair and database."""

import itertools
from dataclasses import replace

import msgspec
import pytest

from ingestion.backfill import store
from ingestion.backfill.work import run_slice
from ingestion.binance.archive import BinanceArchive
from ingestion.binance.errors import ExchangeAway
from ingestion.log import codec
from ingestion.models import Backfill
from ingestion.pipeline.records import CoverageKind, Lost
from ingestion.tests.backfill.stage import (
    DAY_MS,
    FIRST,
    HOUR_MS,
    NEW_YEAR,
    NOW,
    SYMBOL,
    World,
    klines_asked,
    moment,
)
from markets.models import Symbol

pytestmark = pytest.mark.django_db


def test_two_days_that_rest_has_forgotten_come_from_the_archive_and_the_rest_by_rest(world):
    row = world.work(world.ask())

    assert (row.state, row.error, row.bad_rows) == (Backfill.State.DONE, "", 0)
    (gap,) = world.coverage().gaps
    assert gap.cause == "archive"
    assert gap.from_time >= NEW_YEAR + DAY_MS - HOUR_MS, "only today is missing"
    world.mend()
    assert sorted(world.ids()) == world.wanted_ids(FIRST)
    assert len(set(world.ids())) == len(world.ids())
    assert world.coverage().holes == ()
    archived = world.sources()["archive"]
    # One trade of the day before gives the price of the first minute, which has no trade.
    assert [trade.trade_id for trade in archived] == world.wanted_ids(FIRST)[: len(archived)]
    assert archived[0].trade_time < FIRST < NEW_YEAR + DAY_MS - HOUR_MS < archived[-1].trade_time


def test_the_trades_are_the_exchanges_to_the_last_digit(world):
    world.work(world.ask())

    brought = {trade.trade_id: trade for trade in world.sources()["archive"]}
    for row in world.book.rows(world.book.place_at(FIRST), world.book.place_at(NEW_YEAR + DAY_MS)):
        trade = brought[row.trade_id]
        assert (trade.price, trade.qty, trade.first_id, trade.last_id) == (
            row.price,
            row.qty,
            row.first_id,
            row.last_id,
        )
        assert (trade.trade_time, trade.is_buyer_maker) == (row.trade_time, row.is_buyer_maker)


def test_the_klines_of_the_same_days_come_too_and_equal_rests(world):
    world.work(world.ask())

    for interval in ("1m", "15m", "1h", "1d"):
        found = [kline for kline in world.klines(interval) if kline.source == "archive"]
        plain = [msgspec.structs.replace(kline, source="rest", recheck=False) for kline in found]
        assert plain == klines_asked(world, interval, FIRST, NEW_YEAR + DAY_MS)
        assert all(kline.recheck and kline.last_fill_id == -1 for kline in found)
    assert world.klines("1s") == []


def test_a_time_within_a_day_begins_with_the_trade_before_it(world):
    since = FIRST + 7 * HOUR_MS + 30_000

    world.work(world.ask(since))

    first = world.book.rows(place := world.book.place_at(since - 30_000) - 1, place + 1)[0]
    (segment,) = world.coverage().segments
    assert (segment.from_id, segment.covered_from) == (first.trade_id, since - 30_000)


def test_a_kill_between_the_want_and_the_plan_forgets_nothing(world):
    row = world.ask()
    leased = store.take(row.pk)
    run_slice(world.tools, leased, 0.0)
    Backfill.objects.filter(pk=row.pk).update(plan={}, place={}, done_steps=0, total_steps=0)
    world.process()

    world.work(row)

    world.mend()
    assert sorted(world.ids()) == world.wanted_ids(FIRST)


def test_a_second_run_brings_nothing_twice(world):
    row = world.work(world.ask())
    world.mend()
    before = len(world.records("raw_trades"))
    store.retry([row.pk])
    row.refresh_from_db()

    world.work(row)

    assert row.trades_sent == 0
    assert len(world.records("raw_trades")) == before


def test_small_slices_and_a_kill_in_the_middle_of_each_change_nothing(world):
    row = world.ask()
    slices = 0
    while not row.is_over:
        # No time at all: every slice ends at its first chance, and whatever was not saved is lost with the process.
        leased = store.take(row.pk)
        if leased is None:
            store.break_leases()
            continue
        kept = {name: getattr(leased, name) for name in ("plan", "place", "done_steps", "total_steps", "trades_sent")}
        run_slice(world.tools, leased, 0.0)
        slices += 1
        if slices % 3 == 0 and not Backfill.objects.get(pk=row.pk).is_over:
            # Killed after the append and before the row was saved: the same work is done again.
            Backfill.objects.filter(pk=row.pk).update(**kept)
            world.close()
            world.open()
        world.process()
        row.refresh_from_db()

    world.mend()
    assert slices > 10
    assert sorted(world.ids()) == world.wanted_ids(FIRST)
    assert len(set(world.ids())) == len(world.ids())


def test_klines_without_a_file_come_page_by_page_and_leave_room_for_others(world):
    """86,400 seconds of a day are 87 questions: no slice may take as long as all of them."""
    absent = f"{SYMBOL}-1s-2025-01-01.zip"
    world.exchange.faults.change(rest_reach_ms=0, archive={absent: "missing"})
    row = world.ask(NEW_YEAR, NEW_YEAR + HOUR_MS, trades=False, seconds=True)
    pages = []
    while not row.is_over:
        store.break_leases()
        before = row.klines_sent
        world.slice(row, budget_s=0.0)
        pages.append(row.klines_sent - before)

    assert [count for count in pages if count][:3] == [1_000, 1_000, 1_000]
    seconds = [kline.open_time for kline in world.klines("1s")]
    assert seconds == list(range(NEW_YEAR, NEW_YEAR + HOUR_MS, 1_000))
    # Of two reports the one that was asked for later counts: it bears the time at which the backfill began.
    assert {kline.event_time for kline in world.klines("1s")} == {row.plan["over_at"]}
    assert (row.absent, row.absent_count) == ([absent], 1)


def test_a_day_without_a_file_is_counted_once_though_rest_fails_at_first(world):
    class Away:
        def __init__(self, rest):
            self.rest, self.failures = rest, 2

        def server_time(self):
            return self.rest.server_time()

        def klines(self, *arguments, **more):
            self.failures -= 1
            if self.failures >= 0:
                raise ExchangeAway("for a moment")
            return self.rest.klines(*arguments, **more)

    absent = f"{SYMBOL}-1m-2025-01-01.zip"
    world.exchange.faults.change(rest_reach_ms=0, archive={absent: "missing"})
    world.tools = replace(world.tools, rest=Away(world.tools.rest))

    row = world.work(world.ask(NEW_YEAR, NEW_YEAR + HOUR_MS, trades=False))

    assert (row.state, row.absent, row.absent_count) == (Backfill.State.DONE, [absent], 1)


def test_history_before_the_archive_is_refused_with_the_first_day_that_there_is(world):
    listed = 1_704_067_200_000

    row = world.work(world.ask(listed - 30 * DAY_MS))

    assert row.state == Backfill.State.FAILED
    assert "The first day that can be had is 2024-01-01" in row.error
    assert not list((world.folder / "archive").glob("backfill-*")), "its files are removed"
    assert [segment.covered_from for segment in world.coverage().segments] == [NOW - HOUR_MS], "nothing is wanted"


def test_what_the_archive_does_not_have_yet_is_wanted_of_rest(world):
    row = world.work(world.ask(NOW - 2 * HOUR_MS))

    assert row.state == Backfill.State.DONE
    assert row.trades_sent == 0
    world.mend()
    assert world.coverage().segments[-1].covered_from == NOW - 2 * HOUR_MS
    assert sorted(world.ids())[1:] == world.expected_ids(NOW - 2 * HOUR_MS)


def test_a_gap_in_what_is_held_is_filled_from_the_archive(world):
    """As when ingest was away for longer than REST reaches back."""
    world.work(world.ask())
    world.mend()
    lost = world.expected_ids(FIRST + HOUR_MS, FIRST + 2 * HOUR_MS)
    span = Lost(SYMBOL, lost[0], lost[-1], FIRST + HOUR_MS - 1, FIRST + 2 * HOUR_MS, NOW)
    world.log.append("raw_trades", [codec.to_record(span)])
    world.process()
    assert len(world.coverage().gaps) == 1

    row = world.work(world.ask(FIRST, NEW_YEAR, klines=False))

    assert row.trades_sent == len(lost)
    assert world.coverage().gaps == ()


def test_it_waits_until_the_symbol_has_started(short_rest, tmp_path):
    world = World(short_rest, tmp_path, started=False)
    row = world.ask()

    world.slice(row)

    assert row.state == Backfill.State.RUNNING
    assert "ingest_trades" in row.note
    world.start()
    assert world.work(row).state == Backfill.State.DONE
    world.close()


def test_trades_of_a_symbol_that_is_not_watched_are_refused_and_its_klines_are_not(world):
    Symbol.objects.create(symbol="XMRBTC", base="XMR", quote="BTC")

    refused = world.work(store.queue("XMRBTC", moment(FIRST)))
    klines = world.work(store.queue("XMRBTC", moment(FIRST), moment(NEW_YEAR), trades=False))

    assert refused.state == Backfill.State.FAILED
    assert "is not watched" in refused.error
    assert klines.state == Backfill.State.DONE
    assert len([kline for kline in world.klines("1m") if kline.symbol == "XMRBTC"]) == 1440


def test_a_cancelled_backfill_is_left_alone(world):
    row = world.ask()
    leased = store.take(row.pk)
    store.cancel([row.pk])
    run_slice(world.tools, leased, 30.0)

    row.refresh_from_db()
    assert row.state == Backfill.State.CANCELLED
    assert store.take() is None


def test_an_archive_that_is_away_is_tried_again_later(world):
    tools, world.tools = world.tools, replace(world.tools, archive=BinanceArchive("http://127.0.0.1:9"))
    row = world.ask()

    world.slice(row)

    assert row.state == Backfill.State.RUNNING
    assert "ExchangeAway" in row.error
    assert row.retry_at is not None
    assert store.take() is None
    world.tools = tools
    assert world.work(row).state == Backfill.State.DONE
    assert row.error == ""


def test_what_fails_at_the_same_place_again_and_again_waits_longer_each_time(world):
    """It lives for seconds each time, and nothing comes of it."""

    class Full:
        def __init__(self, archive):
            self.checksum, self.has = archive.checksum, archive.has

        def fetch(self, file, checksum, folder, go_on):
            go_on()
            raise OSError("no space left on the disk")

    seconds = itertools.count(0.0, 2.0)
    right = world.tools
    world.tools = replace(right, archive=Full(right.archive), monotonic=lambda: next(seconds))
    row = world.ask(FIRST, NEW_YEAR, trades=False)
    attempts = []
    for _ in range(4):
        store.break_leases()
        world.slice(row, budget_s=1_000.0)
        attempts.append(row.attempts)

    # The first one has decided what to do: that is something.
    assert attempts == [1, 2, 3, 4]
    assert "no space left" in row.error
    world.tools = right
    assert world.work(row).state == Backfill.State.DONE
    assert (row.attempts, row.error) == (0, "")


def test_repair_sees_whose_gap_it_is(world):
    world.work(world.ask())

    opened = [
        event
        for record in world.records("coverage")
        if (event := codec.coverage(record.value)).kind == CoverageKind.GAP_OPENED
    ]
    assert {event.cause for event in opened} == {"archive"}
