"""What the exchange's REST API was recorded to answer, and what our reader makes of it."""

import gzip
import json

import httpx2
import pytest

from ingestion.binance.errors import BadRequest, ExchangeBusy
from ingestion.binance.rest import BinanceRest
from ingestion.pipeline.parse import klines_from_rest
from ingestion.tests.pipeline.factories import recorded
from ingestion.tests.recorded.files import page


def _answering(body: bytes, status: int = 200) -> BinanceRest:
    return BinanceRest(
        "http://exchange", transport=httpx2.MockTransport(lambda _: httpx2.Response(status, content=body))
    )


def test_the_symbols_of_two_years_are_read():
    """Fact: symbols carry tick and step in PRICE_FILTER and LOT_SIZE, in 2021 as in 2025; every status is told."""
    small = _answering(gzip.decompress(recorded("rest/exchangeInfo_25symbols_2025-08-07.json.gz").read_bytes()))
    line = gzip.decompress(recorded("rest/exchangeInfo_full_2021-10-12.cryptofeed.gz").read_bytes())
    whole = _answering(line[line.index(b'{"timezone"') :].strip().splitlines()[0])

    few, many = small.exchange_info(), whole.exchange_info()

    assert len(few) == 25
    assert len(many) == 1_695
    assert all(info.tick_size > 0 and info.step_size > 0 for info in few if info.status == "TRADING")
    bitcoin = next(info for info in many if info.symbol == "BTCUSDT")
    assert (bitcoin.base, bitcoin.quote, bitcoin.tick_size, bitcoin.step_size) == ("BTC", "USDT", 1_000_000, 1_000)
    assert {info.status for info in many} >= {"TRADING", "BREAK"}


def test_each_recorded_refusal_says_whether_to_wait():
    """Fact: -1003 means waiting, with 429 and with 418; every other refusal is about the question."""
    for error in page("error_bodies.json"):
        rest = _answering(json.dumps(error["body"]).encode(), error["http_status"])
        expected = ExchangeBusy if error["http_status"] in (418, 429) else BadRequest

        with pytest.raises(expected):
            rest.server_time()


def test_a_close_time_is_taken_as_it_is_given():
    """Fact: after a halt a candle of 21:00 closed at 21:13:17.225 (ADAUSDT, 2019-06-07): no arithmetic gives that."""
    row = [1559941200000, *["0.08840000"] * 4, "0.00000000", 1559941997225, "0.00000000", 0, "0.0", "0.0", "0"]

    [kline] = klines_from_rest(json.dumps([row]).encode(), "ADAUSDT", "1h")

    assert kline.close_time == 1559941997225
    assert kline.close_time != kline.open_time + 3_599_999


def test_hours_of_six_weeks_follow_each_other():
    """Fact: without a halt there is a kline for every bucket: 1,000 hours, each with trades, none missing."""
    body = gzip.decompress(recorded("rest/klines_BTCUSDT_1h_2020-05-01_1000.json.gz").read_bytes())

    hours = klines_from_rest(body, "BTCUSDT", "1h")

    assert [hour.open_time for hour in hours] == list(
        range(hours[0].open_time, hours[0].open_time + 3_600_000_000, 3_600_000)
    )
    assert all(hour.trades for hour in hours)
    assert {(hour.first_fill_id, hour.last_fill_id) for hour in hours} == {(-1, -1)}
