"""Every fault, as a reader meets it."""

import json
import time

import httpx2
import pytest
from websockets.exceptions import ConnectionClosed

from ingestion.binance.simulator.faults import REORDER_WINDOW_MS, FaultPlan, Shaper
from ingestion.binance.simulator.rows import Row
from ingestion.tests.binance.simulator.support import (
    archive_file,
    drain,
    get,
    open_socket,
    receive,
    receive_until,
    running,
    steady_rows,
    until,
)

ALL = "/ws/abcusdt@aggTrade"


@pytest.fixture
def short(tmp_path):
    return archive_file(tmp_path, steady_rows(300))


def ids_sent(path, **faults) -> list[int]:
    with (
        running(replay=(path,), speed=0.0, faults=FaultPlan(**faults)) as exchange,
        open_socket(exchange, ALL + "/abcusdt@kline_1m") as socket,
    ):
        messages = receive_until(socket, lambda m: m["e"] == "kline" and m["E"] > 1_600_000_310_000)
    return [message["a"] for message in messages if message["e"] == "aggTrade"]


def test_dropped_ids_are_missing_from_the_stream_only(short):
    plan = FaultPlan(drop_ids={"ABCUSDT": [(10, 12), (50, 50)]})
    with running(replay=(short,), speed=0.0, faults=plan) as exchange:
        with open_socket(exchange, ALL) as socket:
            ids = [m["a"] for m in receive_until(socket, lambda m: m["a"] == 300)]
        rest = get(exchange, "aggTrades", symbol="ABCUSDT", fromId=9, limit=5).json()
        kline = get(exchange, "klines", symbol="ABCUSDT", interval="1m", startTime=0, limit=1).json()[0]

    assert set(range(1, 301)) - set(ids) == {10, 11, 12, 50}
    assert [row["a"] for row in rest] == [9, 10, 11, 12, 13]
    assert kline[8] == len(range(1, 20))


def test_a_part_of_the_trades_is_dropped_the_same_each_time(short):
    first, second = (ids_sent(short, drop=0.2) for _ in range(2))
    other = ids_sent(short, drop=0.2, seed=1)

    assert first == second != other
    assert 200 < len(first) < 280


@pytest.mark.parametrize(("part", "closed"), [(0.0, 5), (1.0, 0)])
def test_closed_klines_can_be_kept_from_the_stream(short, part, closed):
    with (
        running(replay=(short,), speed=0.0, faults=FaultPlan(drop_klines=part)) as exchange,
        open_socket(exchange, "/ws/abcusdt@kline_1m") as socket,
    ):
        messages = receive_until(socket, lambda m: m["E"] > 1_600_000_310_000)
        rest = get(exchange, "klines", symbol="ABCUSDT", interval="1m", limit=5).json()

    assert sum(message["k"]["x"] for message in messages) >= closed
    assert closed or not any(message["k"]["x"] for message in messages)
    assert any(not message["k"]["x"] for message in messages)
    assert len(rest) == 5


def test_doubled_trades_follow_themselves(short):
    ids = ids_sent(short, double=0.2)

    assert sorted(set(ids)) == ids[:1] + [b for a, b in zip(ids, ids[1:], strict=False) if a != b]
    assert 320 < len(ids) < 400
    assert set(ids) == set(range(1, 301))


def test_swapped_trades_are_all_there_and_not_far_off(short):
    ids = ids_sent(short, reorder=0.2)

    assert sorted(ids) == list(range(1, 301))
    assert ids != sorted(ids)
    assert max(abs(found - place) for place, found in enumerate(ids, 1)) == 1


def test_a_trade_without_a_neighbour_is_not_held_for_ever():
    plan, shaper = FaultPlan(reorder=1.0), Shaper("ABCUSDT")
    row = Row(1, 1, 1, 1, 1, 1000, 1000, False)

    assert shaper.shape([row], plan, 1000) == []
    assert shaper.shape([], plan, 999 + REORDER_WINDOW_MS) == []
    assert shaper.shape([], plan, 1000 + REORDER_WINDOW_MS) == [row]


def test_some_frames_are_broken(short):
    with (
        running(replay=(short,), speed=0.0, faults=FaultPlan(malformed=0.2)) as exchange,
        open_socket(exchange, ALL) as socket,
    ):
        texts = [socket.recv(timeout=5) for _ in range(300)]

    broken = [text for text in texts if not is_json(text)]
    assert 20 < len(broken) < 100
    assert all(text.startswith('{"e":"aggTrade"') for text in broken)


def is_json(text) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def test_one_broken_frame_on_request(short):
    with running(replay=(short,), speed=1.0) as exchange, open_socket(exchange, "/ws") as socket:
        until(lambda: exchange.faults.status()["connections"] == 1)
        exchange.faults.malformed("no json")

        assert socket.recv(timeout=5) == "no json"


def test_holes_are_nowhere(short):
    plan = FaultPlan(holes={"ABCUSDT": [(5, 7)]})
    with running(replay=(short,), speed=0.0, faults=plan) as exchange:
        with open_socket(exchange, ALL + "/abcusdt@trade/abcusdt@kline_1m") as socket:
            messages = receive_until(socket, lambda m: m["e"] == "kline" and m["k"]["x"])
        rest = get(exchange, "aggTrades", symbol="ABCUSDT", fromId=4, limit=3).json()

    assert {5, 6, 7}.isdisjoint(m.get("a", m.get("t")) for m in messages)
    assert [row["a"] for row in rest] == [4, 8, 9]
    assert messages[-1]["k"]["n"] == 19 - 3


def test_a_halt_has_no_trades_no_frames_and_no_klines_and_no_id_is_missing():
    begins = 1_780_000_020_000
    halt = (begins + 20_000, begins + 4 * 60_000 + 10_000)
    plan = FaultPlan(halts={"BTCUSDT": [halt]})
    with running(start_ms=begins, speed=0.0, faults=plan) as exchange:
        with open_socket(exchange, "/ws/btcusdt@aggTrade/btcusdt@kline_1m") as socket:
            messages = receive_until(socket, lambda m: m["e"] == "kline" and m["k"]["t"] > halt[1] and m["k"]["x"])
        rows = get(exchange, "klines", symbol="BTCUSDT", interval="1m", startTime=begins, limit=6).json()

    ids = [m["a"] for m in messages if m["e"] == "aggTrade"]
    assert ids == list(range(ids[0], ids[-1] + 1))
    assert not [m for m in messages if halt[0] <= m["E"] < halt[1]]
    assert not [m for m in messages if m["e"] == "aggTrade" and halt[0] <= m["T"] < halt[1]]
    closed = [m["k"]["t"] for m in messages if m["e"] == "kline" and m["k"]["x"] and m["k"]["t"] >= begins]
    minutes = [(row[0] - begins) // 60_000 for row in rows]
    assert minutes[:3] == [0, 4, 5]
    assert [(opens - begins) // 60_000 for opens in closed] == [4, 5]
    assert rows[0][8] > 0


def test_a_frozen_exchange_is_silent_and_goes_on_afterwards(short):
    with running(replay=(short,), speed=100.0) as exchange, open_socket(exchange, ALL) as socket:
        receive(socket)
        exchange.faults.change(frozen=True)
        with pytest.raises(TimeoutError):
            drain(socket, silence_s=0.3)
        moved = get(exchange, "aggTrades", symbol="ABCUSDT", limit=1).json()[0]["a"]
        exchange.faults.change(frozen=False)

        assert receive(socket)["a"] > moved - 5


def test_a_frozen_exchange_at_full_speed_waits(tmp_path):
    path = archive_file(tmp_path, steady_rows(20_000))
    with (
        running(replay=(path,), speed=0.0, faults=FaultPlan(frozen=True)) as exchange,
        open_socket(exchange, ALL) as socket,
    ):
        with pytest.raises(TimeoutError):
            socket.recv(timeout=0.2)
        exchange.faults.end()
        ids = [receive(socket)["a"] for _ in range(1000)]

    assert ids == list(range(1, 1001))


def test_a_frozen_symbol_is_silent_and_others_go_on():
    plan = FaultPlan(frozen_symbols=["BTCUSDT"])
    with (
        running(speed=60.0, faults=plan) as exchange,
        open_socket(exchange, "/ws/btcusdt@aggTrade/btcusdt@kline_1m/ethusdt@aggTrade") as socket,
    ):
        symbols = {receive(socket)["s"] for _ in range(50)}

    assert symbols == {"ETHUSDT"}


def test_rest_can_lag_behind_the_clock():
    # So slow that its clock stands still.
    with running(start_ms=1_780_000_000_000, speed=1e-6) as exchange:
        newest = get(exchange, "aggTrades", symbol="BTCUSDT", limit=1).json()[0]
        exchange.faults.change(rest_lag_ms=100_000)
        lagging = get(exchange, "aggTrades", symbol="BTCUSDT", limit=1).json()[0]
        clock = get(exchange, "time").json()["serverTime"]

    assert clock == 1_780_000_000_000
    assert clock - 60_000 < newest["T"] <= clock
    assert clock - 160_000 < lagging["T"] <= clock - 100_000


def test_all_connections_can_be_cut(short):
    with running(replay=(short,), speed=1.0) as exchange:
        with open_socket(exchange, "/ws") as one, open_socket(exchange, ALL) as two:
            until(lambda: exchange.faults.status()["connections"] == 2)
            exchange.faults.cut()
            for socket in (one, two):
                with pytest.raises(ConnectionClosed) as closed:
                    drain(socket)
                assert closed.value.rcvd is None
        with open_socket(exchange, ALL) as socket:
            assert receive(socket)["e"] == "aggTrade"


def test_connections_can_be_cut_again_and_again(short):
    with running(replay=(short,), speed=1.0, faults=FaultPlan(cut_every_s=0.3)) as exchange:
        for _ in range(3):
            with open_socket(exchange, "/ws") as socket, pytest.raises(ConnectionClosed):
                socket.recv(timeout=5)


@pytest.mark.parametrize(("path", "wrapped"), [("/ws", False), ("/stream", True)])
def test_a_shutdown_is_announced_and_then_happens(short, path, wrapped):
    with running(replay=(short,), speed=1.0) as exchange, open_socket(exchange, path) as socket:
        until(lambda: exchange.faults.status()["connections"] == 1)
        exchange.faults.shut_down(delay_s=0.2)
        message = json.loads(socket.recv(timeout=5))
        began = time.monotonic()
        with open_socket(exchange, path) as replacement:
            with pytest.raises(ConnectionClosed) as closed:
                socket.recv(timeout=5)
            replacement.send('{"method":"LIST_SUBSCRIPTIONS","id":1}')
            assert receive(replacement) == {"result": [], "id": 1}

    event = message["data"] if wrapped else message
    assert list(event) == ["e", "E"]
    assert event["e"] == "serverShutdown"
    assert message.get("stream") == ("!serverShutdown" if wrapped else None)
    assert closed.value.rcvd.code == 1001
    assert time.monotonic() - began >= 0.1


@pytest.mark.parametrize("status", [429, 418])
def test_rest_can_refuse_for_a_while(short, status):
    with running(replay=(short,)) as exchange:
        exchange.faults.refuse(status, for_s=0.5, retry_after_s=3)
        refused = get(exchange, "time")
        until(lambda: get(exchange, "time").status_code == 200)

    assert refused.status_code == status
    assert refused.json()["code"] == -1003
    assert refused.headers["Retry-After"] == "3"


def test_faults_are_changed_read_and_ended_over_http(short):
    with running(replay=(short,), faults=FaultPlan(drop=0.5, seed=3)) as exchange:
        url = f"{exchange.control_url}/faults"
        changed = httpx2.post(url, json={"double": 0.25, "holes": {"ABCUSDT": [[1, 2]]}}).json()
        read = httpx2.get(url).json()
        wrong = httpx2.post(url, json={"dropp": 1})
        ended = httpx2.delete(url).json()

    assert changed == read
    assert (read["drop"], read["double"], read["holes"]) == (0.5, 0.25, {"ABCUSDT": [[1, 2]]})
    assert wrong.status_code == 400
    assert "dropp" in wrong.json()["error"]
    assert (ended["drop"], ended["holes"], ended["seed"]) == (0.0, {}, 3)


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("cut", None, 200),
        ("shutdown", {"delay_s": 0}, 200),
        ("malformed", {}, 200),
        ("refuse", {"status": 429, "for_s": 0}, 200),
        ("refuse", {"status": 500}, 400),
        ("shutdown", {"wrong": 0}, 400),
    ],
)
def test_the_control_endpoint_does_what_happens_once(short, path, body, status):
    with running(replay=(short,)) as exchange:
        content = None if body is None else json.dumps(body)
        answer = httpx2.post(f"{exchange.control_url}/{path}", content=content)

    assert answer.status_code == status, answer.text
