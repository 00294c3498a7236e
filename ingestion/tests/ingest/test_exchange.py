import asyncio
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from ingestion.ingest.exchange import TOLERANCE_MS, Exchange, ServerTime
from ingestion.tests.ingest.fakes import FakeRest, make_trade

NOW = 1_558_742_400_000


class Clock:
    """The machine's clock, moved by the test."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


def server_time(rest: FakeRest, executor: ThreadPoolExecutor, clock: Clock | None = None) -> ServerTime:
    return ServerTime(Exchange(rest, executor, rng=random.Random(1)), clock=clock or Clock())


@pytest.mark.parametrize(
    ("moment", "allowed"),
    [
        (NOW, True),
        (NOW + TOLERANCE_MS, True),
        (NOW + TOLERANCE_MS + 1, False),
        # A replay at reading speed: the exchange's clock is a day ahead of what waits in our socket.
        (NOW - 86_400_000, True),
    ],
)
async def test_a_time_may_be_far_behind_the_exchanges_clock_but_not_ahead_of_it(executor, moment, allowed):
    bound = server_time(FakeRest(time_ms=NOW), executor)

    assert await bound.allows(moment) is allowed


async def test_an_answer_is_remembered_because_the_exchanges_clock_never_goes_back(executor):
    rest = FakeRest(time_ms=NOW)
    bound = server_time(rest, executor)

    for moment in (NOW - 5, NOW, NOW + 30_000):
        assert await bound.allows(moment)

    assert rest.times_asked == 1


async def test_an_answer_that_is_behind_an_earlier_one_takes_nothing_back(executor):
    rest = FakeRest(time_ms=NOW)
    bound = server_time(rest, executor)
    await bound.allows(NOW)

    rest.time_ms = NOW - 600_000
    assert not await bound.allows(NOW + 10 * TOLERANCE_MS)

    assert await bound.allows(NOW + TOLERANCE_MS)


async def test_a_burst_from_the_future_costs_one_question_a_second(executor):
    rest, clock = FakeRest(time_ms=NOW), Clock()
    bound = server_time(rest, executor, clock)

    for _ in range(100):
        assert not await bound.allows(NOW + 10 * TOLERANCE_MS)
    assert rest.times_asked == 1

    clock.now += 1.1
    assert not await bound.allows(NOW + 10 * TOLERANCE_MS)
    assert rest.times_asked == 2


async def test_an_honest_jump_is_allowed_although_a_worse_one_was_just_refused(executor):
    rest = FakeRest(time_ms=NOW)
    bound = server_time(rest, executor)
    assert not await bound.allows(NOW + 31_536_000_000)

    rest.time_ms += 600_000

    assert await bound.allows(NOW + 600_000)


async def test_while_rest_is_away_live_time_runs_on_with_the_machines_clock(executor):
    rest, clock = FakeRest(time_ms=NOW), Clock()
    bound = server_time(rest, executor, clock)
    await bound.allows(NOW)
    rest.is_away = True

    clock.now += 3_600.0

    assert await bound.allows(NOW + 3_600_000)


async def test_a_new_connection_goes_on_from_where_the_last_one_was_believed_although_rest_is_away(executor):
    rest = FakeRest(time_ms=NOW)
    bound = server_time(rest, executor)
    await bound.allows(NOW)
    rest.is_away = True

    bound.believed(NOW + 3_600_000)

    assert await bound.allows(NOW + 3_600_000 + TOLERANCE_MS)
    assert rest.times_asked == 1


async def test_the_first_time_of_all_waits_for_the_exchange(executor):
    rest = FakeRest(time_ms=NOW)
    rest.is_away = True
    bound = server_time(rest, executor)
    asked = asyncio.create_task(bound.allows(NOW))
    await asyncio.wait([asked], timeout=0.1)
    assert not asked.done()

    rest.is_away = False

    assert await asyncio.wait_for(asked, 5.0)


@pytest.mark.parametrize(
    ("trade_times", "expected"),
    [
        ([NOW - 10, NOW - 1, NOW, NOW + 5], 1),  # the last one before the minute
        ([NOW, NOW + 5], 0),  # none before: the first one
        ([], None),
    ],
)
async def test_a_segment_begins_with_the_trade_that_gives_the_close_before_it(executor, trade_times, expected):
    rest = FakeRest(make_trade(number, time) for number, time in enumerate(trade_times))
    exchange = Exchange(rest, executor, rng=random.Random(1))

    assert await exchange.first_wanted_id("BTCUSDT", NOW) == expected


async def test_a_question_is_asked_until_it_is_answered(executor):
    rest = FakeRest([make_trade(7, NOW)])
    rest.is_away = True
    asked = asyncio.create_task(Exchange(rest, executor, rng=random.Random(1)).newest("BTCUSDT"))
    await asyncio.wait([asked], timeout=0.1)

    rest.is_away = False

    assert (await asyncio.wait_for(asked, 5.0)).trade_id == 7
