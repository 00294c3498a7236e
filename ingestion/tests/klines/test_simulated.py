"""``ingest_klines`` against the simulated exchange: its streams, its REST, its clock and its faults."""

import contextlib
import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from django.conf import settings

from ingestion.binance.rest import BinanceRest
from ingestion.binance.simulator.server import SimulatedExchange, SimulatorConfig
from ingestion.klines.role import IngestKlines
from ingestion.klines.streams import KlineStreams
from ingestion.klines.surroundings import Surroundings
from ingestion.klines.track import Policy
from ingestion.log import codec
from ingestion.log.sqlite import SqliteLog
from ingestion.log.topics import DEAD_LETTERS, PRICES
from ingestion.pipeline.records import Kline
from markets.types import Interval

# 2026-11-20 11:58:30 UTC: half a minute of the feed later a quarter of an hour and an hour end.
START = 1_795_175_910_000
RECORDED = "shared/data/binance/trades/2019-05-25-ADAUSDT.csv.gz"
ROWS = {"1s": 60, "1m": 30, "15m": 8, "1h": 5, "1d": 2}


class Run:
    """The role on the simulated exchange; ``until`` turns it."""

    def __init__(self, exchange: SimulatedExchange, folder: Path, **symbols: bool) -> None:
        self.exchange, self.symbols = exchange, symbols
        self.log = SqliteLog(folder / "log.db")
        self.places: dict[tuple[str, str], tuple[int, int]] = {}
        self.role = self.make_role()

    def make_role(self) -> IngestKlines:
        rest, pool, rng = BinanceRest(self.exchange.rest_url), ThreadPoolExecutor(6), random.Random(1)
        streams = KlineStreams(self.exchange.ws_url, rest, pool, "simulated", rng=rng)
        around = Surroundings(
            self.log, rest, rest, streams, lambda: self.symbols,
            lambda: dict(self.places), self.places.update, lambda _: {}, pool,
        )  # fmt: skip
        return IngestKlines(around, Policy(rows=ROWS, spacing_s=0.5, rng=rng))

    def until(self, condition: Callable[[], object], timeout_s: float = 40.0) -> None:
        end = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < end, self.role.pulse().detail
            self.role.step()

    def klines(self, symbol: str, interval: str) -> list[Kline]:
        topic = PRICES[interval].name
        partition = self.log.partition_of(topic, symbol)
        records = self.log.read_range(topic, partition, 0, self.log.end_offset(topic, partition))
        return [kline for kline in (codec.kline(record.value) for record in records) if kline.symbol == symbol]

    def truth(self, symbol: str, interval: str, first: int, stop: int) -> list[Kline]:
        """What the exchange says in the end."""
        rest = BinanceRest(self.exchange.rest_url)
        return rest.klines(symbol, interval, start_time=first, end_time=stop - 1, limit=1000)

    def check(self, symbol: str, *intervals: str) -> None:
        """Everything between the places is held, and says what the exchange says now."""
        for interval in intervals:
            first, stop = self.places[symbol, interval]
            held = {kline.open_time: figures(kline) for kline in self.klines(symbol, interval)}
            truth = self.truth(symbol, interval, max(first, stop - 900 * Interval(interval).width_ms), stop)
            assert [held.get(kline.open_time) for kline in truth] == [figures(kline) for kline in truth], interval


def figures(kline: Kline) -> tuple[int, ...]:
    """What stream and REST both say."""
    return (kline.open_time, kline.open, kline.high, kline.low, kline.close, kline.volume, kline.quote_volume,
            kline.trades, kline.taker_buy_volume, kline.taker_buy_quote_volume)  # fmt: skip


@contextlib.contextmanager
def running(folder: Path, config: SimulatorConfig, **symbols: bool) -> Iterator[Run]:
    exchange = SimulatedExchange(config).start()
    run = Run(exchange, folder, **symbols)
    try:
        yield run
    finally:
        run.role.drain()
        exchange.stop()
        run.log.close()


def made_up(speed: float = 20.0) -> SimulatorConfig:
    return SimulatorConfig(seed=3, speed=speed, start_ms=START)


def sources(run: Run, symbol: str, interval: str) -> set[str]:
    return {kline.source for kline in run.klines(symbol, interval)}


def test_streams_and_rest_together_give_what_the_exchange_says(tmp_path):
    with running(tmp_path, made_up(), BTCUSDC=False, ETHUSDT=True) as run:
        run.until(lambda: run.places.get(("BTCUSDC", "1h"), (0, 0))[1] >= START + 90_000)
        run.until(lambda: run.places.get(("ETHUSDT", "1h"), (0, 0))[1] >= START + 90_000)
        run.until(lambda: "simulated" in sources(run, "BTCUSDC", "1m"))
        run.role.drain()

        run.check("BTCUSDC", "1s", "1m", "15m", "1h", "1d")
        run.check("ETHUSDT", "1s", "1m", "15m", "1h", "1d")
        assert sources(run, "ETHUSDT", "15m") == {"rest"}
        assert {"rest", "simulated"} <= sources(run, "BTCUSDC", "1s")


def test_cuts_refusals_lag_and_broken_frames_lose_nothing(tmp_path):
    with running(tmp_path, made_up(), BTCUSDC=False) as run:
        run.until(lambda: "simulated" in sources(run, "BTCUSDC", "1m"))
        run.exchange.faults.malformed('{"e":"kline","k":')
        run.exchange.faults.change(rest_lag_ms=15_000, cut_every_s=1.0)
        run.exchange.faults.refuse(status=429, for_s=1.5, retry_after_s=1)
        for _ in range(8):
            run.role.step()
        run.exchange.faults.end()
        reached = run.places.get(("BTCUSDC", "1m"), (0, START))[1]
        run.until(lambda: run.places.get(("BTCUSDC", "1m"), (0, 0))[1] > reached + 120_000)
        run.role.drain()

        run.check("BTCUSDC", "1s", "1m", "15m")
        letters = run.log.read_range(DEAD_LETTERS.name, 0, 0, run.log.end_offset(DEAD_LETTERS.name, 0))
        assert b'{"e":"kline","k":' in {codec.dead_letter(record.value).frame for record in letters}


def test_a_killed_role_goes_on_where_it_was(tmp_path):
    with running(tmp_path, made_up(), BTCUSDC=False) as run:
        run.until(lambda: run.places.get(("BTCUSDC", "1m"), (0, 0))[1] > START + 60_000)
        dead, reached = run.role, run.places["BTCUSDC", "1m"][1]

        run.role = run.make_role()
        run.until(lambda: run.places.get(("BTCUSDC", "1m"), (0, 0))[1] > reached + 120_000)
        run.role.drain()

        run.check("BTCUSDC", "1s", "1m", "15m")
        dead.drain()


def test_a_replay_of_2019_behaves_as_2019_did(tmp_path):
    recording = settings.BASE_DIR.parent / RECORDED
    if not recording.exists():
        pytest.skip(f"{RECORDED} is not beside the project")
    config = SimulatorConfig(replay=(recording,), speed=2_000)
    with running(tmp_path, config, ADAUSDT=True) as run:
        six = 1_558_764_000_000  # 2019-05-25 06:00 UTC
        run.until(lambda: run.places.get(("ADAUSDT", "1h"), (0, 0))[1] >= six)
        run.role.drain()

        run.check("ADAUSDT", "15m", "1h")
        assert max(kline.open_time for kline in run.klines("ADAUSDT", "1h")) < 1_558_828_800_000
