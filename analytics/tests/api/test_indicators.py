"""``/indicators`` over stored klines."""

import random

import numpy as np
import pytest
import talib

from analytics.indicators.update import update
from analytics.tests.samples import BTC
from ingestion.log import codec
from ingestion.log.topics import PRICES
from ingestion.pipeline.records import Kline
from markets.types import SCALE

pytestmark = pytest.mark.django_db

MINUTE = 60_000
# 2019-06-01 00:00 UTC.
DAY = 1_559_347_200_000
CLOSES = [100 * SCALE + round(10 * np.sin(n / 9.0) * 100) * SCALE // 100 for n in range(700)]


@pytest.fixture
def klines(stage):
    """700 minutes of the exchange's own candles."""
    made = [
        Kline(BTC, "1m", DAY + n * MINUTE, DAY + n * MINUTE + 59_999, close, close + SCALE, close - SCALE, close,
              SCALE * (1 + n % 5), SCALE * 500, 7, SCALE, SCALE * 100, -1, -1, True, "rest", DAY + n * MINUTE + 59_999)
        for n, close in enumerate(CLOSES)
    ]  # fmt: skip
    stage.log.append(PRICES["1m"].name, [codec.to_record(kline) for kline in made])
    return stage.sink()


def test_any_period_is_computed_with_its_warm_up(get, klines):
    body = get("/indicators", symbol=BTC, interval="1m", names="ema:7,rsi:9,macd", limit=5).json()

    closes = np.array(CLOSES) / SCALE
    assert [row["open_time"] for row in body["indicators"]] == [DAY + n * MINUTE for n in range(695, 700)]
    assert list(body["indicators"][0]["values"]) == ["ema_7", "rsi_9", "macd", "macd_signal", "macd_hist"]
    newest = body["indicators"][-1]["values"]
    assert newest["ema_7"] == pytest.approx(talib.EMA(closes, 7)[-1], rel=1e-10)
    assert newest["rsi_9"] == pytest.approx(talib.RSI(closes, 9)[-1], rel=2.5e-7)
    assert body["warm_up"] == 350
    assert (body["coverage"]["from"], body["coverage"]["to"]) == (DAY + 695 * MINUTE, DAY + 700 * MINUTE)


def test_pages_join_and_say_the_same_as_one_answer(get, klines):
    query = {"symbol": BTC, "interval": "1m", "names": "sma:20,obv", "from": DAY + 100 * MINUTE}
    whole = get("/indicators", **query).json()["indicators"]

    rows, cursor = [], None
    while True:
        page = get("/indicators", **query, limit=170, **({"cursor": cursor} if cursor else {})).json()
        rows += page["indicators"]
        cursor = page["next"]
        if cursor is None:
            break

    assert len(rows) == 600
    for place, row in enumerate(rows[:500]):
        assert row["open_time"] == whole[place]["open_time"]
        assert row["values"] == pytest.approx(whole[place]["values"], rel=1e-12)
    assert {row["values"]["anchor"] for row in rows} == {DAY}


def test_what_is_kept_is_what_is_answered(get, klines, clickhouse):
    update(klines.log, PRICES["1m"].name, 0, chance=random.Random(1))
    ((stored,),) = clickhouse.query(
        f"SELECT values FROM indicators FINAL WHERE open_time = fromUnixTimestamp64Milli({DAY + 650 * MINUTE}::Int64)"
    ).result_rows

    body = get("/indicators", symbol=BTC, interval="1m", from_=DAY + 650 * MINUTE, limit=1).json()

    (row,) = body["indicators"]
    assert {name: value for name, value in row["values"].items() if value is not None} == pytest.approx(
        stored, rel=1e-9
    )


def test_a_value_without_enough_bars_is_null(get, klines):
    body = get("/indicators", symbol=BTC, interval="1m", names="sma:20", from_=DAY + 18 * MINUTE, limit=2).json()

    assert [row["values"]["sma_20"] is None for row in body["indicators"]] == [True, False]


def test_a_range_begins_with_the_first_kline_that_there_is(get, klines):
    body = get("/indicators", symbol=BTC, interval="1m", names="sma:2", from_=0, limit=3).json()

    assert [row["open_time"] for row in body["indicators"]] == [DAY, DAY + MINUTE, DAY + 2 * MINUTE]
    assert get("/indicators", symbol=BTC, interval="1m", from_=DAY + 10**9).json()["indicators"] == []


def test_a_symbol_without_klines_has_none(get, klines):
    body = get("/indicators", symbol="ADAUSDT", interval="1h").json()

    assert (body["indicators"], body["next"]) == ([], None)


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"interval": "1m", "names": "sma:20,nothing"}, "names"),
        ({"interval": "1m", "names": "sma:1"}, "names"),
        ({"interval": "1m", "names": "macd:12"}, "names"),
        ({"interval": "1m", "names": ",".join(f"sma:{n}" for n in range(2, 40))}, "names"),
        ({"interval": "3m"}, "interval"),
        ({"interval": "1m", "from": DAY, "to": DAY - 1}, "from"),
        ({"interval": "1m", "cursor": "x"}, "cursor"),
    ],
)
def test_a_wrong_parameter_is_named_with_what_is_allowed(get, klines, query, param):
    response = get("/indicators", symbol=BTC, **query)

    assert response.status_code == 400
    assert response["Content-Type"] == "application/problem+json"
    body = response.json()
    assert body["param"] == param
    assert body["allowed"]
