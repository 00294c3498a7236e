"""A client that comes back with its cursor: nothing missed, nothing twice, or told where to fetch."""

import pytest

from analytics.reading.cursor import Cursor, encode
from analytics.tests.samples import BTC, MINUTE, TEN, candle, closed
from analytics.tests.ws.fakes import seq
from analytics.tests.ws.sockets import market, standing, subscribed


async def test_after_since_come_exactly_the_messages_after_that_position(open_socket):
    world = market()
    first = await open_socket(world)
    cursor = (await subscribed(first))["cursor"]
    minute = TEN + 2 * MINUTE
    world.happen(closed(candle(minute, (5, 6))), standing(minute + MINUTE, (7, 7)))
    world.happen(closed(candle(minute, (5, 7)), reason="late"))
    second = await open_socket(world)

    answer = await subscribed(second, since=cursor)
    world.happen(closed(candle(minute + MINUTE, (8, 9))))

    assert answer["cursor"] == cursor
    told = [await second.hear("candle") for _ in range(3)]
    assert [(m["candle"]["open_time"], m["candle"]["revision"]) for m in told] == [
        (minute, 2), (minute, 3), (minute + MINUTE, 2),
    ]  # fmt: skip
    third = await open_socket(world)
    await subscribed(third, since=told[1]["cursor"])
    assert (await third.hear("candle"))["candle"]["open_time"] == minute + MINUTE


async def test_since_on_a_larger_interval_tells_every_closed_candle_that_changed(open_socket):
    world = market()
    first = await open_socket(world)
    cursor = (await subscribed(first, "3m"))["cursor"]
    for number in range(2, 7):
        world.happen(closed(candle(TEN + number * MINUTE, (number * 2 + 1, number * 2 + 2))))
    second = await open_socket(world)

    await subscribed(second, "3m", since=cursor)

    told = [(await second.hear("candle"))["candle"] for _ in range(2)]
    assert [(row["open_time"], row["agg_trades"]) for row in told] == [(TEN, 6), (TEN + 3 * MINUTE, 6)]


@pytest.mark.parametrize(("epoch", "oldest"), [(0, 0), (1, 2)])
async def test_a_cursor_that_the_log_does_not_reach_is_too_old_and_says_where_to_fetch(open_socket, epoch, oldest):
    world = market()
    world.oldest = oldest
    socket = await open_socket(world)
    since = encode(Cursor(BTC, "candles", "1m", TEN, seq(0) if epoch else 0))

    await socket.say(op="subscribe", id=7, channel="candles", symbol=BTC, interval="1m", since=since)

    answer = await socket.hear("error")
    assert (answer["id"], answer["code"]) == (7, "too_old")
    assert answer["rest"] == f"/candles?symbol=BTCUSDT&cursor={since}&interval=1m"


async def test_a_process_that_has_still_to_read_what_the_client_heard_asks_it_to_come_again(open_socket):
    world = market()
    ahead = encode(Cursor(BTC, "candles", "1m", TEN + 3 * MINUTE, seq(3)))
    socket = await open_socket(world)

    await socket.say(op="subscribe", id=7, channel="candles", symbol=BTC, interval="1m", since=ahead)
    assert (await socket.hear("error"))["code"] == "backend_unavailable"

    world.happen(closed(candle(TEN + 2 * MINUTE, (5, 6))))
    await subscribed(socket, since=ahead)
    world.happen(closed(candle(TEN + 3 * MINUTE, (7, 8))))
    assert (await socket.hear("candle"))["candle"]["open_time"] == TEN + 3 * MINUTE


async def test_a_cursor_of_something_else_is_refused(open_socket):
    socket = await open_socket(market())
    since = encode(Cursor(BTC, "candles", "5m", TEN, seq(0)))

    await socket.say(op="subscribe", id=7, channel="candles", symbol=BTC, interval="1m", since=since)

    assert (await socket.hear("error"))["code"] == "bad_cursor"
