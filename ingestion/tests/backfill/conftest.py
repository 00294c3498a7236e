"""A simulated exchange of which REST reaches three hours back, and everything that a backfill works with."""

import pytest

from ingestion.tests.backfill.stage import HOUR_MS, World, exchange


@pytest.fixture(scope="module")
def running():
    with exchange() as running:
        yield running


@pytest.fixture
def short_rest(running):
    """REST that reaches three hours back: the two days are in the archive only."""
    running.faults.change(rest_reach_ms=3 * HOUR_MS)
    yield running
    running.faults.end()


@pytest.fixture
def world(short_rest, tmp_path):
    world = World(short_rest, tmp_path)
    yield world
    world.close()
