"""Ingest, processor and repair together against the simulated exchange: what is lost, and what becomes of it."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from ingestion.binance.lane import FeedLimits
from ingestion.binance.rest import BinanceRest
from ingestion.binance.simulator.faults import FaultPlan
from ingestion.binance.simulator.server import SimulatedExchange, SimulatorConfig
from ingestion.ingest.loop import IngestConfig, IngestLoop
from ingestion.log import codec
from ingestion.log.sqlite import SqliteLog
from ingestion.log.topics import COVERAGE, ENRICHED_TRADES, RAW_TRADES
from ingestion.pipeline.coverage import SymbolCoverage, fold_events
from ingestion.pipeline.records import Trade
from ingestion.process.role import ProcessTrades
from ingestion.repair.role import RepairGaps
from ingestion.repair.work import Policy
from ingestion.tests.binance.simulator.support import archive_file
from ingestion.tests.deadline import until
from markets.types import DAY_MS, HOUR_MS, Asset

pytestmark = pytest.mark.timeout(300)

SYMBOL = "ABCUSDT"
MIDNIGHT = 1_599_955_200_000
SOON_S = 120.0


class Watched:
    backfill_from_ms = None


class CountingRest:
    """The exchange's REST, and how often repair asked it."""

    def __init__(self, url: str) -> None:
        self._rest = BinanceRest(url)
        self.asked: list[int] = []

    def agg_trades(self, symbol: str, *, from_id: int, limit: int) -> list[Trade]:
        self.asked.append(from_id)
        return self._rest.agg_trades(symbol, from_id=from_id, limit=limit)


class Whole:
    """Everything between the exchange and the log's outputs, for one symbol."""

    def __init__(self, exchange: SimulatedExchange, folder: Path, symbol: str, history_ms: int) -> None:
        self.exchange, self.symbol = exchange, symbol
        self.log = SqliteLog(folder / "log.db", partitions=1, max_backlog=10**9)
        self.ingest = IngestLoop(
            IngestConfig(
                exchange.ws_url, "simulated", history_ms, tick_s=0.05, limits=FeedLimits(tick_s=0.05), again_after_s=0.5
            ),
            self.log,
            BinanceRest(exchange.rest_url),
            lambda: {symbol: Watched()},
            random.Random(1),
        )
        self.processor = ProcessTrades(self.log, lambda: {symbol: Asset("ABC", "USDT")})
        self.rest = CountingRest(exchange.rest_url)
        policy = Policy(first_wait_s=0.1, confirm_s=(0.05, 0.05, 0.05), rng=random.Random(1))
        self.repair = RepairGaps(self.log, self.rest, policy)

    async def turn(self, step: Callable[[], None]) -> None:
        while True:
            await asyncio.to_thread(step)

    def coverage(self) -> SymbolCoverage:
        end = self.log.end_offset(COVERAGE.name, 0)
        return fold_events(codec.coverage(item.value) for item in self.log.read_range(COVERAGE.name, 0, 0, end))

    def held(self) -> list[int]:
        end = self.log.end_offset(ENRICHED_TRADES.name, 0)
        stored = self.log.read_range(ENRICHED_TRADES.name, 0, 0, end)
        return [codec.enriched(item.value).trade.trade_id for item in stored]

    async def until(self, condition: Callable[[], object], what: str) -> None:
        await until(condition, what, SOON_S)


@asynccontextmanager
async def running(
    folder: Path, config: SimulatorConfig, symbol: str = SYMBOL, history_ms: int = 0
) -> AsyncIterator[Whole]:
    exchange = await asyncio.to_thread(lambda: SimulatedExchange(config).start())
    whole = Whole(exchange, folder, symbol, history_ms)
    tasks = [
        asyncio.create_task(whole.ingest.run()),
        asyncio.create_task(whole.turn(whole.processor.step)),
        asyncio.create_task(whole.turn(whole.repair.step)),
    ]
    try:
        yield whole
        for task in tasks:
            assert not task.done() or task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await asyncio.to_thread(exchange.stop)
        # A step that was under way in its thread ends with the log.
        whole.log.close()


def rows(count: int, every_ms: int, more: tuple[int, ...] = ()) -> list[tuple[object, ...]]:
    """Trades at regular times from shortly after midnight on, and ``more`` at these times of the day."""
    times = [1_000 + number * every_ms for number in range(count)] + list(more)
    return [
        (number, f"{100 + number % 7}.00000000", "1.50000000", number, number, MIDNIGHT + time, "False")
        for number, time in enumerate(times, start=1)
    ]


async def test_what_was_lost_last_is_found_though_the_market_is_quiet_for_hours_then(tmp_path: Path) -> None:
    """No later trade shows the loss by its id: the closed kline counts a fill that is not held."""
    recording = archive_file(tmp_path, rows(120, 1_000), f"{SYMBOL}-aggTrades.csv")
    plan = FaultPlan(drop_ids={SYMBOL: [(111, 120)]})
    async with running(tmp_path, SimulatorConfig(replay=(recording,), speed=0.0, faults=plan)) as whole:
        await whole.until(lambda: len(whole.held()) == 120, "all trades")

        assert sorted(whole.held()) == list(range(1, 121))
        assert whole.coverage().gaps == ()


async def test_what_was_lost_in_a_cut_is_found_though_the_market_is_quiet_for_hours_then(tmp_path: Path) -> None:
    """The newest row by REST shows the loss by its id as soon as the connection is back."""
    recording = archive_file(tmp_path, rows(200, 500), f"{SYMBOL}-aggTrades.csv")
    async with running(tmp_path, SimulatorConfig(replay=(recording,), speed=10.0)) as whole:
        await whole.until(lambda: len(whole.held()) >= 20, "the first trades")
        await asyncio.to_thread(whole.exchange.faults.change, drop_ids={SYMBOL: [[1, 200]]})
        await asyncio.to_thread(whole.exchange.faults.cut)

        await whole.until(lambda: len(whole.held()) == 200, "all trades")

        assert sorted(whole.held()) == list(range(1, 201))
        assert whole.coverage().gaps == ()


async def test_forty_small_gaps_in_a_day_are_forty_rows_with_exact_ids(tmp_path: Path) -> None:
    lost = [(100 * number + 7, 100 * number + 7 + number % 5) for number in range(1, 41)]
    recording = archive_file(tmp_path, rows(4_300, 20_000), f"{SYMBOL}-aggTrades.csv")
    plan = FaultPlan(drop_ids={SYMBOL: lost})
    async with running(tmp_path, SimulatorConfig(replay=(recording,), speed=0.0, faults=plan)) as whole:
        await whole.until(lambda: len(whole.held()) == 4_300, "all trades")

        coverage = whole.coverage()
        assert coverage.gaps == coverage.holes == ()
        assert sorted((gap.from_id, gap.to_id) for gap in coverage.repaired) == lost
        assert {gap.cause for gap in coverage.repaired} == {"stream"}
        assert all(gap.opened_at <= gap.closed_at <= MIDNIGHT + DAY_MS + HOUR_MS for gap in coverage.repaired)
        # A loss may be noticed at the end of its minute and again by the id after it: two questions each, rarely three.
        assert len(whole.rest.asked) <= 120


async def test_a_hole_of_300_000_ids_is_one_row_in_few_questions_while_live_trades_go_on(tmp_path: Path) -> None:
    start = 1_780_000_000_000
    config = SimulatorConfig(seed=3, speed=5.0, start_ms=start)
    probe = await asyncio.to_thread(lambda: SimulatedExchange(config).start())
    rest = BinanceRest(probe.rest_url)
    (newest,) = await asyncio.to_thread(lambda: rest.agg_trades("BTCUSDT", limit=1))
    (oldest,) = await asyncio.to_thread(lambda: rest.agg_trades("BTCUSDT", from_id=newest.trade_id - 304_000, limit=1))
    await asyncio.to_thread(probe.stop)
    hole = (oldest.trade_id + 2_000, oldest.trade_id + 301_999)
    config = SimulatorConfig(seed=3, speed=5.0, start_ms=start, faults=FaultPlan(holes={"BTCUSDT": [hole]}))

    history_ms = newest.trade_time - oldest.trade_time
    async with running(tmp_path, config, "BTCUSDT", history_ms) as whole:
        await whole.until(lambda: whole.coverage().holes, "the hole")

        coverage = whole.coverage()
        assert [(span.from_id, span.to_id, span.cause) for span in coverage.holes] == [(*hole, "not_served")]
        # Pages of what there is on both sides, four looks at the hole, and the live gaps of a start.
        assert len(whole.rest.asked) <= 20
        assert live_trades_wait_for_at_most(whole) <= 6_000


def live_trades_wait_for_at_most(whole: Whole) -> int:
    """The most records of repair that the log holds between two live trades."""
    end = whole.log.end_offset(RAW_TRADES.name, 0)
    records = [codec.raw(item.value) for item in whole.log.read_range(RAW_TRADES.name, 0, 0, end)]
    trades = [record for record in records if isinstance(record, Trade)]
    live = [place for place, trade in enumerate(trades) if trade.source == "simulated"]
    return max(after - before for before, after in zip(live, live[1:], strict=False))
