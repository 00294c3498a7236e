"""The REST client: what it asks, what it understands, and when it keeps still."""

import json

import httpx2
import pytest

from ingestion.binance.rest import (
    BadAnswer,
    BadRequest,
    BinanceRest,
    ExchangeAway,
    ExchangeBusy,
    RegionRefused,
    SymbolInfo,
)

ROW = {"a": 26129, "p": "0.01633102", "q": "4.70443515", "f": 27781, "l": 27782, "T": 1498793709153, "m": True}
KLINE = [1499040000000, "0.0163", "0.8", "0.0157", "0.0158", "148976.1", 1499040059999, "2434.1", 308, "1", "2", "0"]


class Exchange:
    """Answers from a list, and keeps the requests."""

    def __init__(self, *answers):
        self.answers, self.requests, self.now_s = list(answers), [], 1_700_000_000.0

    def __call__(self, request):
        self.requests.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        status, body, *headers = answer
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return httpx2.Response(status, content=content, headers=headers[0] if headers else {})

    def client(self, **options):
        return BinanceRest(
            "http://exchange/", transport=httpx2.MockTransport(self), clock=lambda: self.now_s, **options
        )


def test_trades_are_asked_by_id_and_read_exactly():
    exchange = Exchange((200, [ROW]))

    (trade,) = exchange.client().agg_trades("BNBBTC", from_id=26129)

    assert str(exchange.requests[0].url) == "http://exchange/api/v3/aggTrades?symbol=BNBBTC&fromId=26129&limit=1000"
    assert (trade.symbol, trade.trade_id, trade.price, trade.qty) == ("BNBBTC", 26129, 1633102, 470443515)
    assert (trade.first_id, trade.last_id, trade.is_buyer_maker) == (27781, 27782, True)
    assert trade.trade_time == 1498793709153
    assert (trade.source, trade.event_time, trade.ingest_ts) == ("rest", None, 1_700_000_000_000)


@pytest.mark.parametrize(
    ("options", "query"),
    [
        ({}, "symbol=X&limit=1000"),
        ({"limit": 1}, "symbol=X&limit=1"),
        ({"end_time": 5, "limit": 1}, "symbol=X&endTime=5&limit=1"),
        ({"start_time": 0, "end_time": 9}, "symbol=X&startTime=0&endTime=9&limit=1000"),
        ({"from_id": 0}, "symbol=X&fromId=0&limit=1000"),
    ],
)
def test_only_what_was_given_is_sent_because_the_exchange_refuses_anything_else(options, query):
    exchange = Exchange((200, []))

    assert exchange.client().agg_trades("X", **options) == []

    assert exchange.requests[0].url.query.decode() == query


def test_klines_are_read():
    exchange = Exchange((200, [KLINE]))

    (kline,) = exchange.client().klines("BNBBTC", "1m", start_time=1499040000000)

    assert exchange.requests[0].url.path == "/api/v3/klines"
    assert (kline.open_time, kline.close_time, kline.trades) == (1499040000000, 1499040059999, 308)
    assert kline.high == 80_000_000


def test_the_servers_time_is_read():
    assert Exchange((200, {"serverTime": 1499827319559})).client().server_time() == 1499827319559


def test_exchange_info_gives_symbols_with_exact_steps_and_ignores_the_rest():
    price = {"filterType": "PRICE_FILTER", "minPrice": "0.01", "tickSize": "0.01000000"}
    lot = {"filterType": "LOT_SIZE", "stepSize": "0.00001000"}
    symbol = {"symbol": "BTCUSDT", "status": "TRADING", "baseAsset": "BTC", "quoteAsset": "USDT"}
    exchange = Exchange(
        (200, {"timezone": "UTC", "symbols": [symbol | {"filters": [price, {"filterType": "NEW"}, lot]}, symbol]})
    )

    infos = exchange.client().exchange_info()

    assert infos == [
        SymbolInfo("BTCUSDT", "BTC", "USDT", "TRADING", tick_size=1_000_000, step_size=1_000),
        SymbolInfo("BTCUSDT", "BTC", "USDT", "TRADING", tick_size=0, step_size=0),
    ]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (httpx2.ConnectError("refused"), ExchangeAway),
        (httpx2.ReadTimeout("slow"), ExchangeAway),
        (httpx2.RemoteProtocolError("cut"), ExchangeAway),
        ((502, b"<html>"), ExchangeAway),
        ((504, {"code": -1007, "msg": "Timeout"}), ExchangeAway),
        ((302, b""), ExchangeAway),
        ((200, b"<html>welcome to our hotel</html>"), BadAnswer),
        ((200, [ROW | {"p": "NaN"}]), BadAnswer),
        ((403, b"<html>"), RegionRefused),
        ((451, {"code": 0, "msg": "restricted location"}), RegionRefused),
        ((400, {"code": -1121, "msg": "Invalid symbol."}), BadRequest),
        ((404, b"<html>"), BadRequest),
        ((429, {"code": -1003, "msg": "Too much"}), ExchangeBusy),
        ((418, {"code": -1003, "msg": "banned"}), ExchangeBusy),
        ((400, {"code": -1008, "msg": "overloaded"}), ExchangeBusy),
    ],
)
def test_each_refusal_is_told_apart(answer, error):
    with pytest.raises(error):
        Exchange(answer).client().agg_trades("X")


def test_a_bad_request_carries_the_exchanges_code_and_words():
    with pytest.raises(BadRequest) as caught:
        Exchange((400, {"code": -1121, "msg": "Invalid symbol."})).client().agg_trades("X")

    assert (caught.value.code, caught.value.msg) == (-1121, "Invalid symbol.")


def test_nothing_is_asked_while_the_exchange_wants_to_be_left_alone():
    exchange = Exchange((429, {"code": -1003, "msg": "x"}, {"Retry-After": "17"}), (200, []))
    client = exchange.client()
    with pytest.raises(ExchangeBusy) as caught:
        client.agg_trades("X")
    assert caught.value.retry_after_s == 17

    exchange.now_s += 16.5
    with pytest.raises(ExchangeBusy) as caught:
        client.agg_trades("X")
    assert caught.value.retry_after_s == pytest.approx(0.5)
    assert len(exchange.requests) == 1

    exchange.now_s += 0.5
    assert client.agg_trades("X") == []


def test_the_exchanges_own_count_of_the_minute_is_believed():
    exchange = Exchange((200, [], {"X-MBX-USED-WEIGHT-1M": "5398"}), (200, []))
    client = exchange.client()
    client.agg_trades("X")

    with pytest.raises(ExchangeBusy) as caught:
        client.agg_trades("X")

    # 5398 + 4 is over nine tenths of 6000; the minute ends in 40 s.
    assert caught.value.retry_after_s == 40
    exchange.now_s += 40
    assert client.agg_trades("X") == []


def test_the_limit_that_exchange_info_names_counts_from_then_on():
    limits = [
        {"rateLimitType": "RAW_REQUESTS", "interval": "MINUTE", "intervalNum": 5, "limit": 300000},
        {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 26},
    ]
    exchange = Exchange((200, {"symbols": [], "rateLimits": limits}), (200, []))
    client = exchange.client(weight_share=1.0)

    client.exchange_info()
    client.agg_trades("X")

    with pytest.raises(ExchangeBusy):
        client.agg_trades("X")
