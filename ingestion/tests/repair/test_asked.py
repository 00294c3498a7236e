"""What readers are told of repair, and when repair leaves a gap to the archive."""

import pytest

from ingestion.log import codec
from ingestion.log.sqlite import SqliteLog
from ingestion.log.topics import RAW_TRADES
from ingestion.tests.repair.world import Exchange, World


@pytest.fixture
def world(tmp_path):
    log = SqliteLog(tmp_path / "log.db")
    yield World(log, Exchange(newest=10_000))
    log.close()


def told(world) -> list[tuple[int, int, str]]:
    """What readers were told came of asking."""
    end = world.log.end_offset(RAW_TRADES.name, 0)
    records = [codec.raw(stored.value) for stored in world.log.read_range(RAW_TRADES.name, 0, 0, end)]
    return [(r.from_id, r.to_id, r.outcome) for r in records if type(r).__name__ == "Asked"]


def test_a_gap_that_a_page_fills_is_not_said_to_be_repairing(world):
    world.stream(100, 105)

    world.settle()

    assert told(world) == []


def test_readers_are_told_once_that_a_gap_is_being_repaired(world):
    world.exchange.never = {103}
    world.exchange.newest = 100
    world.stream(100, 110)
    world.settle(seconds=100)
    world.exchange.newest = 10_000

    world.settle()

    assert world.processor.holes() == [(103, 103)]
    assert told(world) == [(101, 109, "repairing")]


def test_readers_are_told_what_rest_does_not_reach(world):
    world.exchange.oldest = 600
    world.want(100, "backfill")
    world.stream(700)

    world.settle(seconds=9_000)

    assert told(world)[-1] == (100, 599, "beyond_rest")


def test_a_gap_that_is_filled_from_the_archive_is_left_to_it_until_a_minute_after_its_last_progress(world):
    world.want(100, "archive")
    world.stream(700)
    for first in (100, 200):
        world.step(seconds=59)
        world.stream(*range(first, first + 100))
    world.step()
    world.step(seconds=59)
    assert world.exchange.asked == []

    world.step(seconds=2)
    world.settle()

    assert world.exchange.asked[0] == 299
    assert world.processor.gaps() == []
    assert len(world.exchange.asked) == 1


def test_repair_does_not_wait_for_itself_in_a_gap_of_the_archive(world):
    world.want(1, "archive")
    world.stream(5_000)
    world.step()
    world.step(seconds=60)

    for _ in range(6):
        world.step(seconds=0.1)

    assert world.processor.gaps() == []
