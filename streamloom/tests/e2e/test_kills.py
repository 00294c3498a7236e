"""SIGKILL at any moment: start again with the same folder and nothing is lost, nothing is doubled."""

import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from ingestion.binance.simulator.recorded import recorded_books
from markets.types import DAY_MS, HOUR_MS, Interval
from streamloom.tests.demo.running import RunningDemo
from streamloom.tests.e2e import answers, oracle, verdict
from streamloom.tests.e2e.exchange import RunningExchange

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

SEED = 21
# BTCUSDT trades twice a second of its time, DOTUSDT less than once a minute: both can lose their last trade.
SYMBOLS = ("BTCUSDT", "DOTUSDT")
ARGUMENTS = ("--symbols", ",".join(SYMBOLS), "--history", "90m")
MARKET = ("--seed", SEED, "--start", "2026-03-02T10:00:30Z", "--speed", 30)


@pytest.fixture
def exchange() -> Iterator[RunningExchange]:
    """A made-up market at thirty times real time: a demo that is dead for a second misses half a minute."""
    running = RunningExchange(*MARKET)
    yield running
    running.kill()


def at_start(demo: RunningDemo, chance: random.Random) -> None:
    """Settings, migrations of both databases, the first roles."""
    demo.wait(chance.uniform(0.2, 6.0))


def in_history(demo: RunningDemo, chance: random.Random) -> None:
    """While the trades before the start are fetched."""
    demo.until(lambda: answers.coverage(demo, SYMBOLS[0]).get("held"), "the first trades")
    demo.wait(chance.uniform(0.0, 1.5))


def live(demo: RunningDemo, chance: random.Random) -> None:
    """While candles close."""
    demo.until(lambda: answers.coverage(demo, SYMBOLS[0]).get("held", 0) > 1000, "live trades")
    demo.wait(chance.uniform(0.5, 4.0))


def in_repair(demo: RunningDemo, chance: random.Random) -> None:
    """While ids that the stream dropped are fetched."""
    demo.until(lambda: answers.coverage(demo, SYMBOLS[0]).get("missing"), "a gap")
    demo.wait(chance.uniform(0.0, 2.0))


Moment = Callable[[RunningDemo, random.Random], None]
MOMENTS: list[Moment] = [at_start, in_history, in_repair, live]


def chance_of_run() -> random.Random:
    """The run's chance; its seed is printed with a failure and can be given as FAULT_SEED."""
    seed = int(os.environ.get("FAULT_SEED", time.time_ns() % 1_000_000))
    print(f"FAULT_SEED={seed}")  # noqa: T201 - pytest shows it with a failure
    return random.Random(seed)


def killed(exchange: RunningExchange, folder: Path, moments: list[Moment], chance: random.Random) -> None:
    """Start and kill a demo at each of the moments, then let it run until quiet and compare everything."""
    books = {symbol: oracle.market(SEED, symbol) for symbol in SYMBOLS}
    for moment in moments:
        exchange.change(drop=0.02 if moment is in_repair else 0.0)
        demo = RunningDemo(exchange, folder, *ARGUMENTS)
        try:
            moment(demo, chance)
        finally:
            demo.kill()
    exchange.behave()
    demo = RunningDemo(exchange, folder, *ARGUMENTS)
    try:
        held = verdict.exact(demo, books)
        # The exchange falls silent for good: what is left to do is done, and nothing new comes.
        exchange.kill()
        demo.until(lambda: answers.dirty(demo, folder) == 0, "the last rebuild")
        assert demo.stop() == 0
    finally:
        demo.kill()
    found = verdict.sound(folder, held)
    assert found["letters"] == []


def test_killed_once_at_each_kind_of_moment_nothing_is_lost_or_doubled(
    exchange: RunningExchange, tmp_path: Path
) -> None:
    killed(exchange, tmp_path, MOMENTS, chance_of_run())


@pytest.mark.faults
@pytest.mark.parametrize("run", range(4))
def test_killed_again_and_again_in_any_order_nothing_is_lost_or_doubled(
    exchange: RunningExchange, tmp_path: Path, run: int
) -> None:
    chance = chance_of_run()

    killed(exchange, tmp_path, chance.choices(MOMENTS, k=8), chance)


DAY: Final = 1558742400000
RECORDING = oracle.DATA / "trades/2019-05-25-ADAUSDT.csv.gz"


@pytest.mark.faults
@pytest.mark.skipif(not RECORDING.exists(), reason=oracle.WHY_SKIPPED)
def test_a_recorded_day_is_the_exchanges_although_the_demo_was_killed_again_and_again(tmp_path: Path) -> None:
    chance = chance_of_run()
    # A day in 86 seconds: what is away for a second misses a quarter of an hour.
    exchange = RunningExchange("--replay", RECORDING, "--speed", 1000)
    arguments = ("--symbols", "ADAUSDT", "--history", "0")
    demo = RunningDemo(exchange, tmp_path, *arguments)
    try:
        demo.until(lambda: answers.coverage(demo, "ADAUSDT").get("held"), "the day's first trades")
        while exchange.now() < DAY + 12 * HOUR_MS:
            demo.wait(chance.uniform(0.0, 6.0))
            demo.kill()
            demo = RunningDemo(exchange, tmp_path, *arguments)
        demo.until(lambda: exchange.now() >= DAY + DAY_MS, "the end of the day")

        held = verdict.whole(demo, "ADAUSDT")
        for interval in (Interval.H1, Interval.D1):
            expected = oracle.exchange_klines(f"ADAUSDT-{interval.value}_2019-05-25_and_2019-06-01.kidogb.csv", DAY)
            demo.until(lambda i=interval, e=expected: as_reported(demo, i) == e, f"every {interval.value}")
        assert held["held"] == len(recorded_books([RECORDING])["ADAUSDT"])
        demo.until(lambda: answers.dirty(demo, tmp_path) == 0, "the last rebuild")
        assert demo.stop() == 0
    finally:
        demo.kill()
        exchange.kill()
    verdict.sound(tmp_path, {"ADAUSDT": held})


def as_reported(demo: RunningDemo, interval: Interval) -> list[answers.Json]:
    """The day's candles with the fields that the exchange's have."""
    rows = answers.candles(demo, "ADAUSDT", interval, DAY, DAY + DAY_MS)
    return [{name: row[name] for name in oracle.KLINE_FIELDS} for row in rows]
