"""Repair against the simulated exchange, over HTTP, with the real processor and the real log."""

import time

import pytest

from ingestion.binance.rest import BadRequest, BinanceRest, ExchangeBusy
from ingestion.binance.simulator.server import SimulatedExchange, SimulatorConfig
from ingestion.log import codec
from ingestion.log.sqlite import SqliteLog
from ingestion.log.topics import COVERAGE, ENRICHED_TRADES, RAW_TRADES
from ingestion.pipeline.coverage import fold_events
from ingestion.pipeline.records import Want
from ingestion.process.role import ProcessTrades
from ingestion.repair.role import RepairGaps
from ingestion.repair.work import Policy
from markets.types import Asset

SYMBOL = "BTCUSDT"
SOON_S = 30.0


@pytest.fixture(scope="module")
def exchange():
    with SimulatedExchange(SimulatorConfig()).start() as running:
        yield running


@pytest.fixture
def rest(exchange):
    client = BinanceRest(exchange.rest_url)
    yield client
    client.close()


def test_the_client_speaks_with_the_exchange(rest):
    now_ms = rest.server_time()
    assert SYMBOL in {info.symbol for info in rest.exchange_info()}
    (newest,) = rest.agg_trades(SYMBOL, limit=1)
    assert newest.trade_time <= rest.server_time()

    page = rest.agg_trades(SYMBOL, from_id=newest.trade_id - 1_500)
    assert [t.trade_id for t in page] == list(range(newest.trade_id - 1_500, newest.trade_id - 500))
    (before,) = rest.agg_trades(SYMBOL, end_time=page[500].trade_time - 1, limit=1)
    assert before.trade_time < page[500].trade_time

    minute = now_ms - now_ms % 60_000
    klines = rest.klines(SYMBOL, "1m", end_time=minute - 1, limit=3)
    assert [k.open_time for k in klines] == [minute - 180_000, minute - 120_000, minute - 60_000]


def test_an_unknown_symbol_is_a_bad_request(rest):
    with pytest.raises(BadRequest) as caught:
        rest.agg_trades("NOSUCHUSDT")

    assert caught.value.code == -1121


def test_history_is_fetched_page_by_page_and_what_the_exchange_lacks_becomes_a_hole(exchange, rest, tmp_path):
    (newest,) = rest.agg_trades(SYMBOL, limit=1)
    first, last = newest.trade_id - 4_000, newest.trade_id
    (oldest,) = rest.agg_trades(SYMBOL, from_id=first, limit=1)
    holes = [[first + 10, first + 12], [first + 1_500, first + 3_000]]
    exchange.faults.change(holes={SYMBOL: holes})
    log = SqliteLog(tmp_path / "log.db")
    processor = ProcessTrades(log, lambda: {SYMBOL: Asset("BTC", "USDT")})
    repair = RepairGaps(log, rest, Policy(first_wait_s=0.0, confirm_s=(0.05, 0.05, 0.05)))
    log.append(
        RAW_TRADES.name, [codec.to_record(Want(SYMBOL, first, oldest.trade_time, "backfill", newest.trade_time))]
    )
    log.append(RAW_TRADES.name, [codec.to_record(newest)])

    deadline = time.monotonic() + SOON_S
    while len(_coverage(log).holes) < 2 or _coverage(log).gaps:
        assert time.monotonic() < deadline, _coverage(log)
        processor.step()
        repair.step()

    assert [[hole.from_id, hole.to_id] for hole in _coverage(log).holes] == holes
    expected = set(range(first, last + 1)) - {i for start, end in holes for i in range(start, end + 1)}
    stored = log.read_range(ENRICHED_TRADES.name, 0, 0, log.end_offset(ENRICHED_TRADES.name, 0))
    ids = [codec.enriched(record.value).trade.trade_id for record in stored]
    assert len(ids) == len(set(ids))
    assert set(ids) == expected
    exchange.faults.end()
    log.close()


def test_a_used_up_limit_says_how_long_to_wait(exchange, rest):
    exchange.faults.refuse(429, for_s=0.2, retry_after_s=1)

    with pytest.raises(ExchangeBusy) as busy:
        rest.server_time()

    assert busy.value.retry_after_s == 1


def _coverage(log):
    stored = log.read_range(COVERAGE.name, 0, 0, log.end_offset(COVERAGE.name, 0))
    return fold_events(codec.coverage(record.value) for record in stored)
