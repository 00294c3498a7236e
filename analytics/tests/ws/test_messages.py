import json

import pytest

from analytics.ws.messages import (
    Channel,
    Code,
    ListSubscriptions,
    Ping,
    Refused,
    Subscribe,
    Topic,
    Unsubscribe,
    decode,
    refused,
)
from markets.types import Interval

CANDLES = {"channel": "candles", "symbol": "btcusdt", "interval": "1m"}


@pytest.mark.parametrize(
    ("wire", "request_"),
    [
        ({"op": "ping", "id": 3}, Ping(3)),
        ({"op": "list"}, ListSubscriptions(None)),
        (
            {"op": "subscribe", "id": 1, **CANDLES, "since": "abc"},
            Subscribe(1, Topic(Channel.CANDLES, "BTCUSDT", Interval.M1), "abc"),
        ),
        (
            {"op": "unsubscribe", "id": "x", "channel": "trades", "symbol": "BtcUsdt", "interval": "9m"},
            Unsubscribe("x", Topic(Channel.TRADES, "BTCUSDT")),
        ),
        ({"op": "subscribe", "channel": "alerts"}, Subscribe(None, Topic(Channel.ALERTS, ""))),
        ({"op": "ping", "id": 1, "later": "field"}, Ping(1)),
    ],
)
def test_requests_are_read_and_symbols_made_upper_case(wire, request_):
    assert decode(json.dumps(wire)) == request_


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (None, Code.BAD_MESSAGE),
        ("", Code.BAD_MESSAGE),
        ("[]", Code.BAD_MESSAGE),
        ('{"op":1}', Code.BAD_MESSAGE),
        ("{}", Code.BAD_MESSAGE),
        ('{"op":"ping","id":"%s"}' % ("é" * 2040), Code.BAD_MESSAGE),
        ("[" * 3000, Code.BAD_MESSAGE),
        ('{"op":"\ud800"}', Code.BAD_MESSAGE),
        ('{"op":"dance"}', Code.UNKNOWN_OP),
        ('{"op":"subscribe","channel":"klines","symbol":"X"}', Code.UNKNOWN_CHANNEL),
        ('{"op":"subscribe","channel":"candles","symbol":"X"}', Code.BAD_INTERVAL),
        ('{"op":"subscribe","channel":"candles","symbol":"X","interval":"2m"}', Code.BAD_INTERVAL),
        ('{"op":"subscribe","channel":"trades"}', Code.UNKNOWN_SYMBOL),
    ],
)
def test_what_cannot_be_served_is_refused_by_code(text, code):
    answer = decode(text)

    assert isinstance(answer, Refused)
    assert answer.code == code
    assert json.loads(refused(answer))["code"] == code
