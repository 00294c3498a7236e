"""The stream side of the protocol, through a real socket."""

import gzip
import json
import time

import pytest
from websockets.exceptions import ConnectionClosed

from ingestion.tests.binance.simulator.support import (
    ask,
    drain,
    get,
    open_socket,
    receive,
    receive_until,
    recorded,
    running,
)
from markets.types import DAY_MS

# A minute of feed time passes in a second.
FAST = {"speed": 60.0, "start_ms": 1_780_000_000_000 // DAY_MS * DAY_MS + 1_000}


@pytest.fixture(scope="module")
def exchange():
    with running(**FAST) as running_exchange:
        yield running_exchange


def recorded_frame(stream: str):
    with gzip.open(recorded("ws/BINANCE-ee25be.0.gz"), "rt") as lines:
        for line in lines:
            frame = line.partition(": ")[2]
            if f'"stream":"{stream}"' in frame:
                return json.loads(frame)
    raise AssertionError(stream)


@pytest.mark.parametrize("kind", ["aggTrade", "kline_1m"])
def test_a_frame_has_the_fields_types_and_order_of_a_recorded_one(exchange, kind):
    stream = f"btcusdt@{kind}"
    theirs = recorded_frame(stream)

    with open_socket(exchange, f"/stream?streams={stream}") as socket:
        ours = receive(socket)

    assert list(ours) == ["stream", "data"]
    assert ours["stream"] == stream
    for mine, its in ((ours["data"], theirs["data"]), (ours["data"].get("k", {}), theirs["data"].get("k", {}))):
        assert [(name, type(value)) for name, value in mine.items()] == [
            (name, type(value)) for name, value in its.items()
        ]


def test_frames_are_compact_text(exchange):
    with open_socket(exchange, "/ws/btcusdt@aggTrade") as socket:
        text = socket.recv(timeout=5)

    assert isinstance(text, str)
    assert text == json.dumps(json.loads(text), separators=(",", ":"))


@pytest.mark.parametrize(
    ("path", "wrapped"),
    [
        ("/ws/btcusdt@aggTrade", False),
        ("/ws/btcusdt@aggTrade/ethusdt@aggTrade", False),
        ("/stream?streams=btcusdt@aggTrade", True),
        ("/stream?streams=btcusdt%40aggTrade/ethusdt%40aggTrade", True),
        ("/stream?streams=btcusdt@aggTrade?timeUnit=MICROSECOND", True),
    ],
)
def test_streams_of_the_address_are_sent_at_once(exchange, path, wrapped):
    with open_socket(exchange, path) as socket:
        message = receive(socket)

    assert ("stream" in message) is wrapped
    assert (message["data"] if wrapped else message)["e"] == "aggTrade"


@pytest.mark.parametrize("path", ["/ws", "/ws/", "/ws/12345", "/stream", "/stream?streams="])
def test_a_connection_may_ask_later(exchange, path):
    with open_socket(exchange, path) as socket:
        assert ask(socket, method="SUBSCRIBE", params=["ethusdt@aggTrade"], id=7) == {"result": None, "id": 7}
        message = receive(socket)

    assert message.get("data", message)["s"] == "ETHUSDT"
    assert ("stream" in message) is path.startswith("/stream")


def test_a_stream_left_is_silent_and_the_others_go_on(exchange):
    with open_socket(exchange, "/ws/btcusdt@aggTrade/ethusdt@aggTrade") as socket:
        ask(socket, method="UNSUBSCRIBE", params=["btcusdt@aggTrade"], id=1)
        symbols = {receive(socket)["s"] for _ in range(50)}

    assert symbols == {"ETHUSDT"}


def test_an_unknown_symbol_is_acknowledged_and_silent(exchange):
    with open_socket(exchange, "/ws") as socket:
        assert ask(socket, method="SUBSCRIBE", params=["nosuch@aggTrade"], id=1) == {"result": None, "id": 1}
        with pytest.raises(TimeoutError):
            socket.recv(timeout=0.3)


def test_a_malformed_stream_is_an_error_and_the_end(exchange):
    with open_socket(exchange, "/ws") as socket:
        assert ask(socket, method="SUBSCRIBE", params=["what is this"], id=1)["error"]["code"] == 2
        with pytest.raises(ConnectionClosed):
            socket.recv(timeout=5)


def test_more_than_five_messages_in_a_second_end_the_connection(exchange):
    with open_socket(exchange, "/ws") as socket:
        for number in range(6):
            socket.send(json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": number}))
        with pytest.raises(ConnectionClosed) as closed:
            drain(socket)

    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1008, "Too many requests")


def test_pings_count_as_messages(exchange):
    with open_socket(exchange, "/ws") as socket:
        for _ in range(6):
            socket.ping()
        with pytest.raises(ConnectionClosed):
            socket.recv(timeout=5)


def test_the_server_pings():
    # The client answers pings by itself; it stays connected only because it does.
    with (
        running(ping_interval_s=0.05, ping_timeout_s=0.3) as quick,
        open_socket(quick, "/ws") as socket,
        pytest.raises((TimeoutError, ConnectionClosed)) as ended,
    ):
        socket.recv(timeout=0.6)

    # Twenty pongs a second are more than five messages: only a server that pings ends it so.
    assert ended.type is not TimeoutError
    assert ended.value.rcvd.code == 1008


def test_ids_follow_each_other_and_fills_are_the_trades(exchange):
    with open_socket(exchange, "/ws/btcusdt@aggTrade/btcusdt@trade") as socket:
        messages = [receive(socket) for _ in range(600)]

    trades = [message for message in messages if message["e"] == "aggTrade"]
    fills = [message for message in messages if message["e"] == "trade"]
    assert [trade["a"] for trade in trades] == list(range(trades[0]["a"], trades[0]["a"] + len(trades)))
    assert [fill["t"] for fill in fills] == list(range(fills[0]["t"], fills[0]["t"] + len(fills)))
    for trade in trades[:-1]:
        own = [fill for fill in fills if trade["f"] <= fill["t"] <= trade["l"]]
        assert sum(int(fill["q"].replace(".", "")) for fill in own) == int(trade["q"].replace(".", ""))
        assert {(fill["p"], fill["T"], fill["m"]) for fill in own} == {(trade["p"], trade["T"], trade["m"])}


def test_closed_klines_equal_the_rest_klines_and_the_trades(exchange):
    with open_socket(exchange, "/ws/btcusdt@kline_1m/btcusdt@aggTrade") as socket:
        receive_until(socket, lambda m: m["e"] == "kline" and m["k"]["x"])
        messages = receive_until(socket, lambda m: m["e"] == "kline" and m["k"]["x"])
    kline = messages[-1]["k"]

    row = get(exchange, "klines", symbol="BTCUSDT", interval="1m", startTime=kline["t"], limit=1).json()[0]
    trades = [m for m in messages if m["e"] == "aggTrade" and kline["t"] <= m["T"] <= kline["T"]]

    assert row == [kline[name] for name in "tohlcvTqnVQB"]
    assert kline["n"] == kline["L"] - kline["f"] + 1
    # The first ones of the minute were sent before its predecessor's close.
    assert trades[-1]["l"] == kline["L"]
    assert trades[-1]["p"] == kline["c"]


def test_a_quiet_symbol_has_flat_klines(exchange):
    with open_socket(exchange, "/ws/xmrbtc@kline_1m") as socket:
        kline = receive(socket, lambda m: m["k"]["n"] == 0)["k"]

    assert kline["f"] == kline["L"] == -1
    assert kline["o"] == kline["h"] == kline["l"] == kline["c"] != "0.00000000"
    assert kline["v"] == kline["q"] == kline["V"] == kline["Q"] == "0.00000000"


def test_microseconds_on_request(exchange):
    with open_socket(exchange, "/ws/btcusdt@kline_1m?timeUnit=microsecond") as socket:
        kline = receive(socket)

    assert kline["E"] % 1000 == 0
    assert kline["E"] > 10**15
    assert kline["k"]["T"] - kline["k"]["t"] == 59_999_999


def test_the_default_clock_is_the_machines():
    with running() as real, open_socket(real, "/ws/btcusdt@aggTrade/ethusdt@aggTrade/solusdt@aggTrade") as socket:
        trade = receive(socket)
        server = get(real, "time").json()["serverTime"]

    assert abs(trade["E"] - time.time() * 1000) < 2_000
    assert abs(server - time.time() * 1000) < 2_000


def test_a_restarted_exchange_serves_the_same_past():
    start = FAST["start_ms"]
    pages = []
    for _ in range(2):
        with running(start_ms=start) as exchange:
            pages.append(
                get(exchange, "aggTrades", symbol="SOLUSDT", startTime=start - 3_600_000, endTime=start).json()
            )

    assert len(pages[0]) == 500
    assert pages[0] == pages[1]
