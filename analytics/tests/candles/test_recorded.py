"""A recorded day through the processor, the log, the tables, rebuilds and roll-ups."""

import csv
import datetime as dt
import gzip
import random

import pytest
from django.conf import settings

from analytics.candles.rebuild import rebuild_dirty
from analytics.candles.rollup import roll_up_dirty
from analytics.candles.store import CoverageBook
from analytics.clickhouse.client import client
from analytics.models import Dirty
from analytics.sink import positions
from analytics.sink.load import load
from analytics.sink.marks import Mark, Marks
from analytics.sink.tables import ROUTES
from ingestion.log import codec
from ingestion.log.topics import CANDLES_1M, GROUP_PROCESS, RAW_TRADES
from ingestion.pipeline.records import Trade, Want
from ingestion.process.role import ProcessTrades
from markets.types import DAY_MS, MINUTE_MS, Asset, to_scaled

pytestmark = pytest.mark.django_db(transaction=True)

ADA = "ADAUSDT"
DATA = settings.BASE_DIR.parent / "shared/data/binance"
DAY = 1_558_742_400_000
FIELDS = (
    "open", "high", "low", "close", "volume", "quote_volume", "trades", "taker_buy_volume", "taker_buy_quote_volume",
)  # fmt: skip
COLUMNS = ("open", "high", "low", "close", "volume", "quote_av", "trades", "tb_base_av", "tb_quote_av")


@pytest.fixture
def recorded():
    """The fills of 2019-05-25 as trades, and one trade of the next day that lets the last minute close."""
    path = DATA / "trades/2019-05-25-ADAUSDT.csv.gz"
    if not path.exists():
        pytest.skip("no recorded data")
    with gzip.open(path, "rt", newline="") as file:
        fills = sorted((_trade(row) for row in csv.DictReader(file)), key=lambda fill: fill.trade_id)
    after = fills[-1].trade_id + 1
    later = DAY + DAY_MS + 4_000
    return [*fills, Trade(ADA, after, 1, 1, after, after, later, False, "binance", later, later)]


def _trade(row):
    fill = int(row["trade_id"])
    return Trade(
        ADA,
        fill,
        to_scaled(row["price"]),
        to_scaled(row["quantity"]),
        fill,
        fill,
        int(row["trade_time"]),
        row["buyer_market_maker"] == "true",
        "binance",
        int(row["event_time"]) + 5,
        int(row["event_time"]),
    )


def process(log, trades):
    log.append(RAW_TRADES.name, [codec.to_record(Want(ADA, trades[0].trade_id, DAY, "start", DAY))])
    log.append(RAW_TRADES.name, [codec.to_record(made) for made in trades])
    role = ProcessTrades(log, lambda: {ADA: Asset("ADA", "USDT")})
    while log.position(GROUP_PROCESS, RAW_TRADES.name, 0) < log.end_offset(RAW_TRADES.name, 0):
        role.step()
    role.drain()


def settle(log):
    """Sink, rebuild and roll up until nothing is left to do."""
    book = CoverageBook()
    for _ in range(20):
        moved = [load(log, topic, 0, max_rows=20_000, chance=random.Random(1)) for topic in ROUTES]
        if not any([*moved, rebuild_dirty(log, book), roll_up_dirty()]):
            return
    raise AssertionError("it does not come to rest")


def published(log, start=0):
    records = log.read_range(CANDLES_1M.name, 0, start, log.end_offset(CANDLES_1M.name, 0))
    return {item.open_time: item for item in (codec.candle(record.value).candle for record in records)}


def ours(interval):
    rows = client().query(
        f"SELECT toUnixTimestamp64Milli(open_time), {', '.join(FIELDS)} FROM candles FINAL "
        "WHERE interval = {interval:String} ORDER BY open_time",
        parameters={"interval": interval},
    )
    return {open_time: [_scaled(value) for value in values] for open_time, *values in rows.result_rows}


def theirs(interval):
    with (DATA / f"klines/ADAUSDT-{interval}_2019-05-25_and_2019-06-01.kidogb.csv").open() as file:
        rows = [(_millis(row["timestamp"]), row) for row in csv.DictReader(file)]
    return {
        open_time: [_scaled(row[column]) for column in COLUMNS]
        for open_time, row in rows
        if DAY <= open_time < DAY + DAY_MS
    }


def _millis(text):
    return int(dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC).timestamp() * 1_000)


def _scaled(value):
    return to_scaled(f"{value}")


def test_rolled_up_hours_and_the_day_equal_the_exchanges_candles(clickhouse, log, recorded):
    process(log, recorded)

    settle(log)

    for interval, count in (("1h", 24), ("1d", 1)):
        expected = theirs(interval)
        assert len(expected) == count
        assert ours(interval) == expected


def test_rebuilt_minutes_equal_those_that_closed_live_bit_for_bit(clickhouse, log, recorded):
    process(log, recorded)
    settle(log)
    live = published(log)
    clickhouse.command("TRUNCATE TABLE candles")
    clickhouse.command("TRUNCATE TABLE candle_journal")
    before = log.end_offset(CANDLES_1M.name, 0)

    positions.mark_dirty(Marks(Mark(ADA, "1m", at) for at in range(DAY, DAY + DAY_MS, MINUTE_MS)))
    settle(log)

    again = published(log, before)
    assert len(again) == 1_440
    assert {at: made for at, made in live.items() if at in again} == again
    assert not Dirty.objects.exists()
