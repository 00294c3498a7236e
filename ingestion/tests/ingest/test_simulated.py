"""All of ingest against the simulated exchange and its faults."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from django.conf import settings

from ingestion.binance.lane import FeedLimits
from ingestion.binance.rest import BinanceRest
from ingestion.binance.simulator.server import SimulatedExchange, SimulatorConfig
from ingestion.ingest.loop import IngestConfig, IngestLoop
from ingestion.log import codec
from ingestion.log.sqlite import SqliteLog
from ingestion.log.topics import DEAD_LETTERS, RAW_TRADES
from ingestion.pipeline.records import DeadLetter, Kline, RawRecord, Trade, Want
from ingestion.tests.deadline import until

START = 1_780_000_000_000
QUICK = FeedLimits(tick_s=0.05, frozen_after_s=1.0, silent_after_s=1.5, proof_s=2.0, catch_up_stall_s=0.5)
RECORDED = Path("shared/data/binance/trades/2019-05-25-ADAUSDT.csv.gz")


class Watched:
    backfill_from_ms = None


class Run:
    """A simulated exchange and an ingest that listens to it."""

    def __init__(self, exchange: SimulatedExchange, folder: Path, *symbols: str) -> None:
        self.exchange = exchange
        self.log = SqliteLog(folder / "log.db", partitions=1, max_backlog=10**9)
        self.ingest = IngestLoop(
            IngestConfig(exchange.ws_url, "simulated", tick_s=0.05, limits=QUICK),
            self.log,
            BinanceRest(exchange.rest_url),
            lambda: dict.fromkeys(symbols, Watched()),
            random.Random(1),
        )
        self._read = 0
        self._records: list[RawRecord] = []

    @property
    def records(self) -> list[RawRecord]:
        end = self.log.end_offset(RAW_TRADES.name, 0)
        if end > self._read:
            stored = self.log.read_range(RAW_TRADES.name, 0, self._read, end)
            self._records += [codec.raw(record.value) for record in stored]
            self._read = end
        return self._records

    @property
    def letters(self) -> list[DeadLetter]:
        end = self.log.end_offset(DEAD_LETTERS.name, 0)
        return [codec.dead_letter(stored.value) for stored in self.log.read_range(DEAD_LETTERS.name, 0, 0, end)]

    def stream_ids(self, symbol: str) -> list[int]:
        return self._ids(symbol, "simulated")

    def rest_ids(self, symbol: str) -> list[int]:
        return self._ids(symbol, "rest")

    def _ids(self, symbol: str, source: str) -> list[int]:
        trades = [record for record in self.records if type(record) is Trade]
        return [trade.trade_id for trade in trades if (trade.symbol, trade.source) == (symbol, source)]

    def lost(self, symbol: str) -> set[int]:
        """Ids between the first and the last of the stream that the stream did not bring."""
        ids = set(self.stream_ids(symbol))
        return set(range(min(ids), max(ids) + 1)) - ids

    @property
    def connection(self) -> str:
        return self.ingest.snapshot.connections[0].name

    async def heard(self, symbol: str, more: int) -> None:
        """Wait until so many more trades of the symbol came."""
        reached = len(self.stream_ids(symbol)) + more
        await until(lambda: len(self.stream_ids(symbol)) >= reached, f"{more} more trades of {symbol}")

    async def fault(self, name: str, *args: object, **fields: object) -> None:
        await asyncio.to_thread(getattr(self.exchange.faults, name), *args, **fields)


@asynccontextmanager
async def running(folder: Path, config: SimulatorConfig, *symbols: str) -> AsyncIterator[Run]:
    exchange = await asyncio.to_thread(lambda: SimulatedExchange(config).start())
    run = Run(exchange, folder, *symbols)
    task = asyncio.create_task(run.ingest.run())
    try:
        await until(lambda: run.ingest.snapshot.connections and run.ingest.snapshot.frames)
        yield run
        assert not task.done() or task.result()
    finally:
        task.cancel()
        await asyncio.wait([task])
        await asyncio.to_thread(exchange.stop)
        run.log.close()


def made_up(speed: float = 20.0) -> SimulatorConfig:
    return SimulatorConfig(seed=3, speed=speed, start_ms=START)


async def test_an_announced_shutdown_loses_no_trade(tmp_path):
    async with running(tmp_path, made_up(), "BTCUSDT", "ETHUSDT") as run:
        await run.heard("BTCUSDT", 20)

        await run.fault("shut_down", delay_s=3.0)
        await until(lambda: run.connection == "0.2" and run.ingest.snapshot.connections[0].acknowledged == 2)
        await run.heard("BTCUSDT", 50)

        assert run.lost("BTCUSDT") == set()
        assert run.lost("ETHUSDT") == set()
        assert run.letters == []


async def test_after_a_cut_the_feed_goes_on_and_the_newest_row_is_logged_again(tmp_path):
    async with running(tmp_path, made_up(), "BTCUSDT") as run:
        await run.heard("BTCUSDT", 20)

        await run.fault("cut")
        await until(lambda: run.connection == "0.2" and run.ingest.snapshot.connections[0].acknowledged == 1)
        await run.heard("BTCUSDT", 20)

        await until(lambda: len(run.rest_ids("BTCUSDT")) == 2)

        assert [record.cause for record in run.records if type(record) is Want] == ["start"]


async def test_a_frozen_exchange_is_left_for_a_new_connection(tmp_path):
    async with running(tmp_path, made_up(), "BTCUSDT") as run:
        await run.heard("BTCUSDT", 5)

        await run.fault("change", frozen=True)
        await until(lambda: run.connection != "0.1")
        await run.fault("end")
        await run.heard("BTCUSDT", 5)


async def test_a_silent_symbol_costs_the_others_nothing(tmp_path):
    async with running(tmp_path, made_up(), "BTCUSDT", "ETHUSDT") as run:
        await run.heard("ETHUSDT", 5)

        await run.fault("change", frozen_symbols=["ETHUSDT"])
        await until(lambda: run.ingest.snapshot.connections[0].silent == ("ETHUSDT",))
        await until(lambda: run.connection != "0.1")
        await run.fault("end")
        await run.heard("ETHUSDT", 5)

        assert run.lost("BTCUSDT") == set()


async def test_broken_frames_are_kept_and_the_stream_goes_on(tmp_path):
    async with running(tmp_path, made_up(), "BTCUSDT") as run:
        await run.fault("malformed", '{"e":"aggTrade",')
        await until(lambda: run.letters)
        await run.heard("BTCUSDT", 5)

        (letter,) = run.letters
        assert (letter.reason, letter.frame) == ("not_json", b'{"e":"aggTrade",')


async def test_a_recorded_day_at_reading_speed_arrives_whole_and_in_order(tmp_path):
    recording = settings.BASE_DIR.parent / RECORDED
    if not recording.exists():
        pytest.skip(f"{RECORDED} is not beside the project")
    config = SimulatorConfig(replay=(recording,), speed=0)
    async with running(tmp_path, config, "ADAUSDT") as run:
        await until(lambda: run.stream_ids("ADAUSDT")[-1:] == [13_945_738], timeout_s=30.0)
        await until(lambda: [r for r in run.records if type(r) is Kline and r.event_time > 1_558_828_800_000])

    assert type(run.records[0]) is Want
    assert run.stream_ids("ADAUSDT") == list(range(13_923_958, 13_945_739))
    # The newest row was hours ahead when it was asked for; it waited until the stream had come as far.
    order = [(record.trade_id, record.source) for record in run.records if type(record) is Trade]
    for trade_id, source in order:
        if source == "rest":
            assert order.index((trade_id, "simulated")) < order.index((trade_id, "rest"))
    assert run.letters == []
