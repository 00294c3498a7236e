"""Recorded trades at any speed, with the recording's own time."""

import contextlib
import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from ingestion.tests.binance.simulator.support import (
    archive_file,
    get,
    open_socket,
    receive,
    receive_until,
    recorded,
    running,
    steady_rows,
    until,
)
from ingestion.tests.binance.simulator.test_recorded import exchange_candles
from markets.types import DAY_MS

ALL = "/ws/abcusdt@aggTrade"
START = 1_600_000_000_000
END_OF_DAY = (START // DAY_MS + 1) * DAY_MS
AFTER = END_OF_DAY + 5_000


def is_last(message):
    return message["e"] == "kline" and message["E"] > AFTER - 2_000


@pytest.fixture
def short(tmp_path):
    return archive_file(tmp_path, steady_rows(300))


def test_a_recorded_day_at_full_speed_is_whole_and_its_klines_are_the_exchanges():
    with (
        running(replay=(recorded("trades/2019-05-25-ADAUSDT.csv.gz"),), speed=0.0) as exchange,
        open_socket(exchange, "/ws/adausdt@aggTrade/adausdt@kline_1h") as client,
    ):
        end = (1558742400000 // DAY_MS + 1) * DAY_MS
        messages = receive_until(client, lambda m: m["e"] == "kline" and m["E"] > end + 3_000)

    trades = [message for message in messages if message["e"] == "aggTrade"]
    closed = [m["k"] for m in messages if m["e"] == "kline" and m["k"]["x"]]
    assert [trade["a"] for trade in trades] == list(range(13923958, 13945739))
    assert all(trade["a"] == trade["f"] == trade["l"] for trade in trades)
    assert trades[0]["E"] == 1558742401023
    assert max(trade["E"] - trade["T"] for trade in trades) == 2583
    for kline, candle in zip(closed, exchange_candles("2019-05-25", "1h"), strict=True):
        assert [kline[name] for name in "ohlcvqVQ"] == [
            candle[name] for name in ("open", "high", "low", "close", "volume", "quote_av", "tb_base_av", "tb_quote_av")
        ]
        assert (kline["n"], kline["T"]) == (int(candle["trades"]), int(candle["close_time"]))


def test_a_recording_with_lost_trades_serves_what_it_has():
    with running(replay=(recorded("trades/2019-06-01-ADAUSDT.csv.gz"),), speed=0.0) as exchange:
        with open_socket(exchange, "/ws/adausdt@aggTrade") as client:
            trades = receive_until(client, lambda m: m["a"] == 14302477)

        page = get(exchange, "aggTrades", symbol="ADAUSDT", fromId=14260058, limit=1000).json()

    ids = [trade["a"] for trade in trades]
    assert ids == sorted(set(ids))
    assert len(ids) == 42389
    assert ids[-1] - ids[0] + 1 - len(ids) == 31
    assert [row["a"] for row in page] == ids[:1000]


def test_the_clock_stands_before_the_first_trade_until_someone_reads(short):
    with running(replay=(short,), speed=0.0) as exchange:
        before = get(exchange, "time").json()["serverTime"]
        nothing = get(exchange, "aggTrades", symbol="ABCUSDT", limit=1).json()
        klines = get(exchange, "klines", symbol="ABCUSDT", interval="1m").json()
        with open_socket(exchange, "/ws"):
            still = get(exchange, "time").json()["serverTime"]
        with open_socket(exchange, "/ws/abcusdt@aggTrade") as client:
            receive_until(client, lambda m: m["a"] == 300)
            newest = get(exchange, "aggTrades", symbol="ABCUSDT", limit=1).json()

    assert before == still == START + 1000 - 1
    assert nothing == klines == []
    assert newest[0]["a"] == 300


def test_klines_go_on_to_the_end_of_the_day_and_then_all_is_silent(short):
    with running(replay=(short,), speed=0.0) as exchange:
        with open_socket(exchange, "/ws/abcusdt@aggTrade/abcusdt@kline_1m/abcusdt@kline_1d") as client:
            messages = receive_until(client, is_last)
            messages += rest_of(client)
        clock = get(exchange, "time").json()["serverTime"]

    closed = [m["k"] for m in messages if m["e"] == "kline" and m["k"]["x"]]
    minutes = [kline["t"] for kline in closed if kline["i"] == "1m"]
    assert minutes == list(range(START // 60_000 * 60_000, END_OF_DAY, 60_000))
    assert [kline["t"] for kline in closed if kline["i"] == "1d"] == [END_OF_DAY - DAY_MS]
    assert clock == AFTER
    assert max(m["E"] for m in messages) <= AFTER


def rest_of(client):
    """What still comes until the connection is silent."""
    messages = []
    with contextlib.suppress(TimeoutError):
        while True:
            messages.append(json.loads(client.recv(timeout=0.5)))
    return messages


def test_a_reader_who_stops_holds_the_clock(tmp_path):
    rows = steady_rows(60_000)
    with (
        running(replay=(archive_file(tmp_path, rows),), speed=0.0) as exchange,
        open_socket(exchange, "/ws/abcusdt@aggTrade") as client,
    ):
        receive(client)
        held = settled_clock(exchange)
        last = receive_until(client, lambda m: m["T"] > held)[-1]

    # A few hundred trades of sixty thousand, though the kernel would have taken them all.
    assert held < START + 5_000_000
    assert last["T"] > held


def settled_clock(exchange) -> int:
    """The clock once it has stopped moving."""
    seen = [exchange.faults.status()["time"]]

    def stands() -> bool:
        time.sleep(0.1)
        seen.append(exchange.faults.status()["time"])
        return seen[-1] == seen[-2] > START + 1000

    until(stands)
    return seen[-1]


def test_a_lost_reader_does_not_lose_the_replay(short):
    with running(replay=(short,), speed=0.0) as exchange:
        with open_socket(exchange, "/ws/abcusdt@kline_1s") as client:
            receive(client)
        until(lambda: exchange.faults.status()["connections"] == 0)
        stopped = settled_clock(exchange)
        with open_socket(exchange, "/ws/abcusdt@kline_1s") as client:
            first = receive(client)

    assert stopped < first["E"] <= stopped + 2_000


def test_a_speed_paces_the_clock(short):
    with running(replay=(short,), speed=100.0) as exchange, open_socket(exchange, "/ws/abcusdt@aggTrade") as client:
        began = time.monotonic()
        last = receive_until(client, lambda m: m["a"] == 100)[-1]
        took = time.monotonic() - began
        clock = get(exchange, "time").json()["serverTime"]

    assert last["T"] == START + 100_000
    assert 0.7 < took < 2.0
    assert clock >= last["T"]


def test_a_replay_that_starts_now_needs_no_reader(short):
    with running(replay=(short,), speed=10_000.0, replay_start="now") as exchange:
        until(lambda: exchange.faults.status()["time"] > START + 300_000)
        newest = get(exchange, "aggTrades", symbol="ABCUSDT", limit=1).json()

    assert newest[0]["a"] == 300


def test_symbols_of_several_files_are_merged_by_time(tmp_path):
    one = archive_file(tmp_path, steady_rows(200), "ABCUSDT.csv")
    two = archive_file(tmp_path, steady_rows(200, START + 500), "XYZUSDT.csv")
    with (
        running(replay=(one, two), speed=0.0) as exchange,
        open_socket(exchange, "/ws/abcusdt@aggTrade/xyzusdt@aggTrade") as client,
    ):
        messages = [receive(client) for _ in range(400)]

    times = [message["E"] for message in messages]
    assert times == sorted(times)
    assert {message["s"] for message in messages} == {"ABCUSDT", "XYZUSDT"}


def test_an_id_declared_invalid_is_served_but_in_no_kline(tmp_path):
    rows = steady_rows(3)
    rows[1] = (2, "0", "0", -1, -1, START + 2000, "False")
    with (
        running(replay=(archive_file(tmp_path, rows),), speed=0.0) as exchange,
        open_socket(exchange, "/ws/abcusdt@aggTrade/abcusdt@trade/abcusdt@kline_1m") as client,
    ):
        messages = receive_until(client, lambda m: m["e"] == "kline" and m["k"]["x"])

    assert [m["f"] for m in messages if m["e"] == "aggTrade"] == [1, -1, 3]
    assert [m["t"] for m in messages if m["e"] == "trade"] == [1, 3]
    kline = messages[-1]["k"]
    assert (kline["n"], kline["f"], kline["L"], kline["v"]) == (2, 1, 3, "3.00000000")
    assert (kline["l"], kline["h"]) == ("101.00000000", "103.00000000")


def test_the_made_up_market_too_can_be_read_as_fast_as_it_goes():
    with (
        running(speed=0.0, start_ms=START + 200 * DAY_MS + 5 * 365 * DAY_MS) as exchange,
        open_socket(exchange, "/ws/ethusdt@aggTrade") as client,
    ):
        messages = [receive(client) for _ in range(500)]

    assert messages[-1]["T"] - messages[0]["T"] > 120_000


def test_a_client_that_answers_no_pings_is_served_all_the_same(short):
    with running(replay=(short,), speed=0.0) as exchange, closing(raw_socket(exchange, ALL)) as raw:
        received = b""
        while b'"a":300,' not in received:
            received += raw.recv(65536)

    assert received.count(b'"e":"aggTrade"') == 300


def raw_socket(exchange, path: str) -> socket.socket:
    """A WebSocket connection that only reads."""
    port = int(exchange.rest_url.rsplit(":", 1)[1])
    raw = socket.create_connection(("127.0.0.1", port), timeout=10)
    raw.sendall(
        f"GET {path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    return raw


def test_two_readers_each_get_everything(tmp_path):
    path = archive_file(tmp_path, steady_rows(3000))
    with (
        running(replay=(path,), speed=0.0, replay_delay_s=0.3) as exchange,
        open_socket(exchange, ALL) as one,
        open_socket(exchange, ALL) as two,
        ThreadPoolExecutor(2) as readers,
    ):
        # Together: each waits for the other, because the slowest sets the pace.
        first, second = readers.map(lambda reader: receive_until(reader, lambda m: m["a"] == 3000), (one, two))

    assert [m["a"] for m in first] == [m["a"] for m in second] == list(range(1, 3001))


def test_the_slowest_reader_sets_the_pace(tmp_path):
    path = archive_file(tmp_path, steady_rows(60_000))
    with running(replay=(path,), speed=0.0) as exchange, open_socket(exchange, ALL) as one:
        receive(one)
        with open_socket(exchange, ALL) as two, ThreadPoolExecutor(1) as reader:
            reading = reader.submit(receive_until, one, lambda m: m["a"] == 60_000)
            held = settled_clock(exchange)
            assert held < START + 30_000_000
            receive_until(two, lambda m: m["T"] > held)
            two.close()
            assert reading.result(60)[-1]["a"] == 60_000
