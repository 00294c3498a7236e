"""Frames and rows of the exchange, as documented and as recorded."""

import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion.pipeline.parse import (
    Control,
    klines_from_rest,
    parse_stream,
    to_ms,
    trades_from_rest,
)
from ingestion.pipeline.records import Kline, Reason, Rejected, Trade
from ingestion.tests.pipeline.factories import recorded
from markets.types import to_scaled

AGG_TRADE = {
    "e": "aggTrade",
    "E": 1712325202406,
    "s": "BTCUSDT",
    "a": 2954790092,
    "p": "67459.36000000",
    "q": "0.00045000",
    "f": 3533917325,
    "l": 3533917326,
    "T": 1712325202400,
    "m": True,
    "M": True,
}


def parse(message, **changes):
    payload = message if isinstance(message, bytes) else json.dumps({**message, **changes}).encode()
    return parse_stream(payload, 7, "binance")


def test_an_agg_trade_keeps_every_digit():
    trade = parse(AGG_TRADE)

    assert trade == Trade(
        "BTCUSDT",
        2954790092,
        6745936000000,
        45000,
        3533917325,
        3533917326,
        1712325202400,
        True,
        "binance",
        7,
        1712325202406,
    )


@pytest.mark.parametrize("order", [("stream", "data"), ("data", "stream")])
def test_the_combined_wrapper_is_taken_off_in_either_order(order):
    parts = {"stream": "btcusdt@aggTrade", "data": AGG_TRADE}

    assert parse({name: parts[name] for name in order}) == parse(AGG_TRADE)


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (b"", Reason.NOT_JSON),
        (b"{", Reason.NOT_JSON),
        (b"\xff\xfe", Reason.NOT_JSON),
        (b"[1,2]", Reason.NOT_A_TRADE),
        (b"{}", Reason.NOT_A_TRADE),
        (b'{"e":"depthUpdate","E":1}', Reason.NOT_A_TRADE),
        ({key: value for key, value in AGG_TRADE.items() if key != "p"}, Reason.MISSING_FIELD),
        ({**AGG_TRADE, "p": 5}, Reason.BAD_NUMBER),
        ({**AGG_TRADE, "p": "NaN"}, Reason.BAD_NUMBER),
        ({**AGG_TRADE, "q": "1e400"}, Reason.BAD_NUMBER),
        ({**AGG_TRADE, "q": "9" * 30}, Reason.IMPOSSIBLE),
        ({**AGG_TRADE, "q": "0.000000001"}, Reason.BAD_NUMBER),
        ({**AGG_TRADE, "p": "0.00000000"}, Reason.IMPOSSIBLE),
        ({**AGG_TRADE, "p": "-1.00000000"}, Reason.IMPOSSIBLE),
        ({**AGG_TRADE, "l": 5}, Reason.IMPOSSIBLE),
        ({**AGG_TRADE, "T": -5}, Reason.IMPOSSIBLE),
        ({**AGG_TRADE, "a": 2**63}, Reason.IMPOSSIBLE),
        ({**AGG_TRADE, "f": -1}, Reason.IMPOSSIBLE),
    ],
)
def test_what_cannot_be_used_is_rejected_with_its_reason_and_bytes(frame, reason):
    payload = frame if isinstance(frame, bytes) else json.dumps(frame).encode()

    rejected = parse(payload)

    assert isinstance(rejected, Rejected)
    assert (rejected.reason, rejected.frame) == (reason, payload)
    assert rejected.detail or reason is Reason.NOT_JSON


def test_an_id_that_the_exchange_took_back_is_a_trade_without_amounts():
    trade = parse(AGG_TRADE, p="0", q="0", f=-1, l=-1)

    assert isinstance(trade, Trade)
    assert trade.is_invalid


@pytest.mark.parametrize(
    ("message", "control"),
    [
        ({"result": None, "id": 3}, Control("reply", 3)),
        ({"error": {"code": 2, "msg": "Invalid"}, "id": "x"}, Control("error", "x", 2, "Invalid")),
        ({"code": 2, "msg": "Invalid", "id": 1}, Control("error", 1, 2, "Invalid")),
        ({"e": "serverShutdown", "E": 5}, Control("shutdown")),
        (
            {"stream": "!serverShutdown", "data": {"e": "serverShutdown", "E": 5}},
            Control("shutdown"),
        ),
    ],
)
def test_replies_errors_and_shutdowns_are_no_data(message, control):
    assert parse(message) == control


@given(st.binary(max_size=60) | st.text(max_size=40).map(str.encode))
def test_parsing_never_raises(frame):
    assert parse_stream(frame, 0, "binance") is not None


@given(st.recursive(st.none() | st.integers() | st.text(max_size=5) | st.booleans(), st.lists))
def test_a_field_of_any_type_is_a_trade_or_a_rejection(value):
    for field in AGG_TRADE:
        assert isinstance(parse(AGG_TRADE, **{field: value}), Trade | Rejected)


def test_every_recorded_frame_is_understood():
    """Holds: a recorded combined stream; the depth frames mixed in are turned away, nothing else is."""
    counts: dict[str, int] = {}
    with gzip.open(recorded("ws/BINANCE-ee25be.0.gz"), "rt") as lines:
        for line in lines:
            frame = line.split(": ", 1)[-1].strip()
            if frame.startswith('{"stream"'):
                item = parse_stream(frame, 0, "binance")
                counts[type(item).__name__] = counts.get(type(item).__name__, 0) + 1

    assert counts == {"Trade": 1910, "Kline": 118, "Rejected": 2688}


def test_a_recorded_page_of_trades_is_read_whole():
    body = gzip.decompress(recorded("rest/aggTrades_BTCUSDT_fromId-202790190_limit-1000.json.gz").read_bytes())

    trades = trades_from_rest(body, "BTCUSDT", 9)

    assert [trade.trade_id for trade in trades] == list(range(202790190, 202791190))
    assert {trade.source for trade in trades} == {"rest"}
    assert trades[0].event_time is None


def test_recorded_klines_are_read_whole():
    body = recorded("rest/klines_BTCUSDT_1m_2020-05-06_60.json").read_bytes()

    klines = klines_from_rest(body, "BTCUSDT", "1m")

    assert len(klines) == 60
    assert isinstance(klines[0], Kline)
    assert klines[0].close_time - klines[0].open_time == 59_999


def test_a_broken_page_is_refused_whole():
    with pytest.raises(ValueError, match="price"):
        trades_from_rest(b'[{"a":1,"p":"0","q":"1","f":1,"l":1,"T":5,"m":true}]', "X", 0)


def test_times_are_milliseconds_whichever_unit_they_came_in():
    assert to_ms(1735689600010866) == to_ms(1735689600010) == 1735689600010


@pytest.mark.parametrize("text", ["", ".", "1.2.3", "0x10", "1_0.00000000", "٣.00000000", "1.000000001", "inf"])
def test_only_plain_numbers_are_amounts(text):
    with pytest.raises(ValueError, match="not a number"):
        to_scaled(text)
