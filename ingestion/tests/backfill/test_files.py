"""Files of the archive that are absent, broken, replaced, or of a whole month: nothing is lost, nothing comes twice."""

import pytest

from ingestion.backfill import store
from ingestion.binance.archive_lines import ArchiveLines
from ingestion.models import ArchiveUse, Backfill
from ingestion.tests.backfill.stage import DAY_MS, FIRST, HOUR_MS, NEW_YEAR, SYMBOL, World

pytestmark = pytest.mark.django_db

YESTERDAY = f"{SYMBOL}-aggTrades-2025-01-01.zip"
BEFORE = f"{SYMBOL}-aggTrades-2024-12-31.zip"


def test_an_absent_day_is_left_to_rest_and_said(world):
    world.exchange.faults.change(rest_reach_ms=0, archive={YESTERDAY: "missing"})

    row = world.work(world.ask())

    assert row.state == Backfill.State.DONE
    assert row.absent == [YESTERDAY]
    assert max(trade.trade_time for trade in world.sources()["archive"]) < NEW_YEAR
    world.mend()
    assert sorted(world.ids()) == world.wanted_ids(FIRST)


def test_a_truncated_file_gives_what_it_has_and_rest_the_rest(world):
    world.exchange.faults.change(rest_reach_ms=0, archive={YESTERDAY: "truncated"})

    row = world.work(world.ask())

    assert row.state == Backfill.State.DONE
    # It ends in the middle of a row.
    assert len(world.letters()) == row.bad_rows <= 1
    assert all(letter.origin.startswith("data/spot/daily/aggTrades/") for letter in world.letters())
    world.mend()
    assert sorted(world.ids()) == world.wanted_ids(FIRST)


def test_nothing_of_a_file_with_a_wrong_checksum_is_used(world):
    world.exchange.faults.change(rest_reach_ms=0, archive={YESTERDAY: "bad_checksum"})

    row = world.work(world.ask())

    assert row.state == Backfill.State.FAILED
    assert YESTERDAY in row.error
    assert max(trade.trade_time for trade in world.sources()["archive"]) < NEW_YEAR
    assert not ArchiveUse.objects.filter(name=YESTERDAY).exists()
    world.mend()
    assert sorted(world.ids()) == world.wanted_ids(FIRST)

    world.exchange.faults.change(archive={})
    store.retry([row.pk])
    row.refresh_from_db()
    assert world.work(row).state == Backfill.State.DONE


def test_a_wrong_checksum_that_is_mended_meanwhile_costs_a_wait_only(world):
    world.exchange.faults.change(archive={YESTERDAY: "broken"})
    row = world.ask()
    while "fetched again" not in row.note:
        store.break_leases()
        world.slice(row)
    world.exchange.faults.change(archive={})

    world.work(row)

    assert row.state == Backfill.State.DONE
    assert row.bad_files == 0


def test_a_file_that_was_replaced_since_is_noticed(world):
    row = world.work(world.ask())
    known = ArchiveUse.objects.get(name=f"{SYMBOL}-1m-2025-01-01.zip")
    world.exchange.faults.change(archive={known.name: "replaced"})
    store.retry([row.pk])
    row.refresh_from_db()

    world.work(row)

    now = ArchiveUse.objects.get(name=known.name)
    assert now.sha256 != known.sha256
    assert now.replaced == known.sha256


def test_a_header_row_is_passed_over(world):
    world.exchange.faults.change(archive={BEFORE: "header"})

    row = world.work(world.ask())

    assert row.bad_rows == 0
    world.mend()
    assert sorted(world.ids()) == world.wanted_ids(FIRST)


def test_a_month_serves_the_days_that_are_absent(short_rest, tmp_path):
    world = World(short_rest, tmp_path)
    days = [f"{SYMBOL}-{data}-2024-12-{day}.zip" for day in (30, 31) for data in ("aggTrades", "1m")]
    world.exchange.faults.change(rest_reach_ms=3 * HOUR_MS, archive=dict.fromkeys(days, "missing"))

    row = world.work(world.ask(FIRST - DAY_MS))

    assert row.absent_count == 0
    world.mend()
    assert sorted(world.ids()) == world.wanted_ids(FIRST - DAY_MS)
    assert len(set(world.ids())) == len(world.ids())
    minutes = [kline.open_time for kline in world.klines("1m") if kline.open_time < NEW_YEAR + DAY_MS]
    assert minutes == list(range(FIRST - DAY_MS, NEW_YEAR + DAY_MS, 60_000))
    world.close()


def test_a_month_is_read_through_once_however_small_the_slices_are(short_rest, tmp_path, monkeypatch):
    world = World(short_rest, tmp_path)
    days = [f"{SYMBOL}-aggTrades-2024-12-{day}.zip" for day in (29, 30, 31)]
    world.exchange.faults.change(rest_reach_ms=3 * HOUR_MS, archive=dict.fromkeys(days, "missing"))
    begun = []
    begin = ArchiveLines._begin
    monkeypatch.setattr(ArchiveLines, "_begin", lambda lines: (begun.append(lines._path.name), begin(lines)))
    row = world.ask(FIRST - 2 * DAY_MS, NEW_YEAR, klines=False)
    slices = 0
    while not row.is_over:
        store.break_leases()
        world.slice(row, budget_s=0.0)
        slices += 1
        assert slices < 30, (row.note, row.done_steps, row.place)

    # Once for the first id, and once for all days together.
    assert len([name for name in begun if "2024-12." in name]) == 2
    assert slices > 4
    assert world.ids()[: row.trades_sent] != []
    archived = sorted(trade.trade_id for trade in world.sources()["archive"])
    assert archived == world.wanted_ids(FIRST - 2 * DAY_MS)[: len(archived)]
    world.close()
