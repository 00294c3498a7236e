"""The REST side of the protocol."""

import gzip
import json

import httpx2
import pytest

from ingestion.binance.simulator.parameters import ApiError
from ingestion.binance.simulator.weights import Weights
from ingestion.tests.binance.simulator.support import get, recorded, running
from markets.types import DAY_MS, HOUR_MS, MINUTE_MS

START = 1_780_000_000_000 // DAY_MS * DAY_MS + 12 * HOUR_MS


@pytest.fixture(scope="module")
def exchange():
    # So slow that its clock stands still for the tests.
    with running(start_ms=START, speed=1e-6, weight_limit=10**9) as running_exchange:
        yield running_exchange


def ok(exchange, path, **params):
    answer = get(exchange, path, **params)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_ping_is_empty_and_time_is_the_clock(exchange):
    assert get(exchange, "ping").text == "{}"
    assert ok(exchange, "time") == {"serverTime": START}


def test_answers_carry_their_weight(exchange):
    before = int(get(exchange, "ping").headers["X-MBX-USED-WEIGHT-1M"])
    after = int(get(exchange, "aggTrades", symbol="BTCUSDT").headers["X-MBX-USED-WEIGHT-1M"])

    assert after - before == 4 or after == 4


def test_symbols_have_every_field_of_a_recorded_exchange_info(exchange):
    ours = ok(exchange, "exchangeInfo")
    theirs = json.loads(gzip.decompress(recorded("rest/exchangeInfo_25symbols_2025-08-07.json.gz").read_bytes()))

    assert set(theirs) <= set(ours)
    for symbol in ours["symbols"]:
        assert set(theirs["symbols"][0]) <= set(symbol)
        assert [found["filterType"] for found in symbol["filters"]][:2] == ["PRICE_FILTER", "LOT_SIZE"]
        assert symbol["permissions"] == []
        assert symbol["permissionSets"] == [["SPOT"]]


def test_exchange_info_of_some_symbols(exchange):
    one = ok(exchange, "exchangeInfo", symbol="ETHBTC")["symbols"]
    two = ok(exchange, "exchangeInfo", symbols='["BTCUSDT","ETHUSDT"]')["symbols"]

    assert [(symbol["baseAsset"], symbol["quoteAsset"]) for symbol in one] == [("ETH", "BTC")]
    assert [symbol["symbol"] for symbol in two] == ["BTCUSDT", "ETHUSDT"]


@pytest.mark.parametrize(
    ("name", "path", "params"),
    [
        ("rest/aggTrades_BTCUSDT_fromId-202790190_limit-1000.json.gz", "aggTrades", {"symbol": "BTCUSDT"}),
        ("rest/trades_ETHBTC_limit-1000.json.gz", "trades", {"symbol": "ETHBTC"}),
        ("rest/klines_BTCUSDT_1h_2020-05-01_1000.json.gz", "klines", {"symbol": "BTCUSDT", "interval": "1h"}),
    ],
)
def test_rows_have_the_fields_and_types_of_recorded_ones(exchange, name, path, params):
    theirs = json.loads(gzip.decompress(recorded(name).read_bytes()))[0]
    ours = ok(exchange, path, **params)[0]

    if isinstance(theirs, dict):
        assert {key: type(value) for key, value in ours.items()} == {key: type(value) for key, value in theirs.items()}
    else:
        assert [type(value) for value in ours] == [type(value) for value in theirs]


def test_agg_trades_page_by_id_without_a_seam(exchange):
    first = ok(exchange, "aggTrades", symbol="BTCUSDT", fromId=1000, limit=1000)
    second = ok(exchange, "aggTrades", symbol="BTCUSDT", fromId=first[-1]["a"] + 1, limit=1000)

    ids = [row["a"] for row in first + second]
    assert ids == list(range(1000, 3000))
    assert second[0]["f"] == first[-1]["l"] + 1


def test_agg_trades_by_time_include_both_ends(exchange):
    rows = ok(exchange, "aggTrades", symbol="ETHUSDT", startTime=START - MINUTE_MS, endTime=START)
    first, last = rows[0]["T"], rows[-1]["T"]

    inside = ok(exchange, "aggTrades", symbol="ETHUSDT", startTime=first, endTime=last)
    before = ok(exchange, "aggTrades", symbol="ETHUSDT", endTime=last, limit=3)
    after = ok(exchange, "aggTrades", symbol="ETHUSDT", startTime=first, limit=3)

    assert inside == rows
    assert before == rows[-3:]
    assert after == rows[:3]


def test_the_newest_trades_are_those_of_the_clock(exchange):
    newest = ok(exchange, "aggTrades", symbol="BTCUSDT", limit=1)
    beyond = ok(exchange, "aggTrades", symbol="BTCUSDT", fromId=newest[0]["a"] + 1)

    assert START - MINUTE_MS < newest[0]["T"] <= START
    assert beyond == []


def test_microseconds_in_and_out(exchange):
    plain = ok(exchange, "aggTrades", symbol="ETHUSDT", startTime=START - MINUTE_MS, limit=2)
    asked = ok(exchange, "aggTrades", symbol="ETHUSDT", startTime=(START - MINUTE_MS) * 1000, limit=2)
    url = f"{exchange.rest_url}/api/v3/klines"
    params = {"symbol": "ETHUSDT", "interval": "1m", "limit": 1}
    micro = httpx2.get(url, params=params, headers={"X-MBX-TIME-UNIT": "MICROSECOND"}).json()[0]
    wrong = httpx2.get(url, params=params, headers={"X-MBX-TIME-UNIT": "DAY"})

    assert asked == plain
    assert micro[6] - micro[0] == 59_999_999
    assert (wrong.status_code, wrong.json()["code"]) == (400, -1194)


def test_klines_are_chosen_by_open_time_with_both_ends(exchange):
    params = {"symbol": "BTCUSDT", "interval": "1m"}
    opens = [START - 5 * MINUTE_MS + number * MINUTE_MS for number in range(6)]

    def found(**more):
        return [row[0] for row in ok(exchange, "klines", **params, **more)]

    assert found(limit=6) == opens
    assert found(startTime=opens[0], endTime=opens[2]) == opens[:3]
    assert found(startTime=opens[0] + 1, endTime=opens[2]) == opens[1:3]
    assert found(endTime=opens[2], limit=2) == opens[1:3]
    assert len(found(startTime=START - DAY_MS, endTime=START)) == 500
    assert len(found(limit=5000)) == 1000


def test_klines_from_the_beginning_of_time_are_the_first_there_are(exchange):
    rows = ok(exchange, "klines", symbol="BTCUSDT", interval="1d", startTime=0, limit=1)

    assert rows[0][0] == 1_704_067_200_000
    assert rows[0][8] > 100_000


@pytest.mark.parametrize("interval", ["1s", "3m", "1h", "3d", "1w", "1M"])
def test_klines_of_every_width_follow_each_other(exchange, interval):
    rows = ok(exchange, "klines", symbol="XMRBTC", interval=interval, limit=5)

    assert all(later[0] == row[6] + 1 for row, later in zip(rows, rows[1:], strict=False))
    assert rows[-1][0] <= START <= rows[-1][6]


def test_days_of_another_time_zone_open_at_another_hour(exchange):
    row = ok(exchange, "klines", symbol="XMRBTC", interval="1d", timeZone="+8:00", limit=1)[0]

    assert row[0] % DAY_MS == 16 * HOUR_MS


def test_ui_klines_are_klines(exchange):
    params = {"symbol": "BTCUSDT", "interval": "5m", "limit": 3}

    assert ok(exchange, "uiKlines", **params) == ok(exchange, "klines", **params)


def test_the_quote_of_each_fill_is_cut_down(exchange):
    fills = ok(exchange, "trades", symbol="ETHBTC", limit=1000)

    def scaled(text):
        return int(text.replace(".", ""))

    assert len(fills) == 1000
    assert [fill["id"] for fill in fills] == list(range(fills[0]["id"], fills[0]["id"] + 1000))
    assert all(scaled(f["quoteQty"]) == scaled(f["price"]) * scaled(f["qty"]) // 10**8 for f in fills)
    assert any(scaled(f["price"]) * scaled(f["qty"]) % 10**8 for f in fills)


def test_a_days_ticker_is_the_sum_of_its_trades(exchange):
    full = ok(exchange, "ticker/24hr", symbol="XMRBTC")
    mini = ok(exchange, "ticker/24hr", symbol="XMRBTC", type="MINI")
    trades = ok(exchange, "aggTrades", symbol="XMRBTC", startTime=full["openTime"], endTime=START, limit=1000)

    assert full["closeTime"] - full["openTime"] == DAY_MS
    assert full["count"] == sum(t["l"] - t["f"] + 1 for t in trades)
    assert (full["firstId"], full["lastId"]) == (trades[0]["f"], trades[-1]["l"])
    assert int(full["volume"].replace(".", "")) == sum(int(t["q"].replace(".", "")) for t in trades)
    assert full["lastPrice"] == trades[-1]["p"]
    assert full["bidPrice"] == "0.00000000"
    assert set(full) - set(mini) >= {"priceChange", "weightedAvgPrice", "bidPrice"}
    assert set(mini) < set(full)


def test_prices_of_one_some_and_all_symbols(exchange):
    one = ok(exchange, "ticker/price", symbol="BTCUSDT")

    assert one["symbol"] == "BTCUSDT"
    assert ok(exchange, "ticker/price", symbols='["BTCUSDT"]') == [one]
    assert one in ok(exchange, "ticker/price")
    assert ok(exchange, "avgPrice", symbol="BTCUSDT")["mins"] == 5


@pytest.mark.parametrize(
    ("path", "query", "code", "words"),
    [
        ("klines", "symbol=BTCUSDT&interval=2m", -1120, "Invalid interval."),
        ("klines", "symbol=BTCUSDT", -1102, "Mandatory parameter 'interval' was not sent"),
        ("klines", "symbol=NOSUCH&interval=1m", -1121, "Invalid symbol."),
        ("klines", "symbol=btcusdt&interval=1m", -1100, "Illegal characters found in parameter 'symbol'"),
        ("klines", "symbol=BTCUSDT&interval=1m&timeZone=99", -1130, "timeZone"),
        ("aggTrades", "", -1102, "Mandatory parameter 'symbol' was not sent"),
        ("aggTrades", "symbol=", -1102, "Mandatory parameter 'symbol' was not sent"),
        ("aggTrades", "symbol=BTCUSDT&fromId=1&startTime=1", -1128, "Combination of optional parameters invalid."),
        ("aggTrades", "symbol=BTCUSDT&fromId=-1", -1100, "legal range is '^[0-9]{1,20}$'"),
        ("aggTrades", "symbol=BTCUSDT&limit=x", -1100, "parameter 'limit'"),
        ("aggTrades", "symbol=BTCUSDT&limit=0", -1130, "limit"),
        (
            "aggTrades",
            "symbol=BTCUSDT&foo=1",
            -1104,
            "Not all sent parameters were read; read '1' parameter(s) but was sent '2'.",
        ),
        ("aggTrades", "symbol=BTCUSDT&symbol=BTCUSDT", -1101, "Duplicate"),
        ("exchangeInfo", 'symbol=BTCUSDT&symbols=["BTCUSDT"]', -1128, "Combination"),
        ("ticker/24hr", "symbol=BTCUSDT&type=BIG", -1130, "type"),
    ],
)
def test_a_bad_request_gets_the_exchanges_error(exchange, path, query, code, words):
    answer = httpx2.get(f"{exchange.rest_url}/api/v3/{path}?{query}")

    assert answer.status_code == 400
    assert answer.headers["content-type"].startswith("application/json")
    assert list(answer.json()) == ["code", "msg"]
    assert answer.json()["code"] == code
    assert words in answer.json()["msg"]


def test_an_unknown_path_is_404(exchange):
    assert get(exchange, "depthcharge").status_code == 404


def test_too_much_weight_is_429_and_going_on_is_418():
    with running(weight_limit=10) as small:
        refused = [
            answer for _ in range(30) if (answer := get(small, "aggTrades", symbol="BTCUSDT")).status_code != 200
        ]

    first, last = refused[0], refused[-1]
    assert first.status_code == 429
    assert first.json()["code"] == -1003
    assert "current limit is 10 request weight per 1 MINUTE" in first.json()["msg"]
    assert 1 <= int(first.headers["Retry-After"]) <= 60
    assert last.status_code == 418
    assert "IP banned until" in last.json()["msg"]
    assert int(last.headers["Retry-After"]) > 60


def test_the_count_of_weights_begins_anew_each_minute():
    now = [120.0]
    weights = Weights(10, lambda: now[0])
    weights.spend("me", 10)
    with pytest.raises(ApiError) as refused:
        weights.spend("me", 1)

    now[0] = 180.0

    assert refused.value.headers["Retry-After"] == "60"
    assert weights.spend("me", 3) == 3
    assert weights.spend("you", 1) == 1
