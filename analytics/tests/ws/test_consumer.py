"""What a client of the socket hears."""

import pytest

from analytics.tests.samples import BTC, HOUR, MINUTE, TEN, candle, closed, enriched, kline_of, live, segment, trade
from analytics.tests.ws.sockets import market, standing, subscribed
from analytics.ws.config import SocketLimits
from ingestion.pipeline.window import roll_up
from markets.types import SCALE, Interval


async def test_a_subscription_is_confirmed_and_begins_with_what_is_there(open_socket):
    socket = await open_socket(market())

    await socket.say(op="subscribe", id=1, channel="candles", symbol="btcusdt", interval="1m")
    confirmed, snapshot = await socket.hear("subscribed"), await socket.hear("snapshot")

    assert confirmed | {"cursor": ""} == {
        "type": "subscribed", "id": 1, "channel": "candles", "symbol": BTC, "interval": "1m", "cursor": "",
    }  # fmt: skip
    assert [row["state"] for row in snapshot["candles"]] == ["closed", "closed", "forming"]


async def test_closed_candles_and_each_revision_are_told_once(open_socket):
    world = market()
    socket = await open_socket(world)
    await subscribed(socket)
    minute = TEN + 2 * MINUTE

    world.happen(closed(candle(minute, (5, 6))))
    world.happen(closed(candle(minute, (5, 6))))
    world.happen(closed(candle(minute, (5, 7)), reason="late"))
    world.happen(closed(candle(minute, (5, 6)), reason="late"))
    world.happen(closed(candle(minute, (5, 7)), state="certified", reason="verdict"))
    world.happen(closed(candle(minute + MINUTE, (8, 8))))
    told = [(await socket.hear("candle"))["candle"] for _ in range(4)]

    assert [(row["open_time"], row["revision"], row["state"]) for row in told] == [
        (minute, 2, "closed"), (minute, 3, "closed"), (minute, 3, "certified"), (minute + MINUTE, 1, "closed"),
    ]  # fmt: skip


async def test_a_dispute_is_told_again_when_the_exchange_says_something_else_and_history_comes_as_a_revision(
    open_socket,
):
    world = market()
    socket = await open_socket(world)
    await subscribed(socket)
    minute = TEN + 2 * MINUTE
    said = [{"volume": ["2.00000000", f"{theirs}.00000000"]} for theirs in (3, 4)]

    world.happen(closed(candle(minute, (5, 6)), state="certified"))
    for difference in (said[0], said[0], said[1]):
        dispute = closed(candle(minute, (5, 6)), state="disputed", reason="restated", difference=difference)
        world.happen(dispute)
    world.happen(closed(candle(minute, (4, 6)), reason="backfill"))
    world.happen(closed(candle(minute + MINUTE, (8, 8))))
    told = [(await socket.hear("candle"))["candle"] for _ in range(5)]

    assert [(row["revision"], row["state"], row.get("difference")) for row in told] == [
        (2, "certified", None),
        (2, "disputed", said[0]),
        (2, "disputed", said[1]),
        (3, "closed", None),
        (1, "closed", None),
    ]


@pytest.mark.parametrize("interval", ["1m", "3m", "1h", "1M"])
async def test_forming_candles_of_every_interval_follow_the_trades(open_socket, interval):
    world = market()
    socket = await open_socket(world)
    await subscribed(socket, interval)

    world.happen(standing(TEN + 2 * MINUTE, (5, 6), 107 * SCALE))

    while True:
        row = (await socket.hear("candle"))["candle"]
        if row["close"] == "107.00000000":
            break
    assert row["state"] == "forming"
    assert row["agg_trades"] == (2 if interval == "1m" else 6)


async def test_a_larger_candle_is_told_when_its_last_minute_closed_and_again_when_a_minute_changes(open_socket):
    world = market()
    socket = await open_socket(world)
    await subscribed(socket, "3m")

    world.happen(closed(candle(TEN + 2 * MINUTE, (5, 6))), standing(TEN + 3 * MINUTE, (7, 7)))
    world.happen(closed(candle(TEN, (1, 2)), state="certified", reason="verdict"))
    world.happen(closed(candle(TEN + MINUTE, (3, 4)), state="certified", reason="verdict"))
    world.happen(closed(candle(TEN + 2 * MINUTE, (5, 6)), state="certified", reason="verdict"))
    states = []
    while states[-1:] != ["certified"]:
        row = (await socket.hear("candle"))["candle"]
        states += [row["state"]] if row["open_time"] == TEN and row["state"] != "forming" else []

    assert states == ["closed", "closed", "closed", "certified"]


async def test_a_larger_candle_is_told_with_the_verdict_of_the_exchanges_own(open_socket):
    world = market(*(closed(candle(TEN + n * MINUTE, (n * 2 + 1, n * 2 + 2))) for n in range(2, 14)))
    socket = await open_socket(world)
    await subscribed(socket, "15m")
    whole = roll_up([candle(TEN + n * MINUTE, (n * 2 + 1, n * 2 + 2)) for n in range(15)], Interval.M15)[0]

    world.happen(closed(candle(TEN + 14 * MINUTE, (29, 30))), standing(TEN + 15 * MINUTE, (31, 31)))
    world.happen(kline_of(whole, volume=7), kline_of(candle(TEN, (1, 2))))
    world.happen(kline_of(whole, source="rest"))
    world.happen(closed(candle(TEN + 14 * MINUTE, (29, 30)), state="certified", reason="verdict"))
    states = []
    while states[-1:] != ["certified"]:
        row = (await socket.hear("candle"))["candle"]
        states += [row["state"]] if row["state"] != "forming" and row["state"] not in states[-1:] else []

    assert states == ["closed", "disputed", "certified"] or states == ["closed", "certified"]


async def test_a_correction_of_an_old_candle_is_read_anew_and_told(open_socket):
    world = market()
    for number in range(2, 30):
        world.happen(closed(candle(TEN + number * MINUTE, (number * 2 + 1, number * 2 + 2))))
    socket = await open_socket(world)
    await subscribed(socket, "3m")

    world.happen(closed(candle(TEN, (0, 2)), reason="backfill"))

    row = (await socket.hear("candle"))["candle"]
    while row["state"] == "forming":
        row = (await socket.hear("candle"))["candle"]
    assert (row["open_time"], row["agg_trades"]) == (TEN, 7)
    assert "buckets" in world.asked


async def test_a_seed_that_fails_is_asked_again_and_nothing_is_missed(open_socket):
    world = market()
    socket = await open_socket(world)
    await socket.say(op="ping")
    await socket.hear("pong")
    # The seed of the fold, and the snapshot: the client is told of the second.
    world.failures = 2
    await socket.say(op="subscribe", id=1, channel="candles", symbol=BTC, interval="3m")
    assert (await socket.hear("error"))["code"] == "backend_unavailable"

    await subscribed(socket, "3m")
    world.happen(closed(candle(TEN + 2 * MINUTE, (5, 6))), standing(TEN + 3 * MINUTE, (7, 7)))

    row = (await socket.hear("candle"))["candle"]
    while row["state"] == "forming":
        row = (await socket.hear("candle"))["candle"]
    assert (row["open_time"], row["agg_trades"]) == (TEN, 6)


async def test_trades_are_told_in_the_order_of_the_log_without_invalid_ids(open_socket):
    world = market()
    socket = await open_socket(world)
    await socket.say(op="subscribe", id=1, channel="trades", symbol=BTC)
    await socket.hear("subscribed")

    invalid = trade(8, TEN, 0, 0, first_id=-1, last_id=-1)
    world.happen(*(enriched(made) for made in (trade(7, TEN), invalid, trade(9, TEN))))

    messages = [await socket.hear("trade") for _ in range(2)]
    assert [message["trade"]["trade_id"] for message in messages] == [7, 9]
    assert messages[0]["trade"]["notional"] == "100.00000000"


async def test_seconds_are_folded_from_trades(open_socket):
    world = market()
    socket = await open_socket(world)
    await subscribed(socket, "1s")
    second = TEN + 2 * MINUTE

    world.happen(enriched(trade(5, second)), enriched(trade(6, second + 900)))
    world.happen(enriched(trade(7, second + 1_000)), live(second + 1_000, second, last_trade_time=second + 1_000))

    row = (await socket.hear("candle"))["candle"]
    while row["state"] == "forming":
        row = (await socket.hear("candle"))["candle"]
    assert (row["open_time"], row["agg_trades"], row["close_time"]) == (second, 2, second + 999)


async def test_an_error_leaves_the_connection_open(open_socket):
    socket = await open_socket(market())

    await socket.send_to(text_data="{")
    await socket.send_to(bytes_data=b"{}")
    await socket.say(op="subscribe", id=2, channel="candles", symbol="NOSUCH", interval="1m")
    codes = [(await socket.hear("error"))["code"] for _ in range(3)]
    await socket.say(op="ping", id=9)

    assert codes == ["bad_message", "bad_message", "unknown_symbol"]
    assert (await socket.hear("pong"))["id"] == 9


async def test_the_path_subscribes_at_once(open_socket):
    socket = await open_socket(market(), "/ws/candles/btcusdt/1h")

    assert (await socket.hear("subscribed"))["interval"] == "1h"
    assert (await socket.hear("snapshot"))["candles"][0]["open_time"] == TEN


async def test_a_wrong_path_is_an_error_message(open_socket):
    socket = await open_socket(market(), "/ws/candles/BTCUSDT/7m")

    assert (await socket.hear("error"))["code"] == "bad_interval"


async def test_a_watched_symbol_without_data_can_be_subscribed(open_socket):
    world = market()
    socket = await open_socket(world)
    await socket.say(op="subscribe", id=1, channel="candles", symbol="NEWUSDT", interval="1h")
    assert (await socket.hear("snapshot"))["candles"] == []

    first = candle(TEN, (1, 1), symbol="NEWUSDT")
    world.happen(segment(1, TEN, symbol="NEWUSDT"), live(TEN + 1, TEN, symbol="NEWUSDT", candle=first))

    assert (await socket.hear("candle"))["candle"]["state"] == "forming"


async def test_subscriptions_are_listed_and_end(open_socket):
    world = market()
    socket = await open_socket(world)
    await subscribed(socket, "3m")
    await socket.say(op="subscribe", channel="alerts")
    await socket.hear("subscribed")

    await socket.say(op="list", id=2)
    listed = await socket.hear("subscriptions")
    await socket.say(op="unsubscribe", id=3, channel="candles", symbol="btcusdt", interval="3m")
    await socket.hear("unsubscribed")
    await socket.say(op="list", id=4)

    assert [row["channel"] for row in listed["subscriptions"]] == ["candles", "alerts"]
    assert [row["channel"] for row in (await socket.hear("subscriptions"))["subscriptions"]] == ["alerts"]


async def test_unwanted_topics_cost_nothing(open_socket):
    world = market()
    socket = await open_socket(world)
    await subscribed(socket, "3m")
    await socket.say(op="unsubscribe", channel="candles", symbol=BTC, interval="3m")
    await socket.hear("unsubscribed")
    asked = list(world.asked)

    world.happen(closed(candle(TEN - HOUR, (0, 0)), reason="backfill"))
    await socket.say(op="ping")
    await socket.hear("pong")

    assert world.asked == asked


async def test_more_subscriptions_than_allowed_are_refused(open_socket):
    world = market()
    world.make_hub(SocketLimits(subscriptions=1))
    socket = await open_socket(world)
    await subscribed(socket)

    await socket.say(op="subscribe", id=2, channel="trades", symbol=BTC)

    assert (await socket.hear("error"))["code"] == "too_many_subscriptions"


async def test_more_connections_than_allowed_are_closed_with_4429(open_socket):
    world = market()
    world.make_hub(SocketLimits(connections=1))
    await open_socket(world)

    second = await open_socket(world)

    assert await second.closed_with() == 4429


async def test_the_server_ticks(open_socket):
    world = market()
    world.make_hub(SocketLimits(tick_s=0.05))
    socket = await open_socket(world)

    assert (await socket.hear("tick"))["time"] > 0


async def test_a_full_outbox_closes_with_4008(open_socket):
    world = market()
    world.make_hub(SocketLimits(outbox_messages=5))
    socket = await open_socket(world)
    await socket.say(op="subscribe", id=1, channel="trades", symbol=BTC)
    await socket.hear("subscribed")

    world.happen(*(enriched(trade(number, TEN)) for number in range(10, 100)))

    assert await socket.closed_with() == 4008
